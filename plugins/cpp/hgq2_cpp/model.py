"""A frozen model as a program, with its ports."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import keras
import numpy as np
import numpy.typing as npt

from hgq2_core.errors import ExactnessError
from hgq2_core.exact.integers import to_float
from hgq2_core.exporting.errors import named
from hgq2_core.exporting.graph import interpret as by_statements
from hgq2_core.exporting.graph import output_names, require_stated_masks, run
from hgq2_core.exporting.inputs import Entry, HostInputs
from hgq2_core.exporting.ports import LayerWidths, Port, ports_of
from hgq2_core.layers.states import CarriedStates
from hgq2_cpp.arrays import CppArrays
from hgq2_cpp.interpreter import interpret
from hgq2_cpp.operand import CONSTANT, Ints, Operand, in_units
from hgq2_cpp.program import Program, optimized

Floats = npt.NDArray[np.float64]


@dataclass(frozen=True, eq=False)
class Emulator:
    """A model as a program.

    Args:
        program: from the rows of the inputs to those of the outputs.
        entries: the numbers that the host gives, in the order of the ports.
        inputs: the model's inputs, and behind them the states, `state_n_in`, that its layers keep from call to call.
        outputs: the model's outputs, and behind them the states after the call, `state_n_out`, in the same order.
        layers: the widths of each layer's outputs.
        states: how many states there are.
    """

    program: Program
    entries: tuple[Entry, ...]
    inputs: tuple[Port, ...]
    outputs: tuple[Port, ...]
    layers: tuple[LayerWidths, ...]
    states: int = 0

    def interpret(self, values: Floats) -> Floats:
        """Return the outputs for values on the ports' grids, one row per sample, without a compiler."""
        f, given = ([element.f for port in ports for element in port.elements] for ports in (self.outputs, self.inputs))
        integers = interpret(self.program, self.entries, np.ldexp(values, given).astype(np.int64))
        return np.asarray(np.ldexp(integers.astype(np.float64), [-bits for bits in f]))


def record(model: keras.Model, input_format: tuple[int, int, int] | None = None) -> Emulator:
    """Return a model as a program, without writing anything.

    Args:
        model: a frozen model.
        input_format: (k, i, f) of all inputs, if the host is not to quantize.

    Raises:
        ExactnessError: a layer has no exact arithmetic, computes numbers beyond 64 bits, or takes an implicit mask.
    """
    require_stated_masks(model)
    inputs = HostInputs(model.inputs)
    arrays = CppArrays(inputs)
    layers: list[tuple[str, list[Operand]]] = []
    states = CarriedStates(arrays.state)
    step = by_statements(arrays, states)

    def apply(layer: keras.layers.Layer, path: str, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
        arrays.recorder.place = path
        with named(path):
            output = step(layer, path, args, kwargs)
        layers.append((path, keras.tree.flatten(output)))
        return output

    results = run(model, arrays.starts(input_format), apply)
    with named(model.name):
        outputs = [arrays.entered(result) for result in (*results, *states.flat())]
    formats = [_formats(output) for output in outputs]
    if all((output.rows == CONSTANT).all() for output in outputs):
        raise ExactnessError(
            f"{model.name}: its outputs are constant, whatever the inputs are; there is nothing to compute."
        )
    ends = [_output(output, f) for output, (_, _, f) in zip(outputs, formats, strict=True)]
    program = optimized(arrays.recorder.program(ends))
    entries = tuple(inputs.entries())
    read = [entry.format[:3] if entry in program.inputs else (0, 0, 0) for entry in entries]
    names = zip(output_names(model), model.outputs, strict=True)
    return Emulator(
        program,
        entries,
        inputs.ports(read),
        ports_of(
            [*((name, tensor.shape[1:], tensor.dtype) for name, tensor in names), *inputs.state_outputs()],
            [each for k, i, f in formats for each in zip(k.tolist(), i.tolist(), f.tolist(), strict=True)],
        ),
        tuple(_widths(path, each) for path, each in layers),
        inputs.states,
    )


def _formats(output: Operand) -> tuple[Ints, Ints, Ints]:
    """Return k, i and f of the smallest format of each number."""
    f = np.minimum(output.exponent, np.where(output.bounds.step <= -(2**32), 0, output.bounds.step))
    f = np.where(output.rows == CONSTANT, np.where(output.bounds.step <= -(2**32), 0, output.bounds.step), f).ravel()
    low, high = (np.ldexp(to_float(end).ravel(), f.astype(np.int32)) for end in (output.bounds.lo, output.bounds.hi))
    k = (low < 0).astype(np.int64)
    bits = [max(int(max(a, 0)).bit_length(), int(max(-b - 1, 0)).bit_length()) for a, b in zip(high, low, strict=True)]
    return k, np.array(bits) - f, f


def _output(output: Operand, f: Ints) -> tuple[Ints, Ints]:
    rows = output.rows.ravel()
    constant = rows == CONSTANT
    how = output.exponent.ravel() - f
    if constant.any():
        values = output.moved(lambda data: data.reshape(-1)[constant]).bounds.lo
        how[constant] = in_units(values, f[constant])
    return rows, how


def _widths(path: str, outputs: Sequence[Operand]) -> LayerWidths:
    bits = [int(n) for each in outputs if each.raw is None for n in _bits(each)]
    count = sum(int(np.prod(each.shape)) for each in outputs)
    return LayerWidths(path, count, max(bits, default=0), sum(bits))


def _bits(output: Operand) -> Ints:
    k, i, f = _formats(output)
    return np.where(output.rows.ravel() == CONSTANT, 0, k + i + f)
