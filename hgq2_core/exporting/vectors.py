"""Test vectors of an export, and the placement of values in the bits of its ports."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import keras
import numpy as np
import numpy.typing as npt

from hgq2_core.errors import DataError, ExactnessError
from hgq2_core.exact import Integers
from hgq2_core.exact.integers import from_float, to_float
from hgq2_core.exporting.graph import interpret, model_inputs, run
from hgq2_core.exporting.host import quantize_inputs
from hgq2_core.exporting.inputs import Format
from hgq2_core.exporting.ports import Element, Port
from hgq2_core.files import write_text
from hgq2_core.layers.states import CarriedStates

Floats = npt.NDArray[np.float64]

RANDOM, CORNERS = 192, 64
"""Samples of values anywhere in a number's range, and of one of its ends, each number by itself."""
SEED = 1
FOLDER = "vectors"
MANTISSA_BITS = 53


@dataclass(frozen=True)
class Vectors:
    """Inputs of an export in the formats of its ports, and the expected outputs, one row per sample."""

    inputs: Floats
    outputs: Floats

    def mismatches(self, interpreter: Callable[[Floats], Floats]) -> int:
        """Return the number of samples for which an interpreter of the export differs from the expected outputs."""
        return int((interpreter(self.inputs) != self.outputs).any(axis=1).sum())

    def require_equal(self, interpreter: Callable[[Floats], Floats], model: str, what: str) -> None:
        """Refuse an export that differs from the integers.

        Args:
            interpreter: of what was made; gives outputs for rows of inputs.
            model: name of the model, for the message.
            what: what was made, for the message.

        Raises:
            ExactnessError: it differs.
        """
        wrong = self.mismatches(interpreter)
        if wrong:
            raise ExactnessError(
                f"{model}: {what} differs from the integers in {wrong} of {len(self.inputs)} samples; nothing is "
                "exported. This is a fault of the tracing: please report it."
            )

    def write(self, directory: Path, inputs: Sequence[Port], outputs: Sequence[Port]) -> None:
        """Write the vectors as hexadecimal words, `vectors/inputs.hex` and `vectors/outputs.hex`.

        Args:
            directory: of the export.
            inputs: its input ports.
            outputs: its output ports.
        """
        (directory / FOLDER).mkdir()
        for name, values, ports in (("inputs", self.inputs, inputs), ("outputs", self.outputs, outputs)):
            write_text(directory / FOLDER / f"{name}.hex", "\n".join(words(values, ports)) + "\n")


def require_exact(ports: Sequence[Port], model: str) -> None:
    """Refuse ports whose numbers test vectors, which are float64, would round.

    Args:
        ports: inputs and outputs of an export.
        model: name of the model, for the message.

    Raises:
        ExactnessError: a number needs more bits.
    """
    widest = max(element.width for port in ports for element in port.elements)
    if widest > MANTISSA_BITS:
        raise ExactnessError(
            f"{model}: a number of a port needs {widest} bits, and test vectors hold {MANTISSA_BITS}. Give its "
            "quantizer fewer bits, or end the model with a quantizer."
        )


def vectors(
    model: keras.Model, inputs: Sequence[Port], x: Any = None, input_format: tuple[int, int, int] | None = None
) -> Vectors:
    """Return test vectors: the user's inputs, then the ends of every input format, random values, and ends mixed.

    Args:
        model: a frozen model.
        inputs: the input ports of its export.
        x: inputs of the model, in a form that Keras takes; with them, states are 0.
        input_format: (k, i, f) of all inputs, where the host does not quantize.

    Raises:
        DataError: the `input_format` does not hold the inputs.
    """
    parts = samples(model, inputs, x, input_format)
    rows = [(quantize_inputs(inputs, each), expected(model, each)) for each in parts]
    entered, outputs = (np.concatenate(each) for each in zip(*rows, strict=True))
    return Vectors(entered, outputs)


def samples(
    model: keras.Model, inputs: Sequence[Port], x: Any = None, input_format: tuple[int, int, int] | None = None
) -> list[list[Any]]:
    """Return the inputs of the test vectors before a host quantizes them, in parts; see `vectors`.

    Returns:
        For the user's inputs, if any, and for the exporter's own, one array per input, samples first.
    """
    parts = [own_inputs(inputs)]
    if x is not None:
        given = list(model_inputs(model, x))
        given += [np.zeros((len(given[0]), *port.shape)) for port in inputs[len(given) :]]
        if input_format is not None:
            _check_held(given, quantize_inputs(inputs, given), inputs)
        parts.insert(0, given)
    return parts


