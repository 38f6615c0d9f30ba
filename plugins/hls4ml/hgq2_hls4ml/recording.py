"""A frozen model as recorded nodes, and their values by integers."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import keras
import numpy as np
import numpy.typing as npt

from hgq2_core.errors import ExactnessError
from hgq2_core.exact import IntegerArray
from hgq2_core.exact.integers import from_float, to_float
from hgq2_core.exporting.errors import named
from hgq2_core.exporting.formats import formats
from hgq2_core.exporting.graph import interpret, output_names, require_stated_masks, run
from hgq2_core.exporting.inputs import Format, HostInputs
from hgq2_core.exporting.ports import LayerWidths, Port, ports_of
from hgq2_hls4ml.arrays import Recorder, Signal
from hgq2_hls4ml.nodes import Numbers, Wires
from hgq2_hls4ml.record import Entry as Recorded
from hgq2_hls4ml.record import Record, identifier

Floats = npt.NDArray[np.float64]


@dataclass(frozen=True)
class Recording:
    """The nodes of a model.

    Args:
        record: all nodes.
        entered: for each number that the host gives, its port, and its place among the port's elements.
        outputs: the numbers of each output.
        input_ports: the model's inputs.
        output_ports: the model's outputs.
        layers: the widths of each layer's outputs.
    """

    record: Record
    entered: dict[int, tuple[int, int]]
    outputs: tuple[Numbers, ...]
    input_ports: tuple[Port, ...]
    output_ports: tuple[Port, ...]
    layers: tuple[LayerWidths, ...]

    @property
    def nodes(self) -> list[Recorded]:
        """The nodes that the outputs depend on, but for mere copies of an input."""
        needed = self.record.needed(np.concatenate(self.outputs))
        return [entry for entry in needed if entry.first not in self._copies]

    @cached_property
    def input_layers(self) -> list[str]:
        """The name of the layer of each input, unlike the others."""
        names = [f"{identifier(port.name)}_in" for port in self.input_ports]
        return [f"{name}{n}" if names.count(name) > 1 else name for n, name in enumerate(names)]

    def source(self, number: int) -> tuple[str, int]:
        """Return the layer that gives a number, and its place among those of the layer."""
        if number in self.entered:
            port, place = self.entered[number]
            return self.input_layers[port], place
        entry = self.record.entry(number)
        return self._copies.get(entry.first, entry.name), number - entry.first

    @cached_property
    def _copies(self) -> dict[int, str]:
        """The layer of the input that a node copies, number by number, by the first number of the node."""
        whole = {
            tuple((port, place) for place in range(len(each.elements))): self.input_layers[port]
            for port, each in enumerate(self.input_ports)
        }
        results = {int(numbers[0]) for numbers in self.outputs}
        copies = {}
        for entry in self.record.entries:
            if isinstance(entry.node, Wires) and entry.first not in results:
                places = tuple(self.entered.get(number, (-1, number)) for number in entry.node.operands[0].tolist())
                if places in whole:
                    copies[entry.first] = whole[places]
        return copies

    def interpret(self, values: Floats) -> Floats:
        """Return the outputs of the nodes by integers, one row per sample.

        Args:
            values: what the host gives, one row per sample, ports concatenated.
        """

        starts = np.cumsum([0, *(len(port.elements) for port in self.input_ports)])

        def given(entry: Recorded) -> IntegerArray:
            places = [self.entered[number] for number in entry.numbers.tolist()]
            return from_float(values[:, [starts[port] + place for port, place in places]])

        return to_float(self.record.interpret(np.concatenate(self.outputs), given))


def record(model: keras.Model, input_format: tuple[int, int, int] | None = None) -> Recording:
    """Record a model's exact arithmetic.

    Args:
        model: a frozen model.
        input_format: (k, i, f) of all inputs, which the project then quantizes; None leaves the first quantizers to the
            host.

    Raises:
        ExactnessError: a layer has no exact arithmetic or no nodes, or takes an implicit mask.
    """
    require_stated_masks(model)
    host = HostInputs(model.inputs)
    recorder = Recorder(host)
    starts = [_start(recorder, raw, host.start(n, input_format)) for n, raw in enumerate(recorder.raw())]
    traced: list[tuple[str, Any]] = []
    step = interpret(recorder)

    def apply(layer: keras.layers.Layer, path: str, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
        recorder.path = path
        with named(path):
            output = step(layer, path, args, kwargs)
        traced.append((path, np.concatenate([each.numbers.ravel() for each in keras.tree.flatten(output)])))
        return output

    results = run(model, starts, apply)
    outputs = []
    for name, result in zip(output_names(model), results, strict=True):
        recorder.path = f"{name}_out"
        with named(model.name):
            outputs.append(recorder.output(result))
    made = recorder.record
    if all(made.constant(numbers) for numbers in _sources(made, outputs)):
        raise ExactnessError(
            f"{model.name}: its outputs are constant, whatever the inputs are; there is nothing to export."
        )
    named_outputs = zip(output_names(model), model.outputs, strict=True)
    return Recording(
        made,
        _places(recorder, host),
        tuple(outputs),
        host.ports(),
        ports_of(
            [(name, tensor.shape[1:], tensor.dtype) for name, tensor in named_outputs],
            _kif(made, np.concatenate(outputs)),
        ),
        tuple(_widths(made, path, numbers) for path, numbers in traced),
    )


def _places(recorder: Recorder, host: HostInputs) -> dict[int, tuple[int, int]]:
    """Return, for each number that the host gives, its port, and its place among the port's elements."""
    counts: Counter[int] = Counter()
    places = {}
    for entry in host.entries():
        port = entry.raw.number
        if entry in recorder.entered:
            places[recorder.entered[entry]] = port, counts[port]
        counts[port] += 1
    return places


def _start(recorder: Recorder, raw: Signal, wanted: Format | None) -> Signal:
    return raw if wanted is None else recorder.quantize(raw, *wanted)


def _sources(made: Record, outputs: list[Numbers]) -> list[Numbers]:
    """Return the numbers that the nodes of the outputs pass on."""
    return [made.sources(each)[0].node.operands[0] for each in outputs]  # type: ignore[union-attr]


def _kif(made: Record, numbers: Numbers) -> list[tuple[int, int, int]]:
    each = formats(made.bounds(numbers))
    return list(zip(*(bits.ravel().tolist() for bits in (each.k, each.i, each.f)), strict=True))


def _widths(made: Record, path: str, numbers: Numbers) -> LayerWidths:
    computed = numbers[numbers >= 0]
    bits = formats(made.bounds(computed)).width if computed.size else np.zeros(1, dtype=np.int64)
    return LayerWidths(path, numbers.size, int(bits.max(initial=0)), int(bits.sum()))
