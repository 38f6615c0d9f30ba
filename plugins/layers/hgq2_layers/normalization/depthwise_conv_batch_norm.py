"""Depthwise convolutions whose channels are normalized, with one folded kernel and bias."""

from __future__ import annotations

import keras
from typing_extensions import override

from hgq2_core.ops import Tensor
from hgq2_layers.convolutional.depthwise import QDepthwiseConv1D, QDepthwiseConv2D
from hgq2_layers.normalization.conv_batch_norm import ConvBatchNorm


class DepthwiseConvBatchNorm(ConvBatchNorm, kw_only=True):
    """y = oq(act(depthwise_conv(iq(x), dq(s * K)) + bq(beta - mean * s))), as in `ConvBatchNorm`."""

    @override
    def scaled_kernel(self, kernel: Tensor, s: Tensor) -> Tensor:
        """Return s * K; an output's channel is a pair of input channel and multiplier."""
        return kernel * keras.ops.reshape(s, kernel.shape[-2:])


class QDepthwiseConv1DBatchNorm(DepthwiseConvBatchNorm, QDepthwiseConv1D):
    """Normalized depthwise convolution over one axis; arguments as in `DepthwiseConvolution`."""


class QDepthwiseConv2DBatchNorm(DepthwiseConvBatchNorm, QDepthwiseConv2D):
    """Normalized depthwise convolution over two axes; arguments as in `DepthwiseConvolution`.

    Example:
        >>> layer = QDepthwiseConv2DBatchNorm(3, padding="same", activation="relu")
    """