def expected(model: keras.Model, x: Sequence[Any]) -> Floats:
    """Return the outputs of the integer interpretation of a model, and the states after the call.

    Args:
        model: a frozen model.
        x: one array per input and, or else 0, per state before the call, samples first.

    Returns:
        One row per sample, outputs concatenated.
    """
    samples, count = len(x[0]), len(model.inputs)
    before = iter(x[count:])
    states = CarriedStates(lambda shape: from_float(next(before, np.zeros((samples, *shape)))))
    outputs = run(model, [from_float(values) for values in x[:count]], interpret(Integers(), states))
    return np.concatenate([to_float(each).reshape(samples, -1) for each in (*outputs, *states.flat())], axis=1)


def words(values: Floats, ports: Sequence[Port]) -> list[str]:
    """Return each sample as one hexadecimal number, with the first element in the lowest bits.

    Args:
        values: one row per sample, ports concatenated.
        ports: the inputs or the outputs.
    """
    elements = [element for port in ports for element in port.elements]
    digits = (sum(port.bits for port in ports) + 3) // 4
    numbers = [0] * len(values)
    for element, column in zip(elements, values.T, strict=True):
        mask = (1 << element.width) - 1
        for sample, value in enumerate(np.ldexp(column, element.f)):
            numbers[sample] |= (int(value) & mask) << element.offset
    return [f"{number:0{digits}x}" for number in numbers]


def own_inputs(ports: Sequence[Port]) -> list[Floats]:
    """Return the ends of what each number's quantizers tell apart, random values, and ends mixed, of each input.

    Args:
        ports: the inputs.
    """
    rng = np.random.default_rng(SEED)
    return [_samples_of(port, rng).reshape(-1, *port.shape) for port in ports]


def _samples_of(port: Port, rng: np.random.Generator) -> Floats:
    size = math.prod(port.shape)
    grids = [_grid(port, element) for element in port.elements]
    of_place: list[list[int]] = [[] for _ in range(size)]
    for number, element in enumerate(port.elements):
        of_place[element.place].append(number)
    columns = []
    for numbers in of_place:
        shares = rng.random((RANDOM, len(numbers)))
        chosen = np.array([grids[number](shares[:, n]) for n, number in enumerate(numbers)])
        ends = [grids[number](np.array([0.0, np.nextafter(1.0, 0.0)])) for number in numbers]
        random = chosen[rng.integers(len(numbers), size=RANDOM) if len(numbers) > 1 else 0, np.arange(RANDOM)]
        low, high = min(low for low, _ in ends), max(high for _, high in ends)
        columns.append([low, high, 0.0, *random, *rng.choice([low, high], CORNERS)])
    return np.array(columns).T


def _grid(port: Port, element: Element) -> Callable[[Floats], Floats]:
    """Return the function that spreads numbers from 0 to 1 over the values that a quantizer tells apart."""
    if element.steps is None:
        wanted = Format(element.k, element.i, element.f, str(element.round_mode), str(element.overflow_mode))
        (low, high), step = wanted.bounds, math.ldexp(1.0, -element.f)
        return lambda share: low + np.floor(share * ((high - low) / step + 1)) * step
    dtype = np.float64 if port.dtype == "float64" else np.float32
    thresholds = np.array(port.steps[element.steps].thresholds, dtype=dtype)
    below = np.nextafter(thresholds, dtype(-np.inf))
    points = np.sort(np.concatenate([thresholds, below, np.zeros(1)])).astype(np.float64)
    return lambda share: points[np.floor(share * len(points)).astype(np.int64)]


def _check_held(given: Sequence[Any], entered: Floats, ports: Sequence[Port]) -> None:
    read = np.array([element.width > 0 for port in ports for element in port.elements])
    values = np.concatenate([np.asarray(each).reshape(len(each), -1) for each in given], axis=1)
    lost = values[(values != entered) & read]
    if lost.size:
        raise DataError(
            f"input_format: the format does not hold {lost.size} of {values.size} values of the data, such as "
            f"{lost[0]:g}. Widen it, bring the data into it first, or leave input_format out."
        )
