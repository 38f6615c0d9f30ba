"""Transposed convolutions whose channels are normalized, with one folded kernel and bias."""

from __future__ import annotations

import keras
from typing_extensions import override

from hgq2_core.ops import Tensor
from hgq2_layers.convolutional.conv_transpose import QConv1DTranspose, QConv2DTranspose, QConv3DTranspose
from hgq2_layers.normalization.conv_batch_norm import ConvBatchNorm


class ConvTransposeBatchNorm(ConvBatchNorm, kw_only=True):
    """y = oq(act(conv_transpose(iq(x), kq(s * K)) + bq(beta - mean * s))), as in `ConvBatchNorm`."""

    @override
    def scaled_kernel(self, kernel: Tensor, s: Tensor) -> Tensor:
        """Return s * K; the filters come before the input's channels."""
        return kernel * keras.ops.expand_dims(s, -1)


class QConv1DTransposeBatchNorm(ConvTransposeBatchNorm, QConv1DTranspose):
    """Normalized transposed convolution over one axis; arguments as in `TransposedConvolution`."""


class QConv2DTransposeBatchNorm(ConvTransposeBatchNorm, QConv2DTranspose):
    """Normalized transposed convolution over two axes; arguments as in `TransposedConvolution`.

    Example:
        >>> layer = QConv2DTransposeBatchNorm(16, 3, strides=2, activation="relu")
    """


class QConv3DTransposeBatchNorm(ConvTransposeBatchNorm, QConv3DTranspose):
    """Normalized transposed convolution over three axes; arguments as in `TransposedConvolution`."""
