"""A frozen model as a recorded graph, with its ports."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from math import prod
from typing import Any

import keras
import numpy as np
import numpy.typing as npt

from hgq2_core.errors import ExactnessError
from hgq2_core.exporting.errors import named
from hgq2_core.exporting.formats import formats
from hgq2_core.exporting.graph import interpret as by_statements
from hgq2_core.exporting.graph import output_names, require_stated_masks, run
from hgq2_core.exporting.inputs import HostInputs
from hgq2_core.exporting.ports import LayerWidths, Port, ports_of
from hgq2_qonnx.arrays import QonnxArrays
from hgq2_qonnx.graph import Graph
from hgq2_qonnx.operand import Operand
from hgq2_qonnx.reference import interpret

Floats = npt.NDArray[np.float64]

EXACT_TYPES = ("bool", "uint8", "int8", "uint16", "int16", "int32", "uint32", "float16", "bfloat16", "float32")
"""The dtypes of an input whose numbers float32 holds, as far as quantizers of at most 24 bits tell them apart."""


@dataclass(frozen=True, eq=False)
class Recording:
    """A model as a graph.

    Args:
        graph: from the inputs as the model takes them to its outputs.
        inputs: the model's inputs, with the formats in which the first quantizers bring them.
        outputs: the model's outputs.
        layers: the widths of each layer's outputs.
    """

    graph: Graph
    inputs: tuple[Port, ...]
    outputs: tuple[Port, ...]
    layers: tuple[LayerWidths, ...]

    def interpret(self, x: Floats) -> Floats:
        """Return the outputs of the graph by numpy, one row per sample, outputs concatenated.

        Args:
            x: one row per sample, inputs concatenated.
        """
        given = self.by_name(x, self.graph.inputs, self.inputs)
        return np.concatenate(interpret(self.graph, given), axis=1).astype(np.float64)

    def by_name(self, rows: Floats, names: Iterable[str], ports: Sequence[Port]) -> dict[str, npt.NDArray[np.float32]]:
        """Return the array of each input, or of each output, by the names that the graph has for them.

        Args:
            rows: one per sample, inputs or outputs concatenated.
            names: of the graph.
            ports: in their order.
        """
        ends = np.cumsum([prod(port.shape) for port in ports])[:-1]
        parts = np.split(rows.astype(np.float32), ends, axis=1)
        each = zip(names, ports, parts, strict=True)
        return {name: part.reshape(len(part), *port.shape) for name, port, part in each}


def record(
    model: keras.Model, input_format: tuple[int, int, int] | None = None, allow_plain: bool = False
) -> Recording:
    """Record a model's exact arithmetic.

    Args:
        model: a frozen model.
        input_format: (k, i, f) of all inputs, to which the graph rounds them first.
        allow_plain: whether plain operations may compute quantizers that QONNX has no node for.

    Raises:
        ExactnessError: a layer has no exact arithmetic or no nodes, float32 would round a number, or a layer takes an
            implicit mask.
    """
    require_stated_masks(model)
    for tensor in model.inputs:
        if tensor.dtype not in EXACT_TYPES:
            raise ExactnessError(
                f"input {tensor.name!r}: QONNX computes in float32. Received: dtype={tensor.dtype}. Allowed: float32."
            )
    host = HostInputs(model.inputs)
    results = output_names(model)
    names = _unlike([*(tensor.name for tensor in model.inputs), *results])
    arrays = QonnxArrays(host, names[: len(model.inputs)], allow_plain)
    layers: list[tuple[str, list[Operand]]] = []
    step = by_statements(arrays)

    def apply(layer: keras.layers.Layer, path: str, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
        arrays.graph.place = path
        with named(path):
            output = step(layer, path, args, kwargs)
        layers.append((path, keras.tree.flatten(output)))
        return output

    with named(model.name):
        starts = arrays.starts(input_format)
    made = run(model, starts, apply)
    with named(model.name):
        outputs = [arrays.entered(each) for each in made]
        if all(output.constant for output in outputs):
            raise ExactnessError(
                f"{model.name}: its outputs are constant, whatever the inputs are; there is nothing to export."
            )
        arrays.graph.outputs = [arrays.graph.constant(x.values) if x.constant else x.name for x in outputs]
    bits = [formats(output.bounds) for output in outputs]
    each = [
        np.concatenate([of.ravel() for of in columns]) for columns in zip(*((b.k, b.i, b.f) for b in bits), strict=True)
    ]
    tensors = zip(results, model.outputs, strict=True)
    return Recording(
        arrays.graph.needed().with_outputs(names[len(model.inputs) :]),
        host.ports(),
        ports_of(
            [(name, tensor.shape[1:], tensor.dtype) for name, tensor in tensors],
            zip(*map(np.ndarray.tolist, each), strict=True),
        ),
        tuple(_widths(path, outputs) for path, outputs in layers),
    )


def _unlike(names: Sequence[str]) -> list[str]:
    """Return names of which no two are the same."""
    made: list[str] = []
    for name in names:
        while name in made:
            name += "_"
        made.append(name)
    return made


def _widths(path: str, outputs: Sequence[Operand]) -> LayerWidths:
    widths = [formats(each.bounds).width.ravel() for each in outputs if each.raw is None]
    bits = np.concatenate([*widths, np.zeros(0, dtype=np.int64)])
    return LayerWidths(
        path, sum(int(np.prod(each.shape)) for each in outputs), int(bits.max(initial=0)), int(bits.sum())
    )
