"""Depthwise convolutions, alone and with a pointwise product after them, their kernels quantized apart."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import KW_ONLY
from typing import TypeVar

import keras
from typing_extensions import override

from hgq2_core.exact.arrays import Arrays
from hgq2_core.layers.arguments import (
    ActivationArg,
    ConstraintArg,
    InitializerArg,
    PositiveInt,
    QuantizerArg,
    RegularizerArg,
    default,
)
from hgq2_core.ops import Tensor, total
from hgq2_layers.convolutional.conv import ConvolvingLayer, Shape
from hgq2_layers.convolutional.spatial import DataFormatArg, Padding, Sizes
from hgq2_layers.convolutional.windows import exact_convolution

A = TypeVar("A")


class DepthwiseLayer(ConvolvingLayer, kw_only=True):
    """What has a kernel for each input channel, which mixes no channels.

    A subclass has the argument `depth_multiplier` too, where Keras takes it.

    Args:
        depthwise_quantizer: a config, a kind, a mapping, or None for the default of weights.
        depthwise_initializer: Keras initializer of the kernel.
        depthwise_regularizer: Keras regularizer of the kernel, or None.
        depthwise_constraint: Keras constraint of the kernel, or None.
        **kwargs: as in `ConvolvingLayer`.
    """

    depthwise_quantizer: QuantizerArg = None
    depthwise_initializer: InitializerArg = "glorot_uniform"
    depthwise_regularizer: RegularizerArg = None
    depthwise_constraint: ConstraintArg = None

    @override
    def add_kernel_quantizers(self) -> None:
        """Make the quantizer of the kernel, in which a pair of input channel and multiplier is a channel."""
        self.depthwise_quantizer = self.add_quantizer(self.depthwise_quantizer, "weight", "depthwise", (-2, -1))

    def add_depthwise_kernel(self, channels: int, name: str) -> None:
        """Add the kernel for these input channels, and build its quantizer."""
        shape = (*self.kernel_size, channels, self.depth_multiplier)
        self.depthwise_kernel = self.add_weight(
            name=name,
            shape=shape,
            initializer=self.depthwise_initializer,
            regularizer=self.depthwise_regularizer,
            constraint=self.depthwise_constraint,
        )
        self.depthwise_quantizer.build(shape)

    def depthwise(self, x: Tensor, kernel: Tensor) -> Tensor:
        """Convolve each channel, the last axis, with its own kernel."""
        return keras.ops.depthwise_conv(x, kernel, self.strides, self.padding, "channels_last", self.dilation_rate)

    def exact_depthwise(self, arrays: Arrays[A], x: A) -> A:
        """Convolve each channel, the last axis, with its own kernel, exactly."""
        kernel = self.constant(arrays, "depthwise")
        channels = arrays.shape(kernel)[-2]
        kernel = arrays.reshape(kernel, (*self.kernel_size, 1, channels * self.depth_multiplier))
        return exact_convolution(arrays, x, kernel, self.geometry(), groups=channels)

    def depthwise_ebops(self, input_bits: Tensor, kernel_bits: Tensor) -> Tensor:
        """Return the sum over all products of input bits times kernel bits."""
        return total(self.bits_per_tap(input_bits) * total(kernel_bits, -1))


class DepthwiseConvolution(DepthwiseLayer):
    """y = oq(act(depthwise_conv(iq(x), dq(K)) + bq(b))).

    Args:
        kernel_size: taps along each spatial axis, or one number for all.
        strides: between windows along each spatial axis, or one number for all.
        padding: `valid` or `same`.
        depth_multiplier: outputs for each input channel.
        data_format: `channels_last` or `channels_first`; None for Keras' own.
        dilation_rate: between taps along each spatial axis, or one number for all.
        activation: `linear` (None) or `relu`.
        use_bias: whether there is a bias b.
        **kwargs: initializers, regularizers, constraints, quantizers and cost, as in `DepthwiseLayer` and
            `BiasedLayer`.

    Cost (docs/numerics.md#7): (sum conv(Bx, Bk) + sum over outputs of Bb) times the part that is computed at once.
    """

    kernel_size: Sizes
    strides: Sizes = default(1)
    padding: Padding = "valid"
    depth_multiplier: PositiveInt = 1
    data_format: DataFormatArg = default(None)
    dilation_rate: Sizes = default(1)
    activation: ActivationArg = None
    use_bias: bool = True

    @override
    def out_channels(self, in_channels: int) -> int:
        """Return one channel for each pair of input channel and multiplier."""
        return in_channels * self.depth_multiplier

    @override
    def build(self, input_shape: Shape) -> None:
        """Add kernel and bias.

        Args:
            input_shape: batch axis included; the channels need a static size.

        Raises:
            ConfigError: a shape that does not fit, or a factor beyond all positions.
        """
        channels = self.channels_of(input_shape)
        self.add_depthwise_kernel(channels, "kernel")
        self.build_around(input_shape, (self.out_channels(channels),) if self.has_bias() else None)

    @override
    def kernels(self) -> dict[str, Tensor]:
        return {"depthwise": self.depthwise_kernel}

    @override
    def products(self, x: Tensor, constants: Mapping[str, Tensor], training: bool) -> Tensor:
        return self.as_given(self.depthwise(self.channels_last(x), constants["depthwise"]))

    @override
    def products_ebops(self, input_bits: Tensor, bits: Mapping[str, Tensor]) -> Tensor:
        """Return sum conv(Bx, Bk)."""
        return self.depthwise_ebops(input_bits, bits["depthwise"])

    @override
    def exact_products(self, arrays: Arrays[A], x: A) -> A:
        return self.exact_as_given(arrays, self.exact_depthwise(arrays, self.exact_channels_last(arrays, x)))


class SeparableConvolution(DepthwiseLayer):
    """y = oq(act(mq(depthwise_conv(iq(x), dq(D))) @ pq(P) + bq(b))), the second product over the channels.

    What is between the two products is quantized: the second one's cost counts its bits, and a sum of products of three
    factors is soon too wide for float32.

    Args:
        filters: the output's channels.
        kernel_size: taps along each spatial axis, or one number for all.
        strides: between windows along each spatial axis, or one number for all.
        padding: `valid` or `same`.
        data_format: `channels_last` or `channels_first`; None for Keras' own.
        dilation_rate: between taps along each spatial axis, or one number for all.
        depth_multiplier: outputs of the first product for each input channel.
        activation: `linear` (None) or `relu`.
        use_bias: whether there is a bias b.
        pointwise_initializer: Keras initializer of P.
        pointwise_regularizer: Keras regularizer of P, or None.
        pointwise_constraint: Keras constraint of P, or None.
        pointwise_quantizer: a config, a kind, a mapping, or None for the default of weights.
        intermediate_quantizer: of what is between the products, channels last: a config, a kind, a mapping, or None
            for the default of activations.
        **kwargs: initializers, regularizers, constraints and quantizers of D and b, and the cost, as in
            `DepthwiseLayer` and `BiasedLayer`.

    Cost (docs/numerics.md#7): (sum conv(Bx, Bd) + sum Bm @ Bp + sum over outputs of Bb) times the part computed at
    once.
    """

    filters: PositiveInt
    kernel_size: Sizes
    strides: Sizes = default(1)
    padding: Padding = "valid"
    data_format: DataFormatArg = default(None)
    dilation_rate: Sizes = default(1)
    depth_multiplier: PositiveInt = 1
    activation: ActivationArg = None
    use_bias: bool = True
    _: KW_ONLY
    pointwise_initializer: InitializerArg = "glorot_uniform"
    pointwise_regularizer: RegularizerArg = None
    pointwise_constraint: ConstraintArg = None
    pointwise_quantizer: QuantizerArg = None
    intermediate_quantizer: QuantizerArg = None

    @override
    def add_kernel_quantizers(self) -> None:
        """Make the quantizers of both kernels, and of what is between."""
        super().add_kernel_quantizers()
        self.intermediate_quantizer = self.add_quantizer(self.intermediate_quantizer, "activation", "intermediate")
        self.pointwise_quantizer = self.add_quantizer(self.pointwise_quantizer, "weight", "pointwise")

    @override
    def out_channels(self, in_channels: int) -> int:
        return self.filters

    @override
    def build(self, input_shape: Shape) -> None:
        """Add kernels and bias.

        Args:
            input_shape: batch axis included; the channels need a static size.

        Raises:
            ConfigError: a shape that does not fit, or a factor beyond all positions.
        """
        channels = self.channels_of(input_shape)
        self.add_depthwise_kernel(channels, "depthwise_kernel")
        between = channels * self.depth_multiplier
        outputs = self.spatial_of(self.compute_output_shape(input_shape))
        self.intermediate_quantizer.build((input_shape[0], *outputs, between))
        shape = (*(1,) * self.rank, between, self.filters)
        self.pointwise_kernel = self.add_weight(
            name="pointwise_kernel",
            shape=shape,
            initializer=self.pointwise_initializer,
            regularizer=self.pointwise_regularizer,
            constraint=self.pointwise_constraint,
        )
        self.pointwise_quantizer.build(shape)
        self.build_around(input_shape, (self.filters,) if self.has_bias() else None)

    @override
    def kernels(self) -> dict[str, Tensor]:
        return {"depthwise": self.depthwise_kernel, "pointwise": self.pointwise_kernel}

    @override
    def products(self, x: Tensor, constants: Mapping[str, Tensor], training: bool) -> Tensor:
        between = self.depthwise(self.channels_last(x), constants["depthwise"])
        between = self.intermediate_quantizer.quantize(between, training)
        pointwise = constants["pointwise"]
        return self.as_given(between @ keras.ops.reshape(pointwise, pointwise.shape[-2:]))

    @override
    def products_ebops(self, input_bits: Tensor, bits: Mapping[str, Tensor]) -> Tensor:
        """Return sum conv(Bx, Bd) + sum Bm @ Bp."""
        between = total(self.intermediate_quantizer.bits(), tuple(range(self.rank)))
        pointwise = total(between * total(bits["pointwise"], (*range(self.rank), -1)))
        return self.depthwise_ebops(input_bits, bits["depthwise"]) + pointwise

    @override
    def exact_products(self, arrays: Arrays[A], x: A) -> A:
        between = self.exact_depthwise(arrays, self.exact_channels_last(arrays, x))
        between = self.intermediate_quantizer.exact(arrays, between)
        pointwise = self.constant(arrays, "pointwise")
        pointwise = arrays.reshape(pointwise, arrays.shape(pointwise)[-2:])
        return self.exact_as_given(arrays, arrays.einsum("...i,io->...o", between, pointwise))


class QDepthwiseConv1D(DepthwiseConvolution):
    """Depthwise convolution over one axis; arguments, cost and arithmetic as in `DepthwiseConvolution`."""

    rank = 1
    fused_kind = "layers.depthwise_conv1d_batch_norm"


class QDepthwiseConv2D(DepthwiseConvolution):
    """Depthwise convolution over two axes; arguments, cost and arithmetic as in `DepthwiseConvolution`."""

    rank = 2
    fused_kind = "layers.depthwise_conv2d_batch_norm"


class QSeparableConv1D(SeparableConvolution):
    """Separable convolution over one axis; arguments, cost and arithmetic as in `SeparableConvolution`."""

    rank = 1


class QSeparableConv2D(SeparableConvolution):
    """Separable convolution over two axes; arguments, cost and arithmetic as in `SeparableConvolution`."""

    rank = 2
