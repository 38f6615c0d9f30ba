"""A frozen model as a circuit: its exact statements, traced layer by layer."""

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
from hgq2_core.exporting.graph import interpret, output_names, require_explicit_masks, run
from hgq2_core.exporting.ports import Element, LayerWidths, Port

Floats = npt.NDArray[np.float64]

TRACED_BITS = 53
"""Alkaid bounds numbers by floats of this precision."""


@dataclass(frozen=True)
class Circuit:
    """What a model became.

    Args:
        logic: alkaid's combinational logic, from all inputs to all outputs, flat, one after the other.
        inputs: the model's inputs.
        outputs: the model's outputs.
        layers: the widths of each layer's outputs.
        host_quantizes: whether the ports take what the model's first quantizers give.
    """

    logic: CombLogic
    inputs: tuple[Port, ...]
    outputs: tuple[Port, ...]
    layers: tuple[LayerWidths, ...]
    host_quantizes: bool

    def quantize_inputs(self, x: Sequence[Any]) -> Floats:
        """Do the host's part: bring inputs into the formats of the ports.

        Args:
            x: one array per input of the model, samples first.

        Returns:
            Values on the ports' grids, one row per sample, all inputs after each other.
        """
        return np.concatenate(
            [_into_formats(values, port) for values, port in zip(x, self.inputs, strict=True)], axis=1
        )

    def interpret(self, values: Floats) -> Floats:
        """Compute what the circuit gives, one row per sample."""
        return np.asarray(self.logic.predict(np.ascontiguousarray(values)))


def build(
    model: keras.Model, hwconf: HWConfig, input_format: tuple[int, int, int] | None = None, *, estimate: bool = True
) -> Circuit:
    """Trace a model into a circuit; nothing is written.

    Args:
        model: frozen.
        hwconf: alkaid's adder size, carry size and latency cutoff.
        input_format: (k, i, f) of all inputs, quantized further inside the circuit; None leaves the first quantizers
            to the host and takes their formats.
        estimate: whether the circuit has cost and latency; for large tables that takes most of the time.

    Raises:
        ExactnessError: a layer states no exact arithmetic, or has no circuit, or takes an implicit mask.
    """
    arrays = HardwareArrays(hwconf)
    require_explicit_masks(model)
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
    """Interpret a model with integers.

    Args:
        model: frozen.
        x: one array per input, samples first.

    Returns:
        Its outputs, one row per sample, all outputs after each other.
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
    if dtype not in ("uint8", "int8", "uint16", "int16"):  # nobody means all bits of wider ones
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
    """Cut a circuit's flat list of numbers into the model's tensors."""
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
    """Quantize one input as the first quantizers of the model do."""
    values = np.asarray(x, dtype=np.float64).reshape(len(x), -1)
    result = np.zeros_like(values)
    modes = [(str(element.round_mode), str(element.overflow_mode)) for element in port.elements]
    for round_mode, overflow_mode in sorted(set(modes)):
        places = [n for n, mode in enumerate(modes) if mode == (round_mode, overflow_mode)]
        k, i, f = np.array([(e.k, e.i, e.f) for e in (port.elements[n] for n in places)]).T
        quantized = Integers().quantize(from_float(values[:, places]), k, i, f, round_mode, overflow_mode)
        result[:, places] = to_float(quantized)
    return result
