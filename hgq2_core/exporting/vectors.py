"""Test vectors of an export, and the placement of values in the bits of its ports."""

from __future__ import annotations

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
from hgq2_core.exporting.ports import Port
from hgq2_core.files import write_text

Floats = npt.NDArray[np.float64]

RANDOM = 256
SEED = 1
FOLDER = "vectors"


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


def vectors(
    model: keras.Model, inputs: Sequence[Port], x: Any = None, input_format: tuple[int, int, int] | None = None
) -> Vectors:
    """Return test vectors: the user's inputs, then the ends of every input format and random values in between.

    Args:
        model: a frozen model.
        inputs: the input ports of its export.
        x: inputs of the model, in a form that Keras takes.
        input_format: (k, i, f) of all inputs, where the host does not quantize.

    Raises:
        DataError: the `input_format` does not hold the inputs.
    """
    own = _own_inputs(inputs)
    parts = [(own, expected(model, _per_input(own, inputs)))]
    if x is not None:
        given = model_inputs(model, x)
        entered = quantize_inputs(inputs, given)
        if input_format is not None:
            _check_held(given, entered, inputs)
        parts.insert(0, (entered, expected(model, given)))
    entered, outputs = (np.concatenate(each) for each in zip(*parts, strict=True))
    return Vectors(entered, outputs)


def expected(model: keras.Model, x: Sequence[Any]) -> Floats:
    """Return the outputs of the integer interpretation of a model.

    Args:
        model: a frozen model.
        x: one array per input, samples first.

    Returns:
        One row per sample, outputs concatenated.
    """
    outputs = run(model, [from_float(values) for values in x], interpret(Integers()))
    return np.concatenate([to_float(output).reshape(len(x[0]), -1) for output in outputs], axis=1)


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


def _own_inputs(ports: Sequence[Port]) -> Floats:
    elements = [element for port in ports for element in port.elements]
    formats = [Format(e.k, e.i, e.f, str(e.round_mode), str(e.overflow_mode)) for e in elements]
    low, high = np.array([each.bounds for each in formats]).T
    steps = np.array([2.0**-each.f for each in formats])
    share = np.random.default_rng(SEED).random((RANDOM, len(elements)))
    random = low + np.floor(share * ((high - low) / steps + 1)) * steps
    return np.concatenate([[low, high, np.zeros(len(elements))], random])


def _check_held(given: Sequence[Any], entered: Floats, ports: Sequence[Port]) -> None:
    read = np.array([element.width > 0 for port in ports for element in port.elements])
    values = np.concatenate([np.asarray(each).reshape(len(each), -1) for each in given], axis=1)
    lost = values[(values != entered) & read]
    if lost.size:
        raise DataError(
            f"input_format: the format does not hold {lost.size} of {values.size} values of the data, such as "
            f"{lost[0]:g}. Widen it, bring the data into it first, or leave input_format out."
        )


def _per_input(values: Floats, ports: Sequence[Port]) -> list[Floats]:
    ends = np.cumsum([len(port.elements) for port in ports])[:-1]
    parts = np.split(values, ends, axis=1)
    return [part.reshape(len(values), *port.shape) for part, port in zip(parts, ports, strict=True)]
