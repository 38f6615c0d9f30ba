"""Windows that slide along spatial axes: which input each tap takes at each output, for convolutions and pooling."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TypeVar

import keras
import numpy as np
import numpy.typing as npt
from typing_extensions import override

from hgq2_core.exact.arrays import Arrays
from hgq2_core.ops import Tensor, total

A = TypeVar("A")
Table = npt.NDArray[np.int64]
"""For each output (row) and each tap of the window (column) the place of its input; the size where none is."""

Spatial = Sequence[int | None]

OUTPUTS, TAPS = "abc", "xyz"
"""Letters of up to three spatial axes in equations."""


@dataclass(frozen=True)
class Geometry(ABC):
    """How windows lie along each spatial axis; axes are counted from 0.

    Args:
        size: taps.
        strides: between windows.
        dilation: between taps.
        padding: `valid`, `same`, or, in convolutions alone, `causal`.
    """

    size: tuple[int, ...]
    strides: tuple[int, ...]
    dilation: tuple[int, ...]
    padding: str

    def span(self, axis: int) -> int:
        """Return how long a window is, from its first tap to its last."""
        return (self.size[axis] - 1) * self.dilation[axis] + 1

    def outputs(self, spatial: Spatial) -> tuple[int | None, ...]:
        """Return the output's spatial sizes, 0 or less where no window fits; None where the input has none."""
        return tuple(None if size is None else self.output(axis, size) for axis, size in enumerate(spatial))

    @abstractmethod
    def output(self, axis: int, size: int) -> int:
        """Return the output's size along one axis."""

    @abstractmethod
    def table(self, axis: int, size: int) -> Table:
        """Return the table of one axis for an input of this size."""


