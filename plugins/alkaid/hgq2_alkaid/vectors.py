"""Test vectors, and the placement of values in the bits of the circuit's ports."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import keras
import numpy as np

from hgq2_alkaid.circuit import Circuit, Floats, expected
from hgq2_alkaid.inputs import Format
from hgq2_core.errors import DataError
from hgq2_core.exporting.graph import model_inputs
from hgq2_core.exporting.ports import Port

RANDOM = 256
SEED = 1


@dataclass(frozen=True)
class Vectors:
    """Inputs of the circuit, and the expected outputs by the integers, one row per sample."""

    inputs: Floats
    outputs: Floats

    def mismatches(self, circuit: Circuit) -> int:
        """Return the number of samples for which alkaid's interpreter differs from the expected outputs."""
        return int((circuit.interpret(self.inputs) != self.outputs).any(axis=1).sum())


def vectors(model: keras.Model, circuit: Circuit, x: Any = None) -> Vectors:
    """Return test vectors: the user's inputs, then the ends of every input format and random values in between.

    Args:
        model: a frozen model.
        circuit: its circuit.
        x: inputs of the model, in a form that Keras takes.

    Raises:
        DataError: the `input_format` does not hold the inputs.
    """
    own = _own_inputs(circuit)
    parts = [(own, expected(model, _per_input(own, circuit.inputs)))]
    if x is not None:
        given = model_inputs(model, x)
        entered = circuit.quantize_inputs(given)
        if not circuit.host_quantizes:
            _check_held(given, entered, circuit.inputs)
        parts.insert(0, (entered, expected(model, given)))
    inputs, outputs = (np.concatenate(each) for each in zip(*parts, strict=True))
    return Vectors(inputs, outputs)


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


def _own_inputs(circuit: Circuit) -> Floats:
    elements = [element for port in circuit.inputs for element in port.elements]
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
