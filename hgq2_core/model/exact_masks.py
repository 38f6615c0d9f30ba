"""Refuse masks that the exact arithmetic cannot see, because Keras passes them on beside the tensors."""

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

EXPLICIT = (
    "Give it the mask as an argument of its call, from an input of the model, and leave Masking and mask_zero=True out."
)


def require_explicit_masks(model: keras.layers.Layer) -> None:
    """Refuse a model in which such a mask has a part in the arithmetic.

    Raises:
        ExactnessError: names the layer that takes the mask, or makes it.
    """
    graph = _keras.functional(model)
    applied = [] if graph is None else list(_keras.nodes(graph))
    for layer, inputs, _ in applied:
        if isinstance(layer, keras.Model):
            require_explicit_masks(layer)
        elif _takes_mask(layer.call) and any(_keras.mask_of(tensor) is not None for tensor in inputs):
            _check(layer)
    for layer, _, _ in applied:
        if isinstance(layer, keras.layers.Masking):
            raise ExactnessError(f"{layer.name}: keras.Masking has no exact arithmetic. {WITHOUT}")


def _check(layer: Any) -> None:
    if not isinstance(layer, QLayer) and adapter_of(layer) is None:
        return  # whatever it is called with, it has no exact arithmetic
    explicit = isinstance(layer, QLayer) and _takes_mask(layer.exact)
    raise ExactnessError(
        f"{layer.name}: it takes the mask that {MAKERS}, makes, which is no part of the exact arithmetic. "
        f"{EXPLICIT if explicit else WITHOUT}"
    )


def _takes_mask(function: Callable[..., Any]) -> bool:
    return any(name == "mask" or name.endswith("_mask") for name in inspect.signature(function).parameters)
