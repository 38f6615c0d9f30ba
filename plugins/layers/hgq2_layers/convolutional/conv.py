"""Convolutions with quantized inputs, kernel, bias and outputs."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Callable, Sequence
from typing import ClassVar, TypeVar

import keras
from typing_extensions import override

from hgq2_core import ConfigError
from hgq2_core.exact.arrays import Arrays
from hgq2_core.layers.arguments import ActivationArg, PositiveInt, default
from hgq2_core.ops import Tensor
from hgq2_layers.convolutional import spatial
from hgq2_layers.convolutional.spatial import CausalPadding, DataFormatArg, Sizes
from hgq2_layers.convolutional.windows import Geometry, Windows, bits_per_tap, convolution_bits, exact_convolution
from hgq2_layers.core.affine import AffineLayer, BiasedLayer

A = TypeVar("A")
Shape = tuple[int | None, ...]


class ConvolvingLayer(BiasedLayer, kw_only=True):
    """What every convolution shares: its windows, data format, bias and cost.

    Inside, channels are last. The products of a transposed or strided convolution are those of its windows.

    A subclass has the arguments `kernel_size`, `strides`, `padding`, `data_format`, `dilation_rate`, `activation` and
    `use_bias`, where Keras takes them.

    Args:
        **kwargs: as in `BiasedLayer`.
    """

    rank: ClassVar[int]
    """Count of spatial axes."""

    @override
    def setup(self) -> None:
        """Expand sizes to one number for each axis, and make the quantizers.

        Raises:
            ConfigError: another count of numbers.
        """
        for name in ("kernel_size", "strides", "dilation_rate"):
            setattr(self, name, spatial.for_each_axis(name, getattr(self, name), self.rank))
        super().setup()

    @override
    def has_bias(self) -> bool:
        """Return True if there is a bias."""
        return bool(self.use_bias)

    @override
    def channel_axes(self) -> tuple[int, ...]:
        """The channels, which come first or last."""
        return (1,) if spatial.channels_first(self.data_format) else (-1,)

    def geometry(self) -> Geometry:
        """Return the windows."""
        return Windows(self.kernel_size, self.strides, self.dilation_rate, self.padding)

    @abstractmethod
    def out_channels(self, in_channels: int) -> int:
        """Return the output's channels."""

    def channels_of(self, input_shape: Shape) -> int:
        """Return the input's channels.

        Raises:
            ConfigError: a wrong rank, or channels without a static size.
        """
        channels = input_shape[self.channel_axes()[0]] if len(input_shape) == self.rank + 2 else None
        if channels is None:
            raise ConfigError(
                f"{self.name}: the input has a batch axis, {self.rank} spatial axes, and channels of a static size "
                f"({self.data_format}). Received: {tuple(input_shape)}."
            )
        return channels

    def spatial_of(self, shape: Shape) -> Shape:
        """Return the spatial part of a shape with a batch axis."""
        return tuple(shape[2:] if spatial.channels_first(self.data_format) else shape[1:-1])

    def compute_output_shape(self, input_shape: Shape) -> Shape:
        """Count windows, and take the output's channels.

        Raises:
            ConfigError: a shape that does not fit, or no window fits.
        """
        channels = self.out_channels(self.channels_of(input_shape))
        outputs = self.geometry().outputs(self.spatial_of(input_shape))
        if any(size is not None and size <= 0 for size in outputs):
            raise ConfigError(
                f"{self.name}: no window fits into the input. Received: {tuple(input_shape)} for "
                f"kernel_size={list(self.kernel_size)} and dilation_rate={list(self.dilation_rate)}."
            )
        ends = (channels, *outputs) if spatial.channels_first(self.data_format) else (*outputs, channels)
        return (input_shape[0], *ends)

    @override
    def build_around(self, input_shape: Sequence[int | None], bias_shape: Sequence[int] | None) -> None:
        """Build all but the kernels, and keep the spatial sizes for the cost."""
        self.spatial = self.spatial_of(tuple(input_shape))
        super().build_around(input_shape, bias_shape)

    @override
    def position_sizes(self) -> Shape:
        """Return the output's spatial sizes."""
        return self.spatial_of(self.built_output_shape)

    def largest_of_channels(self, x: Tensor) -> Tensor:
        """Return the largest of each channel of a sample."""
        channels = 0 if spatial.channels_first(self.data_format) else self.rank
        return keras.ops.max(x, tuple(axis for axis in range(self.rank + 1) if axis != channels))

    def bias_per_channel(self, bias: Tensor) -> Tensor:
        """Return the bias as one axis, of channels."""
        return keras.ops.reshape(bias, (-1,))

    def channels_last(self, x: Tensor) -> Tensor:
        """Move the channels after the spatial axes."""
        first = spatial.channels_first(self.data_format)
        return keras.ops.transpose(x, spatial.last_axis_order(self.rank)) if first else x

    def as_given(self, outputs: Tensor) -> Tensor:
        """Move the channels back to where the data format has them."""
        first = spatial.channels_first(self.data_format)
        return keras.ops.transpose(outputs, spatial.first_axis_order(self.rank)) if first else outputs

    def exact_channels_last(self, arrays: Arrays[A], x: A) -> A:
        """Move the channels after the spatial axes, exactly."""
        first = spatial.channels_first(self.data_format)
        return arrays.transpose(x, spatial.last_axis_order(self.rank)) if first else x

    def exact_as_given(self, arrays: Arrays[A], outputs: A) -> A:
        """Move the channels back to where the data format has them, exactly."""
        first = spatial.channels_first(self.data_format)
        return arrays.transpose(outputs, spatial.first_axis_order(self.rank)) if first else outputs

    def _bias_shape(self) -> tuple[int, ...]:
        return (-1, *(1,) * self.rank) if spatial.channels_first(self.data_format) else (-1,)

    @override
    def plus_bias(self, outputs: Tensor, bias: Tensor) -> Tensor:
        """Add the bias along the channels."""
        return outputs + keras.ops.reshape(bias, self._bias_shape())

    @override
    def exact_plus_bias(self, arrays: Arrays[A], outputs: A, bias: A) -> A:
        return arrays.add(outputs, arrays.reshape(bias, self._bias_shape()))

    def bits_per_tap(self, input_bits: Tensor) -> Tensor:
        """Return for each tap and channel the sum of the bits of its inputs at all outputs."""
        if spatial.channels_first(self.data_format):
            input_bits = keras.ops.moveaxis(input_bits, 0, -1)
        return bits_per_tap(input_bits, self.geometry(), self.spatial)


