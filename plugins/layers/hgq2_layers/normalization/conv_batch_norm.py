"""Convolutions whose channels are normalized, with one folded kernel and bias."""

from __future__ import annotations

from typing import Any

import keras
from typing_extensions import override

from hgq2_core import ConfigError
from hgq2_core.ops import Tensor
from hgq2_layers.convolutional.conv import ConvolvingLayer, QConv1D, QConv2D, QConv3D
from hgq2_layers.convolutional.spatial import channels_first
from hgq2_layers.normalization.affine_batch_norm import AffineBatchNorm


class ConvBatchNorm(AffineBatchNorm, ConvolvingLayer, kw_only=True):
    """y = oq(act(conv(iq(x), kq(s * K)) + bq(beta - mean * s))); statistics of conv(iq(x), K) over batch and positions.

    A mixin in front of the convolution with one kernel that says which product. Its arguments are those of the
    convolution but for the bias, which beta replaces, and those of `NormalizationLayer`.

    Cost (docs/numerics.md#7): that of the convolution, by the bits of the folded kernel and bias.
    """

    not_in_schema = (*AffineBatchNorm.not_in_schema, "use_bias")

    @classmethod
    @override
    def axes_from_keras(cls, layer: keras.layers.Layer, norm: keras.layers.Layer) -> dict[str, Any]:
        """Refuse a normalization of another axis than the channels."""
        rank = norm.input_spec.ndim
        channels = 1 if channels_first(layer.data_format) else rank - 1
        if norm.axis % rank != channels:
            raise ConfigError(
                f"{norm.name}: {cls.__name__} normalizes the channels of {layer.name}, axis {channels}. "
                f"Received: axis={norm.axis}."
            )
        return {}

    @override
    def add_bias(self, shape: tuple[int, ...]) -> None:
        """Add what normalizes each channel."""
        rank = self.input_spec.ndim
        channels = self.channel_axes()[0] % rank
        self.add_normalization(shape, [axis for axis in range(rank) if axis != channels])

    @override
    def constants_of_batch(self, x: Tensor, mask: Tensor | None) -> dict[str, Tensor]:
        """Return the quantized constants for a batch, masked or not: a convolution of Keras ends the mask."""
        return super().constants_of_batch(x, None)


class QConv1DBatchNorm(ConvBatchNorm, QConv1D):
    """Normalized convolution over one axis; arguments as in `Convolution`, arithmetic as in `ConvBatchNorm`."""


class QConv2DBatchNorm(ConvBatchNorm, QConv2D):
    """Normalized convolution over two axes; arguments as in `Convolution`, arithmetic as in `ConvBatchNorm`.

    Example:
        >>> layer = QConv2DBatchNorm(16, 3, padding="same", activation="relu", momentum=0.9)
    """


class QConv3DBatchNorm(ConvBatchNorm, QConv3D):
    """Normalized convolution over three axes; arguments as in `Convolution`, arithmetic as in `ConvBatchNorm`."""
