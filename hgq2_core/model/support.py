"""Find what `verify` and `export` would refuse, from the graph of a model alone, before it is trained or calibrated."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import asdict, dataclass
from typing import Any, Literal

import keras
from typing_extensions import override

from hgq2_core.errors import ExactnessError
from hgq2_core.exact import Intervals
from hgq2_core.keras_graph import private as _keras
from hgq2_core.layers.adapters import exact, statement_of, sublayers
from hgq2_core.layers.base import QLayer
from hgq2_core.model.exact_masks import require_stated_masks
from hgq2_core.model.verification import unknown


@dataclass(frozen=True)
class UnsupportedLayer:
    """A layer that stands in the way of a model's verification or export.

    Args:
        layer: its place in the model.
        stage: the first that refuses it: `verify`, and with it `freeze` and `export`; or `export` alone.
        reason: why, and the remedy.
    """

    layer: str
    stage: Literal["verify", "export"]
    reason: str

    @override
    def __str__(self) -> str:
        return f"{self.layer}: {self.reason}"

    def to_dict(self) -> dict[str, Any]:
        """Return plain data."""
        return asdict(self)


def unsupported_layers(model: keras.Model) -> tuple[UnsupportedLayer, ...]:
    """Find the layers of a built model that have no exact arithmetic, and what no circuit can take.

    Only what training does not change is looked at; whether the widths fit is for `verify` and `export` to find.

    Args:
        model: trained or not, calibrated or not.

    Returns:
        In the order of the graph; empty where nothing stands in the way.
    """
    inexact = {each.layer: each for each in (*_inexact(model, ""), *_masks(model))}
    return (*inexact.values(), *_dynamic_inputs(model))


def _inexact(model: keras.Model, prefix: str) -> Iterator[UnsupportedLayer]:
    graph = _keras.functional(model)
    if graph is None:
        reason = f"the graph of this {type(model).__name__} is not known. Use a functional or sequential model."
        yield UnsupportedLayer(prefix.rstrip("/") or model.name, "verify", reason)
        return
    for layer, args, kwargs in _keras.calls(graph):
        yield from _of_layer(layer, prefix + layer.name, args, kwargs)


def _of_layer(
    layer: keras.layers.Layer, path: str, args: tuple[Any, ...], kwargs: Mapping[str, Any]
) -> Iterator[UnsupportedLayer]:
    if isinstance(layer, keras.Model):
        yield from _inexact(layer, f"{path}/")
        return
    inside = sublayers(layer)
    if any(isinstance(each, QLayer | keras.Model) or sublayers(each) for each in inside):
        for each in inside:
            yield from _of_layer(each, f"{path}/{each.name}", (), {})
        return
    try:
        if isinstance(layer, QLayer) or not args:
            _check(layer, path, kwargs)
        else:
            exact(Intervals(), layer, path, *keras.tree.map_structure(_unbounded, (args, dict(kwargs))))
    except (ExactnessError, NotImplementedError) as error:
        reason = str(error).removeprefix(f"{path}: ").removeprefix(f"{layer.name}: ")
        yield UnsupportedLayer(path, "verify", reason)


def _check(layer: keras.layers.Layer, path: str, kwargs: Mapping[str, Any]) -> None:
    """Look for a layer's statement, without running it."""
    statement_of(layer, path, kwargs)
    if isinstance(layer, QLayer) and type(layer).exact is QLayer.exact:
        raise ExactnessError(f"{type(layer).__name__} defines no exact(), the statement of its arithmetic.")


def _unbounded(value: Any) -> Any:
    return unknown(value.shape[1:]) if isinstance(value, keras.KerasTensor) else value


def _masks(model: keras.Model) -> Iterator[UnsupportedLayer]:
    try:
        require_stated_masks(model)
    except ExactnessError as error:
        layer, _, reason = str(error).partition(": ")
        yield UnsupportedLayer(layer, "verify", reason)


def _dynamic_inputs(model: keras.Model) -> Iterator[UnsupportedLayer]:
    if _keras.functional(model) is None:
        return
    for tensor in model.inputs:
        shape = tuple(tensor.shape[1:])
        if None in shape:
            reason = (
                f"a circuit needs a static size of every axis but the batch's. Received: shape {list(shape)}. "
                "Give the input its size."
            )
            yield UnsupportedLayer(tensor.name, "export", reason)
