"""Exact arithmetic of Keras' passive layers and of its rectifier."""

from __future__ import annotations

from typing import TypeVar

import keras

from hgq2_core import ExactnessError, KerasAdapter
from hgq2_core.exact.arrays import Arrays

A = TypeVar("A")


def rectify(arrays: Arrays[A], x: A) -> A:
    """Give max(x, 0)."""
    return arrays.maximum(x, arrays.constant(0.0))


class DropoutAdapter(KerasAdapter):
    """y = x in inference."""

    def exact(self, arrays: Arrays[A], layer: keras.layers.Layer, *inputs: A) -> A:
        """Hand the input on."""
        return inputs[0]


class FlattenAdapter(KerasAdapter):
    """One axis beside the batch."""

    def check(self, layer: keras.layers.Layer) -> None:
        """Refuse channels_first, which transposes only where there is more than one spatial axis."""
        if layer.data_format != "channels_last":
            raise ExactnessError(f"{layer.name}: Flatten is exact for channels_last. Received: {layer.data_format!r}.")

    def exact(self, arrays: Arrays[A], layer: keras.layers.Layer, *inputs: A) -> A:
        """Reshape to (batch, size)."""
        (x,) = inputs
        return arrays.reshape(x, (arrays.shape(x)[0], -1))


class ReshapeAdapter(KerasAdapter):
    """The target shape beside the batch."""

    def exact(self, arrays: Arrays[A], layer: keras.layers.Layer, *inputs: A) -> A:
        """Reshape to (batch, *target_shape)."""
        (x,) = inputs
        return arrays.reshape(x, (arrays.shape(x)[0], *layer.target_shape))


class ReLUAdapter(KerasAdapter):
    """y = max(x, 0)."""

    def check(self, layer: keras.layers.Layer) -> None:
        """Refuse the arguments that make it another function."""
        if layer.max_value is not None or layer.negative_slope != 0 or layer.threshold != 0:
            raise ExactnessError(
                f"{layer.name}: ReLU is exact without max_value, negative_slope and threshold. Received: "
                f"max_value={layer.max_value}, negative_slope={layer.negative_slope}, threshold={layer.threshold}. "
                "Use relu (QReLU) or leaky_relu (QLeakyReLU) in its place."
            )

    def exact(self, arrays: Arrays[A], layer: keras.layers.Layer, *inputs: A) -> A:
        """Take the maximum with 0."""
        return rectify(arrays, inputs[0])


class ActivationAdapter(KerasAdapter):
    """Activation("relu") and Activation("linear")."""

    def check(self, layer: keras.layers.Layer) -> None:
        """Refuse functions that need a table."""
        if layer.activation not in (keras.activations.relu, keras.activations.linear):
            raise ExactnessError(
                f"{layer.name}: Activation is exact for 'relu' and 'linear'. "
                f"Received: {getattr(layer.activation, '__name__', layer.activation)!r}. Use unary_function "
                "(QUnaryFunction) in its place, which makes it a lookup table."
            )

    def exact(self, arrays: Arrays[A], layer: keras.layers.Layer, *inputs: A) -> A:
        """Rectify, or hand on."""
        (x,) = inputs
        return rectify(arrays, x) if layer.activation is keras.activations.relu else x
