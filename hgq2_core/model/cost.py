"""Effective bit operations of a model, and the table of what each layer uses."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import Any

import keras
import numpy as np
from typing_extensions import override

from hgq2_core.commands.notebook import Shown
from hgq2_core.discovery.registry import registry
from hgq2_core.keras_graph.traversal import applications
from hgq2_core.layers.adapters import adapter_of
from hgq2_core.layers.base import QLayer
from hgq2_core.layers.cost import own_ebops
from hgq2_core.layers.derived import one_derivation, operation_ebops
from hgq2_core.layers.operations import is_operation, operation_of
from hgq2_core.model.number_format import format_count, format_share
from hgq2_core.quantizers.base import Quantizer


def layer_ebops(layer: keras.layers.Layer) -> float:
    """Return a layer's own EBOPs for one sample, sublayers not counted; 0 where the layer does not count them."""
    if isinstance(layer, QLayer):
        return float(keras.ops.convert_to_numpy(own_ebops(layer))) if layer.enable_ebops and layer.built else 0.0
    if is_operation(layer):
        return float(keras.ops.convert_to_numpy(operation_ebops(layer)))
    adapter = adapter_of(layer)
    return 0.0 if adapter is None else float(adapter.ebops(layer))


def ebops(model: keras.layers.Layer) -> float:
    """Return the effective bit operations of a model for one sample.

    The sum over every application of a layer in its graph: nested models and sublayers included, a layer that is
    applied twice counted twice.

    Args:
        model: any Keras model, or a single layer.
    """
    own = 0.0 if isinstance(model, keras.Model) else layer_ebops(model)
    with one_derivation(model):
        return own + sum(layer_ebops(application.layer) for application in applications(model))


@dataclass(frozen=True)
class SlotRow:
    """The bits of one quantizer: mean, smallest and largest over its elements; for weights, the share that is zero.

    Its format has a name where all elements have the same and it is a standard one.
    """

    name: str
    kind: str
    mean: float
    min: float
    max: float
    zeroed: float | None
    format: str = ""

    @property
    def label(self) -> str:
        """The slot, and the name of its format."""
        return f"{self.name} {self.format}".rstrip()

    @property
    def cells(self) -> tuple[str, str, str, str]:
        """The numbers as every table shows them: mean, smallest and largest bits, and the share of zeros."""
        return f"{self.mean:.2f}", format_count(self.min), format_count(self.max), format_share(self.zeroed)


@dataclass(frozen=True)
class LayerRow:
    """One application of a layer: its place, kind, output shape, quantizers and EBOPs."""

    name: str
    kind: str
    output_shape: tuple[int | None, ...] | None
    slots: tuple[SlotRow, ...]
    ebops: float


@dataclass(frozen=True)
class Summary(Shown):
    """What each layer of a model uses; prints as a table, and notebooks show it."""

    layers: tuple[LayerRow, ...]

    @property
    def ebops(self) -> float:
        """The model's EBOPs."""
        return sum(row.ebops for row in self.layers)

    def to_dict(self) -> dict[str, Any]:
        """Return plain data."""
        return {"ebops": self.ebops, "layers": [asdict(row) for row in self.layers]}

    @override
    def __rich__(self) -> Any:
        from rich.table import Table

        table = Table("layer", "kind", "output", "slot", title=f"{format_count(self.ebops)} EBOPs")
        for heading in ("bits", "min", "max", "zeroed", "EBOPs"):
            table.add_column(heading, justify="right")
        for row in self.layers:
            shape = "" if row.output_shape is None else " × ".join(map(str, row.output_shape))
            head: tuple[str, ...] = (row.name, row.kind, shape)
            cost = format_count(row.ebops)
            for slot in row.slots:
                table.add_row(*head, slot.label, *slot.cells, cost)
                head, cost = ("", "", ""), ""
            if not row.slots:
                table.add_row(*head, "", "", "", "", "", cost)
        return table


def summary(model: keras.layers.Layer) -> Summary:
    """Tabulate a model: per application of a layer its shape, bits, zeroed weights and EBOPs.

    Args:
        model: a built Keras model.
    """
    with one_derivation(model):
        rows = tuple(
            LayerRow(item.path, _kind(item.layer), item.output_shape, _slots(item.layer), layer_ebops(item.layer))
            for item in applications(model)
            if not isinstance(item.layer, Quantizer)
        )
    return Summary(rows)


def _kind(layer: Any) -> str:
    if isinstance(layer, QLayer):
        return registry().kind_of("layers", type(layer)) or type(layer).__name__
    if is_operation(layer):
        return f"keras.ops.{operation_of(layer)}"
    public = getattr(keras.layers, type(layer).__name__, None)
    return f"keras.{type(layer).__name__}" if public is type(layer) else type(layer).__name__


def _slots(layer: Any) -> tuple[SlotRow, ...]:
    if not isinstance(layer, QLayer) or not layer.built:
        return ()
    constants = {layer.slot_quantizer(name): value for name, value in layer.constants().items()}
    values = {layer.slot_quantizer(name): value for name, value in layer.inputs_of_quantizers().items()}
    rows = []
    for quantizer in layer.quantizers:
        bits = np.asarray(keras.ops.convert_to_numpy(quantizer.bits(values.get(quantizer))), dtype=np.float64)
        zeroed = None
        if quantizer in constants:
            zeroed = float(np.mean(keras.ops.convert_to_numpy(constants[quantizer]) == 0))
        kind = registry().kind_of("quantizers", type(quantizer.config)) or type(quantizer.config).__name__
        widths = (float(bits.mean()), float(bits.min()), float(bits.max()))
        rows.append(SlotRow(quantizer.slot.name, kind, *widths, zeroed, quantizer.format_name()))
    return tuple(rows)