@dataclass(frozen=True)
class Windows(Geometry):
    """The windows of convolutions and pooling."""

    @override
    def output(self, axis: int, size: int) -> int:
        """Return how many windows there are."""
        lost = self.span(axis) - 1 if self.padding == "valid" else 0
        return -(-(size - lost) // self.strides[axis])

    def pads(self, axis: int, size: int) -> tuple[int, int]:
        """Return the padding before the input and after it."""
        if self.padding == "valid":
            return 0, 0
        if self.padding == "causal":
            return self.span(axis) - 1, 0
        missing = max((self.output(axis, size) - 1) * self.strides[axis] + self.span(axis) - size, 0)
        return missing // 2, missing - missing // 2

    @override
    def table(self, axis: int, size: int) -> Table:
        """Return the table of one axis: windows side by side."""
        first = np.arange(self.output(axis, size)) * self.strides[axis] - self.pads(axis, size)[0]
        return _within(first[:, np.newaxis] + np.arange(self.size[axis]) * self.dilation[axis], size)

    def counts(self, sizes: Sequence[int]) -> npt.NDArray[np.int64]:
        """Return how many inputs each window has, for an input of these spatial sizes."""
        counts = np.ones((), dtype=np.int64)
        for axis, size in enumerate(sizes):
            counts = np.multiply.outer(counts, (self.table(axis, size) != size).sum(axis=1))
        return counts


@dataclass(frozen=True)
class TransposedWindows(Geometry):
    """The windows of transposed convolutions, in each of which one input spreads over outputs.

    Args:
        output_padding: outputs more than there need be, as Keras counts them; None for Keras' own choice.
    """

    output_padding: tuple[int, ...] | None

    @override
    def output(self, axis: int, size: int) -> int:
        """Return how many outputs the windows cover, cropped or padded as Keras does."""
        stride, span, extra = self.strides[axis], self.span(axis), self._extra(axis)
        if self.padding == "valid":
            return (size - 1) * stride + span + (max(stride - span, 0) if extra is None else extra)
        return size * stride if extra is None else (size - 1) * stride + span % 2 + extra

    def _extra(self, axis: int) -> int | None:
        return None if self.output_padding is None else self.output_padding[axis]

    def _cropped(self, axis: int) -> int:
        """Return how many outputs `same` cuts off in front."""
        if self.padding == "valid":
            return 0
        span, extra = self.span(axis), self._extra(axis)
        kept = span + self.strides[axis] - 2 if extra is None else span + span % 2 - 2 + extra
        return max(span - 1 - (kept + 1) // 2, 0)

    @override
    def table(self, axis: int, size: int) -> Table:
        """Return the table of one axis: each output takes the inputs whose windows hold it."""
        places = np.arange(self.output(axis, size))[:, np.newaxis] + self._cropped(axis)
        inputs, rest = np.divmod(places - np.arange(self.size[axis]) * self.dilation[axis], self.strides[axis])
        return _within(np.where(rest == 0, inputs, size), size)


def _within(places: Table, size: int) -> Table:
    return np.where((places >= 0) & (places < size), places, size)


def gathered(arrays: Arrays[A], x: A, geometry: Geometry) -> A:
    """Put the taps of all windows side by side: `(batch, outputs, taps, outputs, taps, ..., channels)`.

    Args:
        arrays: integers, intervals, or hardware.
        x: `(batch, *spatial, channels)`; a tap outside takes a zero.
        geometry: the windows.
    """
    for axis in reversed(range(len(geometry.size))):
        size = arrays.shape(x)[axis + 1]
        table = geometry.table(axis, size)
        if (table == size).any():
            x = arrays.pad(x, [(0, int(place == axis + 1)) for place in range(len(arrays.shape(x)))])
        x = arrays.gather(x, table, axis=axis + 1)
    return x


def exact_convolution(arrays: Arrays[A], x: A, kernel: A, geometry: Geometry, groups: int = 1) -> A:
    """Convolve, exactly.

    Args:
        arrays: integers, intervals, or hardware.
        x: `(batch, *spatial, channels)`.
        kernel: `(*taps, channels of a group, filters)`.
        geometry: the windows.
        groups: into how many parts channels and filters are split.

    Returns:
        `(batch, *outputs, filters)`.
    """
    rank = len(geometry.size)
    outputs, taps = OUTPUTS[:rank], TAPS[:rank]
    windows = "".join(pair for both in zip(outputs, taps, strict=True) for pair in both)
    equation = f"n{windows}i,{taps}io->n{outputs}o"
    x = gathered(arrays, x, geometry)
    channels, filters = (
        np.arange(size).reshape(groups, -1) for size in (arrays.shape(x)[-1], arrays.shape(kernel)[-1])
    )
    if groups == 1:
        return arrays.einsum(equation, x, kernel)
    # A product of matrices for each group is faster than one einsum of all.
    parts = [
        arrays.einsum(equation, arrays.gather(x, channels[group], 2 * rank + 1), arrays.gather(kernel, own, rank + 1))
        for group, own in enumerate(filters)
    ]
    return arrays.concatenate(parts, axis=rank + 1)


def bits_per_tap(input_bits: Tensor, geometry: Geometry, spatial: Spatial) -> Tensor:
    """Return for each tap and channel the sum of the bits of its inputs at all outputs.

    Args:
        input_bits: `(*spatial, channels)`.
        geometry: the windows.
        spatial: sizes; an axis without one counts as one output, whose window lies inside the input.
    """
    for axis, size in enumerate(spatial):
        if size is None:
            uses = np.ones((geometry.size[axis], 1))
        else:
            table = geometry.table(axis, size)
            uses = (table[:, :, np.newaxis] == np.arange(size)).sum(axis=0)
        axes = "".join("s" if place == axis else OUTPUTS[place] for place in range(len(spatial)))
        equation = f"ts,{axes}i->{axes.replace('s', 't')}i"
        input_bits = keras.ops.einsum(equation, keras.ops.convert_to_tensor(uses, "float32"), input_bits)
    return input_bits


def convolution_bits(tap_bits: Tensor, kernel_bits: Tensor, groups: int = 1) -> Tensor:
    """Return the sum over all products of input bits times kernel bits.

    Args:
        tap_bits: input bits, as from `bits_per_tap`.
        kernel_bits: `(*taps, channels of a group, filters)`.
        groups: into how many parts channels and filters are split.
    """
    *taps, channels, filters = kernel_bits.shape
    split = keras.ops.reshape(kernel_bits, (-1, channels, groups, filters // groups))
    by_channel = keras.ops.transpose(total(split, -1), (0, 2, 1))
    return total(tap_bits * keras.ops.reshape(by_channel, (*taps, groups * channels)))
