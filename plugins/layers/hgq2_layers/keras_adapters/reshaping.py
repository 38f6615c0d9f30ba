"""Exact arithmetic of Keras' layers that move, repeat, cut or surround values."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, TypeVar

import keras
import numpy as np
from typing_extensions import override

from hgq2_core import ExactnessError, KerasAdapter
from hgq2_core.exact.arrays import Arrays

A = TypeVar("A")


def spatial(layer: Any, values: Any) -> list[tuple[int, Any]]:
    """Pair a layer's argument with its axes: one value for each spatial axis.

    Args:
        layer: of any data format.
        values: one value, or a sequence of them where the layer has several spatial axes.
    """
    first = 2 if getattr(layer, "data_format", None) == "channels_first" else 1
    return list(enumerate(values, start=first))


class PermuteAdapter(KerasAdapter):
    """The axes beside the batch, in another order."""

    @override
    def exact(self, arrays: Arrays[A], layer: keras.layers.Layer, *inputs: A) -> A:
        return arrays.transpose(inputs[0], (0, *layer.dims))


class RepeatVectorAdapter(KerasAdapter):
    """The same vector at every step."""

    @override
    def exact(self, arrays: Arrays[A], layer: keras.layers.Layer, *inputs: A) -> A:
        """Add an axis, and repeat along it."""
        (x,) = inputs
        batch, features = arrays.shape(x)
        return arrays.broadcast(arrays.reshape(x, (batch, 1, features)), (batch, layer.n, features))


class CroppingAdapter(KerasAdapter):
    """Spatial axes without their ends."""

    @override
    def exact(self, arrays: Arrays[A], layer: keras.layers.Layer, *inputs: A) -> A:
        """Take what is left of each axis."""
        (x,) = inputs
        for axis, (before, after) in spatial(layer, _pairs(layer.cropping)):
            x = arrays.gather(x, np.arange(before, arrays.shape(x)[axis] - after), axis)
        return x


class ZeroPaddingAdapter(KerasAdapter):
    """Zeros around the spatial axes."""

    @override
    def exact(self, arrays: Arrays[A], layer: keras.layers.Layer, *inputs: A) -> A:
        (x,) = inputs
        widths = dict(spatial(layer, _pairs(layer.padding)))
        return arrays.pad(x, [widths.get(axis, (0, 0)) for axis in range(len(arrays.shape(x)))])


class UpSamplingAdapter(KerasAdapter):
    """Each value repeated along the spatial axes."""

    exact_where = "interpolation is nearest"

    @override
    def check(self, layer: keras.layers.Layer) -> None:
        """Refuse to interpolate between values."""
        interpolation = getattr(layer, "interpolation", "nearest")
        if interpolation != "nearest":
            raise ExactnessError(
                f"{layer.name}: {type(layer).__name__} is exact for interpolation='nearest'. "
                f"Received: {interpolation!r}."
            )

    @override
    def exact(self, arrays: Arrays[A], layer: keras.layers.Layer, *inputs: A) -> A:
        """Take each value several times."""
        (x,) = inputs
        sizes = (layer.size,) if isinstance(layer.size, int) else layer.size
        for axis, size in spatial(layer, sizes):
            x = arrays.gather(x, np.repeat(np.arange(arrays.shape(x)[axis]), size), axis)
        return x


def _pairs(widths: Sequence[Any]) -> Sequence[tuple[int, int]]:
    # With one spatial axis Keras keeps the one pair bare.
    return [tuple(widths)] if isinstance(widths[0], int) else widths
