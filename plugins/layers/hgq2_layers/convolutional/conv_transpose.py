"""Transposed convolutions with quantized inputs, kernel, bias and outputs."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, TypeVar

import keras
from pydantic import Field
from typing_extensions import override

from hgq2_core import ConfigError
from hgq2_core.exact.arrays import Arrays
from hgq2_core.layers.arguments import ActivationArg, PositiveInt, default
from hgq2_core.ops import Tensor
from hgq2_core.schema.base import FromList
from hgq2_layers.convolutional import spatial
from hgq2_layers.convolutional.conv import ConvolvingLayer, Shape
from hgq2_layers.convolutional.spatial import DataFormatArg, Padding, Sizes
from hgq2_layers.convolutional.windows import Geometry, TransposedWindows, convolution_bits, exact_convolution
from hgq2_layers.core.affine import AffineLayer

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from hgq2_core.layers.arguments import Arg

A = TypeVar("A")
NotNegative = Annotated[int, Field(ge=0)]

if TYPE_CHECKING:  # a number is passed too, which `setup` resolves
    Extra = Arg[int | Sequence[int] | None, tuple[int, ...] | None]
else:
    Extra = NotNegative | Annotated[tuple[NotNegative, ...], FromList] | None


class TransposedConvolution(ConvolvingLayer, AffineLayer):
    """y = oq(act(conv_transpose(iq(x), kq(K)) + bq(b))).

    Args:
        filters: the output's channels.
        kernel_size: taps along each spatial axis, or one number for all.
        strides: between the windows of neighbouring inputs along each spatial axis, or one number for all.
        padding: `valid` or `same`.
        output_padding: outputs more than there need be, below the strides, along each spatial axis, or one number for
            all; None for Keras' own choice.
        data_format: `channels_last` or `channels_first`; None for Keras' own.
        dilation_rate: between taps along each spatial axis, or one number for all; where it is not 1, strides are.
        activation: `linear` (None) or `relu`.
        use_bias: whether there is a bias b.
        **kwargs: initializers, regularizers, constraints, quantizers and cost as in `AffineLayer`.

    Cost (docs/numerics.md#7): (sum conv_transpose(Bx, Bk) + sum over outputs of Bb) times the part that is computed at
    once.
    """

    filters: PositiveInt
    kernel_size: Sizes
    strides: Sizes = default(1)
    padding: Padding = "valid"
    output_padding: Extra = default(None)
    data_format: DataFormatArg = default(None)
    dilation_rate: Sizes = default(1)
    activation: ActivationArg = None
    use_bias: bool = True

    @override
    def setup(self) -> None:
        """Make the quantizers.

        Raises:
            ConfigError: arguments that do not go together.
        """
        if self.output_padding is not None:
            self.output_padding = spatial.for_each_axis("output_padding", self.output_padding, self.rank)
        super().setup()
        spatial.refuse_strides_with_dilation(self.strides, self.dilation_rate)
        if any(extra >= stride for extra, stride in zip(self.output_padding or (), self.strides, strict=False)):
            raise ConfigError(
                "output_padding must be less than strides. "
                f"Received: output_padding={list(self.output_padding or ())}, strides={list(self.strides)}"
            )

    @override
    def kernel_channel_axes(self) -> tuple[int, ...]:
        """The filters, which come before the input's channels."""
        return (-2,)

    @override
    def geometry(self) -> Geometry:
        return TransposedWindows(self.kernel_size, self.strides, self.dilation_rate, self.padding, self.output_padding)

    @override
    def out_channels(self, in_channels: int) -> int:
        return self.filters

    @override
    def build(self, input_shape: Shape) -> None:
        """Add kernel and bias.

        Args:
            input_shape: batch axis included; the channels need a static size.

        Raises:
            ConfigError: a shape that does not fit, or a factor beyond all positions.
        """
        kernel_shape = (*self.kernel_size, self.filters, self.channels_of(input_shape))
        self.build_parts(input_shape, kernel_shape, (self.filters,) if self.has_bias() else None)

    @override
    def product(self, x: Tensor, kernel: Tensor) -> Tensor:
        return self.as_given(
            keras.ops.conv_transpose(
                self.channels_last(x),
                kernel,
                self.strides,
                self.padding,
                self.output_padding,
                "channels_last",
                self.dilation_rate,
            )
        )

    @override
    def product_ebops(self, input_bits: Tensor, kernel_bits: Tensor) -> Tensor:
        """Return sum conv_transpose(Bx, Bk)."""
        return convolution_bits(self.bits_per_tap(input_bits), keras.ops.swapaxes(kernel_bits, -1, -2))

    @override
    def summed_kernel_axes(self) -> tuple[int, ...]:
        """Return the taps and the channels."""
        return (*range(self.rank), self.rank + 1)

    @override
    def inputs_on_kernel(self, x: Tensor, combine: Callable[..., Tensor]) -> Tensor:
        """Return the largest of each channel."""
        return self.largest_of_channels(x)

    @override
    def bias_on_kernel(self, bias: Tensor) -> Tensor:
        """Return one for each filter, (filters, 1)."""
        return keras.ops.expand_dims(self.bias_per_channel(bias), -1)

    @override
    def exact_product(self, arrays: Arrays[A], x: A, kernel: A) -> A:
        axes = (*range(self.rank), self.rank + 1, self.rank)
        outputs = exact_convolution(
            arrays, self.exact_channels_last(arrays, x), arrays.transpose(kernel, axes), self.geometry()
        )
        return self.exact_as_given(arrays, outputs)


class QConv1DTranspose(TransposedConvolution):
    """Transposed convolution over one axis; arguments, cost and arithmetic as in `TransposedConvolution`."""

    rank = 1
    fused_kind = "layers.conv1d_transpose_batch_norm"


class QConv2DTranspose(TransposedConvolution):
    """Transposed convolution over two axes; arguments, cost and arithmetic as in `TransposedConvolution`."""

    rank = 2
    fused_kind = "layers.conv2d_transpose_batch_norm"


class QConv3DTranspose(TransposedConvolution):
    """Transposed convolution over three axes; arguments, cost and arithmetic as in `TransposedConvolution`."""

    rank = 3
    fused_kind = "layers.conv3d_transpose_batch_norm"
