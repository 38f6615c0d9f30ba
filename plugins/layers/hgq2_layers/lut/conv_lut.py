"""Convolutions of lookup tables."""

from __future__ import annotations

import math
from dataclasses import KW_ONLY, dataclass
from typing import ClassVar, TypeVar

import keras
import numpy as np
import numpy.typing as npt
from typing_extensions import override

from hgq2_core import ConfigError
from hgq2_core.exact.arrays import Arrays
from hgq2_core.layers.arguments import ActivationArg, PositiveInt, default
from hgq2_core.ops import Tensor
from hgq2_layers.convolutional import spatial
from hgq2_layers.convolutional.spatial import DataFormatArg, Padding, Sizes
from hgq2_layers.lut.table_network import LUTLayer

A = TypeVar("A")


@dataclass(frozen=True)
class Axis:
    """How windows lie along one axis.

    Args:
        size: of the axis.
        kernel: elements of a window.
        stride: from window to window.
        dilation: from element to element.
        padding: `valid`, or `same` with zeros at both ends.
    """

    size: int
    kernel: int
    stride: int
    dilation: int
    padding: str

    @property
    def span(self) -> int:
        """What a window spans."""
        return (self.kernel - 1) * self.dilation + 1

    @property
    def windows(self) -> int:
        """How many windows there are; 0 or less where none fits."""
        return -(-(self.size if self.padding == "same" else self.size - self.span + 1) // self.stride)

    @property
    def pads(self) -> tuple[int, int]:
        """Zeros before and after."""
        missing = max((self.windows - 1) * self.stride + self.span - self.size, 0) if self.padding == "same" else 0
        return missing // 2, missing - missing // 2

    @property
    def places(self) -> npt.NDArray[np.int32]:
        """The places of each window's elements along the padded axis: (windows, kernel)."""
        starts = np.arange(self.windows)[:, np.newaxis] * self.stride
        return (starts + np.arange(self.kernel) * self.dilation).astype(np.int32)


class ConvLUTLayer(LUTLayer):
    """y_o = oq(act(sum over the window of tq(f_io(iq(x_i))))): a table for each element of a window and each filter.

    Inside, channels are last. Padding is with inputs of 0, which the tables see as any other. A subclass says how many
    spatial axes there are.

    Args:
        filters: outputs of each window.
        kernel_size: of the window; a number for all axes, or a list.
        strides: from window to window; a number for all axes, or a list.
        padding: `valid` or `same`.
        dilation_rate: from element to element of a window; a number for all axes, or a list.
        activation: act, `linear` (None) or `relu`.
        data_format: `channels_last` or `channels_first`; None for Keras' own.
        **kwargs: networks and quantizers as in `LUTLayer`.
    """

    spatial: ClassVar[int]
    """The number of spatial axes."""

    filters: PositiveInt
    kernel_size: Sizes
    strides: Sizes = default(1)
    padding: Padding = "valid"
    dilation_rate: Sizes = default(1)
    activation: ActivationArg = None
    _: KW_ONLY
    data_format: DataFormatArg = default(None)

    @override
    def setup(self) -> None:
        """Expand sizes to one number for each axis, and make the quantizers and the tables.

        Raises:
            ConfigError: another count of numbers.
        """
        for name in ("kernel_size", "strides", "dilation_rate"):
            setattr(self, name, self._per_axis(name, getattr(self, name)))
        super().setup()

    def _per_axis(self, name: str, sizes: int | tuple[int, ...]) -> tuple[int, ...]:
        given = (sizes,) * self.spatial if isinstance(sizes, int) else tuple(sizes)
        if len(given) != self.spatial:
            raise ConfigError(
                f"{type(self).__name__}: {name} is a number, or a list of {self.spatial}. "
                f"Received: {name}={list(given)}"
            )
        return given

    @property
    def channels_first(self) -> bool:
        """Whether the channels stand before the spatial axes."""
        return spatial.channels_first(self.data_format)

    def channels_last(self, shape: tuple[int | None, ...]) -> tuple[int | None, ...]:
        """Return a shape with the channels last."""
        return (shape[0], *shape[2:], shape[1]) if self.channels_first else shape

    @override
    def output_channel_axes(self) -> tuple[int, ...]:
        """The filters, which come first or last."""
        return (1,) if self.channels_first else (-1,)

    def _axes_taken(self) -> str:
        between = f"{self.spatial} spatial axes"
        return f"(batch, channels, {between})" if self.channels_first else f"(batch, {between}, channels)"

    def axes(self, input_shape: tuple[int | None, ...]) -> list[Axis]:
        """Return how the windows lie along each spatial axis.

        Args:
            input_shape: batch axis included.

        Raises:
            ConfigError: another rank, a size that is not static, or no room for a window.
        """
        if len(input_shape) != self.spatial + 2 or None in input_shape[1:]:
            raise ConfigError(
                f"{self.name}: takes {self._axes_taken()}, each but the batch of a static size. "
                f"Received: {tuple(input_shape)}."
            )
        sizes = zip(
            self.channels_last(input_shape)[1:-1], self.kernel_size, self.strides, self.dilation_rate, strict=True
        )
        axes = [
            Axis(int(size or 0), kernel, stride, dilation, self.padding) for size, kernel, stride, dilation in sizes
        ]
        if any(axis.windows < 1 for axis in axes):
            raise ConfigError(
                f"{self.name}: no window of kernel_size={list(self.kernel_size)} fits. Received: {tuple(input_shape)}."
            )
        return axes

    @override
    def build(self, input_shape: tuple[int | None, ...]) -> None:
        """Add the networks.

        Args:
            input_shape: `(batch, *spatial, channels)`, or as the data format has it.
        """
        self.built_axes = self.axes(tuple(input_shape))
        elements = math.prod(self.kernel_size) * int(self.channels_last(tuple(input_shape))[-1] or 0)
        windows = (input_shape[0], *[axis.windows for axis in self.built_axes], elements)
        self.build_parts(tuple(input_shape), windows, self.filters)

    def compute_output_shape(self, input_shape: tuple[int | None, ...]) -> tuple[int | None, ...]:
        """Return the number of windows along each axis, and the filters."""
        windows = [axis.windows for axis in self.axes(tuple(input_shape))]
        ends = (self.filters, *windows) if self.channels_first else (*windows, self.filters)
        return (input_shape[0], *ends)

    @override
    def position_sizes(self) -> list[int]:
        """Return how many windows there are along each axis."""
        return [axis.windows for axis in self.built_axes]

    @override
    def windows(self, x: Tensor) -> Tensor:
        """Return the elements of each window, channels fastest."""
        if self.channels_first:
            x = keras.ops.transpose(x, spatial.last_axis_order(self.spatial))
        x = keras.ops.pad(x, [(0, 0), *[axis.pads for axis in self.built_axes], (0, 0)])
        for number, axis in enumerate(self.built_axes):
            x = keras.ops.take(x, axis.places, axis=1 + 2 * number)
        order, shape = self._arrangement()
        return keras.ops.reshape(keras.ops.transpose(x, order), (-1, *shape))

    @override
    def exact_windows(self, arrays: Arrays[A], x: A) -> A:
        if self.channels_first:
            x = arrays.transpose(x, spatial.last_axis_order(self.spatial))
        x = arrays.pad(x, [(0, 0), *[axis.pads for axis in self.built_axes], (0, 0)])
        for number, axis in enumerate(self.built_axes):
            x = arrays.gather(x, axis.places, 1 + 2 * number)
        order, shape = self._arrangement()
        return arrays.reshape(arrays.transpose(x, order), (arrays.shape(x)[0], *shape))

    @override
    def sums(self, y: Tensor) -> Tensor:
        """Sum over the elements of each window, and put the filters where the data format has them."""
        outputs = super().sums(y)
        return keras.ops.transpose(outputs, spatial.first_axis_order(self.spatial)) if self.channels_first else outputs

    @override
    def exact_sums(self, arrays: Arrays[A], y: A) -> A:
        outputs = super().exact_sums(arrays, y)
        return arrays.transpose(outputs, spatial.first_axis_order(self.spatial)) if self.channels_first else outputs

    def _arrangement(self) -> tuple[tuple[int, ...], tuple[int, ...]]:
        """Say how (batch, windows, kernel, windows, kernel, ..., channels) becomes (batch, *windows, elements)."""
        last = 2 * self.spatial + 1
        order = (0, *range(1, last, 2), *range(2, last, 2), last)
        return order, (*[axis.windows for axis in self.built_axes], self.table.own[0])


class QConv1DLUT(ConvLUTLayer):
    """A convolution of lookup tables along one axis; arguments as in `ConvLUTLayer`."""

    spatial = 1


class QConv2DLUT(ConvLUTLayer):
    """A convolution of lookup tables along two axes; arguments as in `ConvLUTLayer`."""

    spatial = 2
