"""Exact arithmetic and cost for layers that are Keras' own: plugins offer one adapter per Keras layer."""

from __future__ import annotations

from typing import Any, TypeVar

import keras

from hgq2_core.errors import ExactnessError
from hgq2_core.exact.arrays import Arrays
from hgq2_core.kinds import registry
from hgq2_core.layer import QLayer

A = TypeVar("A")


class KerasAdapter:
    """Base of the adapters; registered among the layers under the name of the Keras layer, `keras.<Layer>`."""

    def check(self, layer: keras.layers.Layer) -> None:
        """Raise ExactnessError where this layer's arguments leave exact arithmetic."""

    def exact(self, arrays: Arrays[A], layer: keras.layers.Layer, *inputs: A) -> A:
        """State the layer's inference arithmetic.

        Args:
            arrays: integers, intervals, or hardware.
            layer: the Keras layer.
            inputs: operands of `arrays`, batch axis first.
        """
        raise NotImplementedError(f"{type(self).__name__} defines no exact().")

    def ebops(self, layer: keras.layers.Layer) -> Any:
        """Give the layer's own effective bit operations; passive layers have none."""
        return 0.0


def adapter_of(layer: keras.layers.Layer) -> KerasAdapter | None:
    """Give the adapter of exactly this layer's class, or None."""
    name = type(layer).__name__
    if type(layer) is not getattr(keras.layers, name, None):
        return None
    found = registry().adapter(name)
    return None if found is None else found()


def exact(arrays: Arrays[A], layer: keras.layers.Layer, path: str, *inputs: A) -> A:
    """Interpret one layer: by its own statement, or by the adapter of its Keras class.

    Args:
        arrays: integers, intervals, or hardware.
        layer: a quantized layer or a Keras layer.
        path: the layer's place in the model, for messages.
        inputs: operands of `arrays`.

    Raises:
        ExactnessError: the layer states no exact arithmetic.
    """
    if isinstance(layer, QLayer):
        return layer.exact(arrays, *inputs)
    adapter = adapter_of(layer)
    if adapter is None:
        kinds = [kind for kind in registry().names("layers") if kind.startswith("keras.")]
        raise ExactnessError(
            f"{path}: keras.{type(layer).__name__} has no exact arithmetic. Use a quantized layer in its place, "
            f"or one of {', '.join(kinds) or 'the Keras layers that a plugin adapts (none is installed)'}."
        )
    adapter.check(layer)
    return adapter.exact(arrays, layer, *inputs)
