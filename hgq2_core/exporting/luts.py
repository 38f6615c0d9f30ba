"""LUTs before there is a circuit: what an exporter predicts, and that as the quantity of a budget or a loss."""

from __future__ import annotations

import functools
import operator
from dataclasses import asdict, dataclass
from typing import Any

import keras
from typing_extensions import override

from hgq2_core.discovery.registry import registry
from hgq2_core.errors import ConfigError
from hgq2_core.keras_graph.traversal import applications, layers_of
from hgq2_core.layers.base import QLayer
from hgq2_core.layers.cost import own_ebops
from hgq2_core.ops import Tensor


@dataclass(frozen=True)
class LayerLuts:
    """The predicted LUTs of one application of a layer.

    Args:
        name: its place in the model.
        luts: the prediction.
        ebops: its effective bit operations.
        fitted: whether the prediction is from its arithmetic; else it is from its EBOPs alone.
    """

    name: str
    luts: float
    ebops: float
    fitted: bool = True


@dataclass(frozen=True)
class LutEstimate:
    """The predicted LUTs of a model.

    Args:
        luts: the prediction.
        low: below this were 10 % of the trained models that the prediction was tested on, relative to it; at most the
            prediction.
        high: above this were 10 % of them; at least the prediction.
        layers: in the order of the graph.
        remark: what the spread rests on, and what it may not hold for.

    Raises:
        ConfigError: the prediction is not within its spread.
    """

    luts: float
    low: float
    high: float
    layers: tuple[LayerLuts, ...]
    remark: str

    def __post_init__(self) -> None:
        if not 0 <= self.low <= self.luts <= self.high:
            raise ConfigError(
                f"LUTs: a prediction lies within its spread. Received: {self.luts:g} in {self.low:g} to {self.high:g}."
            )

    def to_dict(self) -> dict[str, Any]:
        """Return plain data."""
        return asdict(self)

    @override
    def __str__(self) -> str:
        return f"{self.luts:,.0f} LUTs ({self.low:,.0f} to {self.high:,.0f})"


def estimate_luts(model: keras.Model, kind: str = "alkaid.alkaid") -> LutEstimate:
    """Predict the LUTs of a model's circuit from its weights and bits, without making it.

    Args:
        model: functional or sequential, trainable or frozen; the ranges of its activations are taken as they are.
        kind: the exporter whose circuits are predicted.

    Raises:
        ConfigError: the exporter predicts no LUTs.
        KindError: no installed plugin has such an exporter.
    """
    exporter = registry().load("exporters", kind, "LUTs")()
    predict = getattr(exporter, "predict_luts", None)
    found: LutEstimate | None = None if predict is None else predict(model)
    if found is None:
        raise ConfigError(f"LUTs: the exporter predicts none. Received: {kind!r}. Allowed: such as 'alkaid.alkaid'.")
    return found


class LutCost:
    """The LUTs of a model as the quantity of a budget, in a loss, and as prices of layers.

    Args:
        kind: the exporter whose circuits are predicted.
    """

    def __init__(self, kind: str = "alkaid.alkaid") -> None:
        self.kind = kind

    def of(self, model: keras.Model) -> float:
        """Return the predicted LUTs of a calibrated model."""
        return estimate_luts(model, self.kind).luts

    def per_ebop(self, model: keras.Model) -> dict[str, float]:
        """Return the LUTs that an EBOP of each layer stands for, by the layer's place; 0 where it has no EBOPs."""
        rows = estimate_luts(model, self.kind).layers
        return {row.name: row.luts / row.ebops if row.ebops else 0.0 for row in rows}

    def differentiable(self, model: keras.Model) -> Tensor:
        """Return the predicted LUTs as a tensor whose gradient reaches the bits.

        Its value is that of `of`. Its gradient is that of each layer's EBOPs times the LUTs that one of them stands for
        now: a layer's LUTs grow with its bits as its EBOPs do.

        Args:
            model: calibrated.
        """
        applied = {application.path: application.layer for application in applications(model)}
        total = keras.ops.zeros(())
        for row in estimate_luts(model, self.kind).layers:
            costs = [own_ebops(each) for each in _trained(applied.get(row.name))]
            if costs and row.ebops:
                total = total + functools.reduce(operator.add, costs) * (row.luts / row.ebops)
            else:
                total = total + row.luts
        return total


def _trained(layer: keras.layers.Layer | None) -> list[QLayer]:
    """Return the quantized layers of a layer, itself among them, whose bits may change."""
    inside = [] if layer is None else layers_of(layer)
    return [each for each in inside if isinstance(each, QLayer) and each.enable_ebops and not each.frozen]
