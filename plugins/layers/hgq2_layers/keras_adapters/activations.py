"""Exact arithmetic of Keras' passive layers and of its rectifier."""

from __future__ import annotations

import math
from typing import TypeVar

import keras
import numpy as np
from typing_extensions import override

from hgq2_core import ExactnessError, KerasAdapter
from hgq2_core.exact.arrays import Arrays
from hgq2_layers.activations.rectify import rectify

A = TypeVar("A")


class IdentityAdapter(KerasAdapter):
    """y = x in inference."""

    @override
    def exact(self, arrays: Arrays[A], layer: keras.layers.Layer, *inputs: A) -> A:
        """Hand the input on."""
        return inputs[0]


class FlattenAdapter(KerasAdapter):
    """One axis beside the batch."""

    @override
    def exact(self, arrays: Arrays[A], layer: keras.layers.Layer, *inputs: A) -> A:
        """Reshape to (batch, size), the channels last."""
        (x,) = inputs
        batch, *rest = arrays.shape(x)
        if layer.data_format == "channels_first" and rest:
            x = arrays.transpose(x, (0, *range(2, 1 + len(rest)), 1))
        return arrays.reshape(x, (batch, -1))


class ReshapeAdapter(KerasAdapter):
    """The target shape beside the batch."""

    @override
    def exact(self, arrays: Arrays[A], layer: keras.layers.Layer, *inputs: A) -> A:
        """Reshape to (batch, *target_shape)."""
        (x,) = inputs
        return arrays.reshape(x, (arrays.shape(x)[0], *layer.target_shape))


class ReLUAdapter(KerasAdapter):
    """x above the threshold, at most max_value; below it, negative_slope (x - threshold)."""

    exact_where = "float32 holds max_value and threshold, and negative_slope is 0 or a power of two"

    @override
    def check(self, layer: keras.layers.Layer) -> None:
        """Refuse numbers that float32 does not hold, and slopes that would round."""
        for name in ("max_value", "threshold"):
            value = getattr(layer, name)
            if value is not None and float(np.float32(value)) != value:
                raise ExactnessError(
                    f"{layer.name}: {name} of an exact ReLU is a number that float32 holds. Received: {name}={value}."
                )
        _check_slope(layer)

    @override
    def exact(self, arrays: Arrays[A], layer: keras.layers.Layer, *inputs: A) -> A:
        (x,) = inputs
        threshold = arrays.constant(layer.threshold)
        outputs = rectify(arrays, x)
        if layer.threshold:
            outputs = arrays.select(arrays.less(threshold, x), x, arrays.constant(0.0))
        if layer.max_value is not None:
            outputs = arrays.minimum(outputs, arrays.constant(layer.max_value))
        if layer.negative_slope:
            below = rectify(arrays, arrays.subtract(threshold, x))
            outputs = arrays.subtract(outputs, arrays.shift(below, _exponent(layer.negative_slope)))
        return outputs


class LeakyReLUAdapter(KerasAdapter):
    """x above 0, negative_slope x below."""

    exact_where = "negative_slope is 0 or a power of two"

    @override
    def check(self, layer: keras.layers.Layer) -> None:
        """Refuse slopes that would round."""
        _check_slope(layer)

    @override
    def quantized_kind(self, layer: keras.layers.Layer) -> str:
        """Return the layer that quantizes its slope."""
        return "layers.leaky_relu"

    @override
    def exact(self, arrays: Arrays[A], layer: keras.layers.Layer, *inputs: A) -> A:
        """Shift what is below 0."""
        (x,) = inputs
        if not layer.negative_slope:
            return rectify(arrays, x)
        below = arrays.less(x, arrays.constant(0.0))
        return arrays.select(below, arrays.shift(x, _exponent(layer.negative_slope)), x)


def _check_slope(layer: keras.layers.Layer) -> None:
    slope = layer.negative_slope
    if slope and math.frexp(slope)[0] != 0.5:
        raise ExactnessError(
            f"{layer.name}: negative_slope of an exact {type(layer).__name__} is 0 or a power of two. "
            f"Received: negative_slope={slope}."
        )


def _exponent(power: float) -> int:
    return math.frexp(power)[1] - 1


class ActivationAdapter(KerasAdapter):
    """Activation("relu") and Activation("linear")."""

    exact_where = "the activation is relu or linear"

    @override
    def check(self, layer: keras.layers.Layer) -> None:
        """Refuse functions that need a table."""
        if layer.activation not in (keras.activations.relu, keras.activations.linear):
            raise ExactnessError(
                f"{layer.name}: Activation is exact for 'relu' and 'linear'. "
                f"Received: {getattr(layer.activation, '__name__', layer.activation)!r}. Use unary_function "
                "(QUnaryFunction) in its place, which makes it a lookup table."
            )

    @override
    def quantized_kind(self, layer: keras.layers.Layer) -> str:
        """Return the table of a function of one number, or the softmax."""
        return "attention.softmax" if layer.activation is keras.activations.softmax else "layers.unary_function"

    @override
    def exact(self, arrays: Arrays[A], layer: keras.layers.Layer, *inputs: A) -> A:
        """Rectify, or pass through."""
        (x,) = inputs
        return rectify(arrays, x) if layer.activation is keras.activations.relu else x
