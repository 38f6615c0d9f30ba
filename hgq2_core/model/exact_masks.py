"""Refuse masks that have no exact arithmetic, before anything is computed."""

from __future__ import annotations

import inspect
from collections.abc import Callable
from typing import Any

import keras

from hgq2_core.errors import ExactnessError
from hgq2_core.keras_graph import private as _keras
from hgq2_core.layers.adapters import adapter_of
from hgq2_core.layers.base import QLayer
from hgq2_core.layers.masks import MAKERS, WITHOUT


def require_stated_masks(model: keras.layers.Layer) -> None:
    """Refuse a model in which a layer takes a mask that its exact arithmetic does not state.

    Raises:
        ExactnessError: names the layer.
    """
    graph = _keras.functional(model)
    for layer, args, kwargs in () if graph is None else _keras.calls(graph):
        masked = _is_handed_on((args, kwargs), [kwargs[name] for name in kwargs if _is_mask(name)])
        if isinstance(layer, keras.Model):
            if masked and (taker := _taker(layer)) is not None:
                raise ExactnessError(
                    f"{layer.name}: {taker.name} inside takes the mask that {MAKERS}, makes outside, which does not "
                    f"enter the graph of a nested model. Put its layers into the outer model, or what makes the mask "
                    f"into {layer.name}."
                )
            require_stated_masks(layer)
        elif masked and not _states_masks(layer):
            raise ExactnessError(
                f"{layer.name}: it takes the mask that {MAKERS}, makes, which is no part of its exact arithmetic. "
                f"{WITHOUT}"
            )


def _is_handed_on(arguments: Any, masks: Any) -> bool:
    """Return True if a mask comes beside a tensor, not as an argument that somebody wrote."""
    beside = {id(_keras.mask_of(tensor)) for tensor in keras.tree.flatten(arguments)}
    return any(mask is not None and id(mask) in beside for mask in keras.tree.flatten(masks))


def _taker(model: keras.Model) -> keras.layers.Layer | None:
    inside = (layer for layer in _keras.flatten_layers(model) if not isinstance(layer, keras.Model))
    return next((layer for layer in inside if _takes_mask(layer.call)), None)


def _states_masks(layer: Any) -> bool:
    if isinstance(layer, QLayer):
        return _takes_mask(layer.exact)
    adapter = adapter_of(layer)  # whatever a layer without one is called with, it has no exact arithmetic
    return adapter is None or _takes_mask(adapter.exact)


def _takes_mask(function: Callable[..., Any]) -> bool:
    return any(map(_is_mask, inspect.signature(function).parameters))


def _is_mask(name: str) -> bool:
    return name == "mask" or name.endswith("_mask")
