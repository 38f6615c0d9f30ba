"""Exact arithmetic of Keras' own pooling layers, on whatever comes in."""

from __future__ import annotations

from typing import TypeVar

import keras
import numpy as np
from typing_extensions import override

from hgq2_core import ExactnessError, KerasAdapter
from hgq2_core.exact.arrays import Arrays
from hgq2_layers.convolutional import spatial
from hgq2_layers.convolutional.windows import Windows
from hgq2_layers.core.reciprocal import divisions
from hgq2_layers.pooling.max_pooling import Counts
from hgq2_layers.pooling.window_reduction import MAXIMUM, SUM

A = TypeVar("A")


def _first(layer: keras.layers.Layer) -> int:
    return 2 if spatial.channels_first(layer.data_format) else 1


def _axes(arrays: Arrays[A], layer: keras.layers.Layer, x: A) -> tuple[int, ...]:
    return tuple(range(_first(layer), _first(layer) + len(arrays.shape(x)) - 2))


def _windows(layer: keras.layers.Layer) -> Windows:
    return Windows(tuple(layer.pool_size), tuple(layer.strides), (1,) * len(layer.pool_size), layer.padding)


def _divided(arrays: Arrays[A], layer: keras.layers.Layer, sums: A, counts: Counts) -> A:
    """Divide by powers of two."""
    for count in counts.ravel():
        if count & (count - 1):
            kind = type(layer).__name__
            raise ExactnessError(
                f"{layer.name}: {kind} is exact where it averages a power of two of values. Received: {count} values. "
                f"Use Q{kind} with a reciprocal_quantizer in its place."
            )
    return arrays.shift(sums, -divisions(counts)[0])


class MaxPoolingAdapter(KerasAdapter):
    """The largest of each window; what `same` pads is in no window."""

    @override
    def exact(self, arrays: Arrays[A], layer: keras.layers.Layer, *inputs: A) -> A:
        """Take the maximum of each window."""
        return MAXIMUM.exact_windows(arrays, inputs[0], _windows(layer), _first(layer))


class GlobalMaxPoolingAdapter(KerasAdapter):
    """The largest of each channel."""

    @override
    def exact(self, arrays: Arrays[A], layer: keras.layers.Layer, *inputs: A) -> A:
        """Take the maximum of each channel."""
        return MAXIMUM.exact_axes(arrays, inputs[0], _axes(arrays, layer, inputs[0]), layer.keepdims)


class AveragePoolingAdapter(KerasAdapter):
    """The mean of each window of a power of two of values."""

    exact_where = "it averages a power of two of values"

    @override
    def exact(self, arrays: Arrays[A], layer: keras.layers.Layer, *inputs: A) -> A:
        """Sum each window, and shift."""
        (x,) = inputs
        windows, first = _windows(layer), _first(layer)
        sizes = arrays.shape(x)[first : first + len(windows.size)]
        pads = [windows.pads(axis, size) for axis, size in enumerate(sizes)]
        if any(before != after for before, after in pads):
            kind = type(layer).__name__
            raise ExactnessError(
                f"{layer.name}: {kind} is exact where padding='same' pads as much before as after; elsewhere backends "
                f"differ. Received: pads {pads}. Use Q{kind} in its place."
            )
        counts = windows.counts(sizes)
        counts = counts if first == 2 else counts[..., np.newaxis]
        return _divided(arrays, layer, SUM.exact_windows(arrays, x, windows, first), counts)


class GlobalAveragePoolingAdapter(KerasAdapter):
    """The mean of each channel of a power of two of values."""

    exact_where = "it averages a power of two of values"

    @override
    def exact(self, arrays: Arrays[A], layer: keras.layers.Layer, *inputs: A, mask: A | None = None) -> A:
        """Sum each channel, and shift."""
        if mask is not None:
            raise ExactnessError(
                f"{layer.name}: {type(layer).__name__} divides by the count of what a mask leaves, which rounds. "
                f"Use Q{type(layer).__name__} with masked=True in its place."
            )
        (x,) = inputs
        axes = _axes(arrays, layer, x)
        counts = np.asarray([np.prod([arrays.shape(x)[axis] for axis in axes])])
        return _divided(arrays, layer, SUM.exact_axes(arrays, x, axes, layer.keepdims), counts)
