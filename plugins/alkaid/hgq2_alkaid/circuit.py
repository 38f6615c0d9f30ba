"""A frozen model as a circuit: its exact arithmetic, traced layer by layer."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import keras
import numpy as np
import numpy.typing as npt
from alkaid.trace import FVariable, HWConfig, trace
from alkaid.trace.passes import optimize
from alkaid.types import CombLogic

from hgq2_alkaid.arrays import HardwareArrays, Operand
from hgq2_alkaid.errors import Unsupported
from hgq2_alkaid.inputs import UNUSED, Format, InputElement
from hgq2_core.errors import ExactnessError
from hgq2_core.exact import Integers
from hgq2_core.exact.integers import from_float, to_float
from hgq2_core.exporting.graph import interpret, output_names, require_stated_masks, run
from hgq2_core.exporting.ports import Element, LayerWidths, Port

Floats = npt.NDArray[np.float64]

TRACED_BITS = 53
"""Precision of the floats in which alkaid keeps the bounds of numbers."""


@dataclass(frozen=True)
class Circuit:
    """The circuit of a model.

    Args:
        logic: alkaid's combinational logic from all inputs to all outputs, flattened and concatenated.
        inputs: the model's inputs.
        outputs: the model's outputs.
        layers: the widths of each layer's outputs.
        host_quantizes: whether the host applies the model's first quantizers.
    """

    logic: CombLogic
    inputs: tuple[Port, ...]
    outputs: tuple[Port, ...]
    layers: tuple[LayerWidths, ...]
    host_quantizes: bool

    def quantize_inputs(self, x: Sequence[Any]) -> Floats:
        """Return inputs quantized to the formats of the ports, which is the host's part.

        Args:
            x: one array per input of the model, samples first.

        Returns:
            Values on the ports' grids, one row per sample, inputs concatenated.
        """
        return np.concatenate(
            [_into_formats(values, port) for values, port in zip(x, self.inputs, strict=True)], axis=1
        )

    def interpret(self, values: Floats) -> Floats:
        """Return the outputs of the circuit, one row per sample."""
        return np.asarray(self.logic.predict(np.ascontiguousarray(values)))


def build(
    model: keras.Model, hwconf: HWConfig, input_format: tuple[int, int, int] | None = None, *, estimate: bool = True
) -> Circuit:
    """Trace a model into a circuit, without writing anything.

    Args:
        model: a frozen model.
        hwconf: alkaid's adder size, carry size and latency cutoff.
        input_format: (k, i, f) of all inputs, which the circuit then quantizes; None leaves the first quantizers to the
            host and takes their formats.
        estimate: whether to estimate cost and latency, which takes most of the time for large tables.

    Raises:
        ExactnessError: a layer has no exact arithmetic or no circuit, or takes an implicit mask.
    """
    arrays = HardwareArrays(hwconf)
    require_stated_masks(model)
    elements = [_elements(tensor) for tensor in model.inputs]
    starts = [_start(arrays, tensor, each, input_format) for tensor, each in zip(model.inputs, elements, strict=True)]
    traced: list[tuple[str, Any]] = []
    step = interpret(arrays)

    def apply(layer: keras.layers.Layer, path: str, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
        with _named(path):
            output = step(layer, path, args, kwargs)
        traced.append((path, np.concatenate([each.ravel() for each in keras.tree.flatten(output)])))
        return output

    results = run(model, starts, apply)
    with _named(model.name):
        outputs = [arrays.variables(result) for result in results]
    entries = [e.entry(hwconf) for each in elements for e in each.ravel()]
    logic = optimize(trace(entries, [v for o in outputs for v in o.ravel()], optimize=False), surrogate=estimate)
    _check(logic, model.name)
    formats = [e.format or UNUSED for each in elements for e in each.ravel()]
    return Circuit(
        logic,
        _ports(
            model.inputs,
            [tensor.name for tensor in model.inputs],
            logic.inp_kifs,
            [(each.round_mode, each.overflow_mode) for each in formats],
        ),
        _ports(model.outputs, output_names(model), logic.out_kifs, [(None, None)] * logic.shape[1]),
        tuple(_widths(path, output, hwconf) for path, output in traced),
        host_quantizes=input_format is None,
    )


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


@contextmanager
def _named(path: str) -> Iterator[None]:
    try:
        yield
    except (Unsupported, NotImplementedError) as error:
        raise ExactnessError(f"{path}: {error}") from error


def _elements(tensor: Any) -> Operand:
    shape = tuple(tensor.shape[1:])
    if None in shape:
        raise ExactnessError(
            f"input {tensor.name!r}: a circuit needs a static size of every axis but the batch's. "
            f"Received: shape {shape}."
        )
    elements = np.empty((1, *shape), dtype=object)
    integer = _integer_format(tensor.dtype)
    elements.ravel()[:] = [InputElement(tensor.name, integer) for _ in range(elements.size)]
    return elements


def _integer_format(dtype: str) -> Format | None:
    if dtype not in ("uint8", "int8", "uint16", "int16"):  # all bits of a wider dtype are hardly intended
        return None
    signed = not dtype.startswith("u")
    return Format(int(signed), np.iinfo(dtype).bits - signed, 0, "RND", "SAT")


def _start(
    arrays: HardwareArrays, tensor: Any, elements: Operand, input_format: tuple[int, int, int] | None
) -> Operand:
    if tensor.dtype == "bool":  # a mask is one bit
        return arrays.quantize(elements, 0, 1, 0, "RND", "SAT")
    return elements if input_format is None else arrays.quantize(elements, *input_format, "RND", "SAT")


def _check(logic: CombLogic, name: str) -> None:
    widest = max(sum(op.qint.kif) for op in logic.ops)
    if widest > TRACED_BITS:
        raise ExactnessError(f"{name}: a number in it needs {widest} bits, and alkaid's tracing holds {TRACED_BITS}.")
    if not logic.inp_kifs.sum() or not logic.out_kifs.sum():
        raise ExactnessError(f"{name}: its outputs are constant, whatever the inputs are; there is no circuit to make.")


def _ports(
    tensors: Sequence[Any],
    names: Sequence[str],
    kifs: npt.NDArray[Any],
    modes: Sequence[tuple[str | None, str | None]],
) -> tuple[Port, ...]:
    """Split a circuit's flat list of numbers into the model's tensors."""
    ports, offset, place = [], 0, 0
    for name, tensor in zip(names, tensors, strict=True):
        shape = tuple(tensor.shape[1:])
        elements = []
        for number in range(place, place + math.prod(shape)):
            k, i, f = (int(bits) for bits in kifs[:, number])
            elements.append(Element(k, i, f, k + i + f, offset, *modes[number]))
            offset += k + i + f
        place += len(elements)
        ports.append(Port(name, shape, tuple(elements)))
    return tuple(ports)


def _widths(path: str, outputs: Any, hwconf: HWConfig) -> LayerWidths:
    elements = [x for output in keras.tree.flatten(outputs) for x in output.ravel()]
    entered = [x.entry(hwconf) if isinstance(x, InputElement) else x for x in elements]
    bits = [sum(x.kif) if isinstance(x, FVariable) and x.low < x.high else 0 for x in entered]
    return LayerWidths(path, len(bits), max(bits, default=0), sum(bits))


def _into_formats(x: Any, port: Port) -> Floats:
    """Return one input quantized like by the first quantizers of the model."""
    values = np.asarray(x, dtype=np.float64).reshape(len(x), -1)
    result = np.zeros_like(values)
    modes = [(str(element.round_mode), str(element.overflow_mode)) for element in port.elements]
    for round_mode, overflow_mode in sorted(set(modes)):
        places = [n for n, mode in enumerate(modes) if mode == (round_mode, overflow_mode)]
        k, i, f = np.array([(e.k, e.i, e.f) for e in (port.elements[n] for n in places)]).T
        quantized = Integers().quantize(from_float(values[:, places]), k, i, f, round_mode, overflow_mode)
        result[:, places] = to_float(quantized)
    return result