class Convolution(ConvolvingLayer, AffineLayer):
    """y = oq(act(conv(iq(x), kq(K)) + bq(b))).

    Args:
        filters: the output's channels.
        kernel_size: taps along each spatial axis, or one number for all.
        strides: between windows along each spatial axis, or one number for all.
        padding: `valid`, `same`, and in one dimension `causal`.
        data_format: `channels_last` or `channels_first`; None for Keras' own.
        dilation_rate: between taps along each spatial axis, or one number for all; where it is not 1, strides are.
        groups: into how many parts channels and filters are split.
        activation: `linear` (None) or `relu`.
        use_bias: whether there is a bias b.
        **kwargs: initializers, regularizers, constraints, quantizers and cost as in `AffineLayer`.

    Cost (docs/numerics.md#7): (sum conv(Bx, Bk) + sum over outputs of Bb) times the part that is computed at once.
    """

    filters: PositiveInt
    kernel_size: Sizes
    strides: Sizes = default(1)
    padding: CausalPadding = "valid"
    data_format: DataFormatArg = default(None)
    dilation_rate: Sizes = default(1)
    groups: PositiveInt = 1
    activation: ActivationArg = None
    use_bias: bool = True

    @override
    def setup(self) -> None:
        """Make the quantizers.

        Raises:
            ConfigError: arguments that do not go together.
        """
        if self.filters % self.groups:
            raise ConfigError(f"groups must divide filters. Received: groups={self.groups}, filters={self.filters}")
        if self.padding == "causal" and self.rank > 1:
            raise ConfigError("padding='causal' is for one dimension. Received: padding='causal'")
        super().setup()
        spatial.refuse_strides_with_dilation(self.strides, self.dilation_rate)

    @override
    def out_channels(self, in_channels: int) -> int:
        return self.filters

    @override
    def build(self, input_shape: Shape) -> None:
        """Add kernel and bias.

        Args:
            input_shape: batch axis included; the channels need a static size.

        Raises:
            ConfigError: the groups do not divide the channels, no window fits, or a factor beyond all positions.
        """
        channels = self.channels_of(input_shape)
        if channels % self.groups:
            raise ConfigError(
                f"{self.name}: groups must divide the input's channels. "
                f"Received: groups={self.groups} for {channels} channels."
            )
        kernel_shape = (*self.kernel_size, channels // self.groups, self.filters)
        self.build_parts(input_shape, kernel_shape, (self.filters,) if self.has_bias() else None)

    @override
    def product(self, x: Tensor, kernel: Tensor) -> Tensor:
        x, padding = self.channels_last(x), self.padding
        if padding == "causal":
            before = (self.kernel_size[0] - 1) * self.dilation_rate[0]
            x, padding = keras.ops.pad(x, ((0, 0), (before, 0), (0, 0))), "valid"
        return self.as_given(keras.ops.conv(x, kernel, self.strides, padding, "channels_last", self.dilation_rate))

    @override
    def product_ebops(self, input_bits: Tensor, kernel_bits: Tensor) -> Tensor:
        """Return sum conv(Bx, Bk)."""
        return convolution_bits(self.bits_per_tap(input_bits), kernel_bits, self.groups)

    @override
    def summed_kernel_axes(self) -> tuple[int, ...]:
        """Return the taps and the channels of a group."""
        return tuple(range(self.rank + 1))

    @override
    def inputs_on_kernel(self, x: Tensor, combine: Callable[..., Tensor]) -> Tensor:
        """Return the largest of each channel, (channels of a group, filters)."""
        grouped = keras.ops.reshape(self.largest_of_channels(x), (self.groups, -1))
        return keras.ops.repeat(keras.ops.transpose(grouped), self.filters // self.groups, axis=1)

    @override
    def bias_on_kernel(self, bias: Tensor) -> Tensor:
        """Return one for each filter."""
        return self.bias_per_channel(bias)

    @override
    def exact_product(self, arrays: Arrays[A], x: A, kernel: A) -> A:
        x = self.exact_channels_last(arrays, x)
        return self.exact_as_given(arrays, exact_convolution(arrays, x, kernel, self.geometry(), self.groups))


class QConv1D(Convolution):
    """Convolution over one axis, such as time; arguments, cost and arithmetic as in `Convolution`."""

    rank = 1
    fused_kind = "layers.conv1d_batch_norm"


class QConv2D(Convolution):
    """Convolution over two axes, such as those of an image; arguments, cost and arithmetic as in `Convolution`.

    Example:
        >>> layer = QConv2D(16, 3, padding="same", activation="relu", kernel_quantizer=KBI(b=5))
    """

    rank = 2
    fused_kind = "layers.conv2d_batch_norm"


class QConv3D(Convolution):
    """Convolution over three axes; arguments, cost and arithmetic as in `Convolution`."""

    rank = 3
    fused_kind = "layers.conv3d_batch_norm"
