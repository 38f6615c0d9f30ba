"""A circuit for one block of positions, used once for each block of a sample, and one for the layers behind it."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

import keras
import numpy as np
from alkaid.trace import HWConfig, trace
from alkaid.trace.passes import optimize
from alkaid.types import CombLogic

from hgq2_alkaid.arrays import HardwareArrays, Operand, input_variable
from hgq2_alkaid.circuit import Floats, require_traced, widths_of
from hgq2_alkaid.handshake.repetition import Repetition, repetition
from hgq2_core.errors import ExactnessError
from hgq2_core.exporting.errors import named
from hgq2_core.exporting.graph import output_names, require_stated_masks, run
from hgq2_core.exporting.inputs import Entry, Format, HostInputs, RawNumber, objects
from hgq2_core.exporting.ports import LayerWidths, Port, ports_of
from hgq2_core.exporting.stages import stage
from hgq2_core.layers.adapters import exact


@dataclass(frozen=True)
class Multiplexed:
    """The circuits of a model whose first layers compute one block of positions at a time.

    Args:
        repetition: the layers that are multiplexed.
        block: from the numbers of one block to what the layers behind take of it, or to the outputs.
        tail: from all blocks, one after the other, to the outputs; None where no layer is behind.
        inputs: the model's inputs, whose bits lie block by block.
        outputs: the model's outputs.
        layers: the widths of each layer's outputs, of multiplexed ones those of one block.
    """

    repetition: Repetition
    block: CombLogic
    tail: CombLogic | None
    inputs: tuple[Port, ...]
    outputs: tuple[Port, ...]
    layers: tuple[LayerWidths, ...]

    def interpret(self, values: Floats) -> Floats:
        """Return the outputs of the circuits, one row per sample, for values on the ports' grids."""
        blocks = self.repetition.blocks
        given = _by_block(values, self.inputs, blocks)
        results = np.asarray(self.block.predict(np.ascontiguousarray(given.reshape(len(values) * blocks, -1))))
        results = results.reshape(len(values), blocks, -1)
        if self.tail is not None:
            return np.asarray(self.tail.predict(np.ascontiguousarray(results.reshape(len(values), -1))))
        ends = np.cumsum([len(port.elements) // blocks for port in self.outputs])[:-1]
        return np.concatenate([each.reshape(len(values), -1) for each in np.split(results, ends, axis=2)], axis=1)


def build_multiplexed(
    model: keras.Model, hwconf: HWConfig, blocks: int, input_format: tuple[int, int, int] | None = None
) -> Multiplexed:
    """Trace a model into a circuit for one block of positions, and one for the layers behind.

    Args:
        model: a frozen model.
        hwconf: alkaid's adder size, carry size and latency cutoff.
        blocks: how often the first circuit is used for a sample.
        input_format: (k, i, f) of all inputs; None leaves the first quantizers to the host.

    Raises:
        ConfigError: the positions cannot be divided so.
        ExactnessError: no layer can be multiplexed, or a layer has no exact arithmetic or no circuit.
    """
    require_stated_masks(model)
    found = repetition(model, blocks)
    first = _Block(model, hwconf, found, input_format)
    with stage("optimizing"):
        block = optimize(trace(first.given, first.results, optimize=False))
    require_traced(block, model.name)
    inputs = _repeated(first.inputs.ports(block.inp_kifs.T), blocks)
    named_outputs = [
        (name, tuple(tensor.shape[1:]), tensor.dtype)
        for name, tensor in zip(output_names(model), model.outputs, strict=True)
    ]
    behind: list[tuple[str, list[Any]]] = []
    if first.is_whole:
        parts = [(name, (found.positions, *shape[1:]), dtype) for name, shape, dtype in named_outputs]
        outputs = _repeated(ports_of(parts, block.out_kifs.T), blocks)
        tail = None
    else:
        tail, behind = _tail(model, hwconf, first, block.out_kifs.T.tolist())
        require_traced(tail, model.name)
        outputs = ports_of(named_outputs, tail.out_kifs.T)
    if not all(sum(port.bits for port in ports) for ports in (inputs, outputs)):
        raise ExactnessError(f"{model.name}: its outputs are constant, whatever the inputs are; there is no circuit.")
    widths = [widths_of(path, [first.arrays.resolved(x) for x in elements]) for path, elements in first.traced]
    return Multiplexed(
        found, block, tail, inputs, outputs, (*widths, *(widths_of(path, elements) for path, elements in behind))
    )


class _Outside:
    """What a layer behind the multiplexed ones gives."""


_OUTSIDE = _Outside()


class _Block:
    """The multiplexed layers, traced on one block.

    `applied` holds what each application of a layer gives, in the order of the graph, and `cuts` what others, or the
    outputs, take of it.
    """

    def __init__(
        self, model: keras.Model, hwconf: HWConfig, found: Repetition, wanted: tuple[int, int, int] | None
    ) -> None:
        self.found = found
        self.inputs = HostInputs(
            [
                keras.KerasTensor((None, found.positions, *tensor.shape[2:]), tensor.dtype, name=tensor.name)
                for tensor in model.inputs
            ]
        )
        self.arrays = HardwareArrays(hwconf, self.inputs)
        self.traced: list[tuple[str, list[Any]]] = []
        self.applied: list[Any] = []
        self._made: dict[int, Operand] = {}
        self.cuts: dict[int, Operand] = {}
        starts = [self._start(number, each, wanted) for number, each in enumerate(self.inputs.raw())]
        self._starts = {id(each): tensor.name for each, tensor in zip(starts, model.inputs, strict=True)}
        outputs = run(model, starts, self._apply)
        self.is_whole = not any(isinstance(each, _Outside) for each in outputs)
        self._cut(outputs, model.name)
        taken = outputs if self.is_whole else list(self.cuts.values())  # an output may be there twice
        with named(model.name):
            self.results = [x for each in taken for x in self.arrays.variables(each).ravel()]
        self.given = [self.arrays.entered(entry) for entry in self.inputs.entries()]

    def _start(self, number: int, raw: Operand, wanted: tuple[int, int, int] | None) -> Operand:
        entering = self.inputs.start(number, wanted)
        return raw if entering is None else self.arrays.quantize(raw, *entering)

    def _apply(self, layer: keras.layers.Layer, path: str, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
        leaves = keras.tree.flatten((args, kwargs))
        if path not in self.found.layers or any(isinstance(each, _Outside) for each in leaves):
            self._cut(leaves, path)
            self.applied.append(_OUTSIDE)
            return _OUTSIDE
        with named(path), stage("tracing", path):
            output = exact(self.arrays, layer, path, args, kwargs)
        results = keras.tree.flatten(output)
        self.traced.append((path, [x for each in results for x in each.ravel()]))
        self._made |= {id(each): each for each in results}
        self.applied.append(output)
        return output

    def _cut(self, leaves: Sequence[Any], taker: str) -> None:
        for each in leaves:
            if id(each) in self._starts:
                raise ExactnessError(
                    f"{taker}: it takes input {self._starts[id(each)]!r} as it is, beside layers that compute one "
                    "block of positions at a time. Allowed: reuse=1, or a layer in between, such as layers.quantize."
                )
            if id(each) in self._made:
                self.cuts[id(each)] = each


def _tail(
    model: keras.Model, hwconf: HWConfig, first: _Block, formats: Sequence[Sequence[int]]
) -> tuple[CombLogic, list[tuple[str, list[Any]]]]:
    """Trace the layers behind the multiplexed ones on what all blocks give.

    Args:
        model: a frozen model.
        hwconf: of alkaid.
        first: its multiplexed layers.
        formats: (k, i, f) of each number that a block gives.

    Returns:
        The logic, and the numbers of each layer's outputs.
    """
    arrays = HardwareArrays(hwconf)
    given: list[Any] = []
    parts: dict[int, list[Operand]] = {key: [] for key in first.cuts}
    for number in range(first.found.blocks):
        rows = iter(formats)
        for key, cut in first.cuts.items():
            entries = [Entry(RawNumber("", number, place), _format(next(rows))) for place in range(cut.size)]
            numbers = [input_variable(entry, hwconf) for entry in entries]
            given += numbers
            parts[key].append(objects(numbers, cut.shape))
    whole = {key: np.concatenate(each, axis=1) for key, each in parts.items()}
    applied = iter(first.applied)
    traced: list[tuple[str, list[Any]]] = []

    def apply(layer: keras.layers.Layer, path: str, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
        output = next(applied)
        if not isinstance(output, _Outside):
            return keras.tree.map_structure(lambda each: whole.get(id(each), each), output)
        with named(path), stage("tracing", path):
            output = exact(arrays, layer, path, args, kwargs)
        traced.append((path, [x for each in keras.tree.flatten(output) for x in each.ravel()]))
        return output

    outputs = run(model, [None for _ in model.inputs], apply)
    with named(model.name):
        results = [x for each in outputs for x in arrays.variables(each).ravel()]
    with stage("optimizing"):
        return optimize(trace(given, results, optimize=False)), traced


def _format(bits: Sequence[int]) -> Format:
    k, i, f = (int(each) for each in bits)
    return Format(k, i, f, "TRN", "SAT")


def _repeated(ports: Sequence[Port], blocks: int) -> tuple[Port, ...]:
    """Return the ports of whole samples, whose words are those of the blocks, one after the other."""
    width = sum(port.bits for port in ports)
    return tuple(
        replace(
            port,
            shape=(port.shape[0] * blocks, *port.shape[1:]),
            elements=tuple(
                replace(element, place=element.place + n * math.prod(port.shape), offset=element.offset + n * width)
                for n in range(blocks)
                for element in port.elements
            ),
        )
        for port in ports
    )


def _by_block(values: Floats, ports: Sequence[Port], blocks: int) -> Floats:
    """Return numbers of whole samples, port by port, as (samples, blocks, numbers of a block)."""
    ends = np.cumsum([len(port.elements) for port in ports])[:-1]
    parts = [each.reshape(len(values), blocks, -1) for each in np.split(values, ends, axis=1)]
    return np.concatenate(parts, axis=2)
