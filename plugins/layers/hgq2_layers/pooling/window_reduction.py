"""Maxima and sums over windows and over whole axes, in floats and exactly, for pooling."""

from __future__ import annotations

import functools
from abc import ABC, abstractmethod
from collections.abc import Sequence
from typing import TypeVar

import keras
import numpy as np
from typing_extensions import override

from hgq2_core.exact.arrays import Arrays
from hgq2_core.ops import Tensor
from hgq2_layers.convolutional.windows import Table, Windows

A = TypeVar("A")


class Reduction(ABC):
    """How the values of a window become one."""

    padding: float
    """What stands in float windows where there is no input."""

    @abstractmethod
    def combine(self, a: Tensor, b: Tensor) -> Tensor:
        """Reduce two tensors, elementwise."""

    @abstractmethod
    def over(self, x: Tensor, axes: tuple[int, ...], keepdims: bool) -> Tensor:
        """Reduce whole axes."""

    @abstractmethod
    def exact_over(self, arrays: Arrays[A], x: A, axis: int) -> A:
        """Reduce a whole axis, exactly, which keeps size 1."""

    @abstractmethod
    def exact_taps(self, arrays: Arrays[A], x: A, table: Table, axis: int) -> A:
        """Put the taps of each window side by side in place of an axis: `(outputs, taps)`."""

    def windows(self, x: Tensor, geometry: Windows, spatial: Sequence[int], first: int) -> Tensor:
        """Reduce each window.

        Args:
            x: a tensor.
            geometry: how the windows lie, without dilation.
            spatial: sizes of the spatial axes.
            first: of these axes.
        """
        for axis, size in enumerate(spatial):
            pads = geometry.pads(axis, size)
            if any(pads):
                around = [pads if place == first + axis else (0, 0) for place in range(len(x.shape))]
                x = keras.ops.pad(x, around, constant_values=self.padding)
            stop, stride, taps = sum(pads) + size + 1, geometry.strides[axis], geometry.size[axis]
            before = (slice(None),) * (first + axis)
            parts = [x[(*before, slice(tap, stop - taps + tap, stride))] for tap in range(taps)]
            x = functools.reduce(self.combine, parts)
        return x

    def exact_windows(self, arrays: Arrays[A], x: A, geometry: Windows, first: int) -> A:
        """Reduce each window, exactly.

        Args:
            arrays: integers, intervals, or hardware.
            x: an operand.
            geometry: how the windows lie.
            first: of the spatial axes.
        """
        for axis in range(len(geometry.size)):
            place = first + axis
            x = self.exact_taps(arrays, x, geometry.table(axis, arrays.shape(x)[place]), place)
            x = self.exact_over(arrays, x, place + 1)
            shape = arrays.shape(x)
            x = arrays.reshape(x, (*shape[: place + 1], *shape[place + 2 :]))
        return x

    def exact_axes(self, arrays: Arrays[A], x: A, axes: tuple[int, ...], keepdims: bool) -> A:
        """Reduce whole axes, exactly."""
        for axis in axes:
            x = self.exact_over(arrays, x, axis)
        shape = arrays.shape(x)
        return x if keepdims else arrays.reshape(x, [size for axis, size in enumerate(shape) if axis not in axes])


class Maximum(Reduction):
    """The largest value."""

    padding = -np.inf

    @override
    def combine(self, a: Tensor, b: Tensor) -> Tensor:
        return keras.ops.maximum(a, b)

    @override
    def over(self, x: Tensor, axes: tuple[int, ...], keepdims: bool) -> Tensor:
        return keras.ops.max(x, axis=axes, keepdims=keepdims)

    @override
    def exact_over(self, arrays: Arrays[A], x: A, axis: int) -> A:
        """Return the largest, by a tree of comparisons."""
        while (size := arrays.shape(x)[axis]) > 1:
            half = size // 2
            pairs = arrays.maximum(
                arrays.gather(x, np.arange(half), axis), arrays.gather(x, np.arange(half, 2 * half), axis)
            )
            odd = [arrays.gather(x, np.arange(2 * half, size), axis)] if size % 2 else []
            x = arrays.concatenate([pairs, *odd], axis)
        return x

    @override
    def exact_taps(self, arrays: Arrays[A], x: A, table: Table, axis: int) -> A:
        """Put the taps side by side; one without an input repeats another of its window."""
        size = arrays.shape(x)[axis]
        return arrays.gather(x, np.where(table < size, table, table.min(axis=1, keepdims=True)), axis)


class Sum(Reduction):
    """The sum of all values."""

    padding = 0.0

    @override
    def combine(self, a: Tensor, b: Tensor) -> Tensor:
        return a + b

    @override
    def over(self, x: Tensor, axes: tuple[int, ...], keepdims: bool) -> Tensor:
        return keras.ops.sum(x, axis=axes, keepdims=keepdims)

    @override
    def exact_over(self, arrays: Arrays[A], x: A, axis: int) -> A:
        return arrays.sum(x, axis, keepdims=True)

    @override
    def exact_taps(self, arrays: Arrays[A], x: A, table: Table, axis: int) -> A:
        """Put the taps side by side; one outside the input takes a zero."""
        shape = arrays.shape(x)
        if (table == shape[axis]).any():
            x = arrays.pad(x, [(0, int(place == axis)) for place in range(len(shape))])
        return arrays.gather(x, table, axis)


MAXIMUM, SUM = Maximum(), Sum()
