"""Quantized layers for Keras 3, from dense to recurrent, and adapters for Keras' passive layers."""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from hgq2_layers.activations import QHardTanh, QLeakyReLU, QPReLU, QReLU
    from hgq2_layers.average_pooling import (
        QAveragePooling1D,
        QAveragePooling2D,
        QAveragePooling3D,
        QGlobalAveragePooling1D,
        QGlobalAveragePooling2D,
        QGlobalAveragePooling3D,
    )
    from hgq2_layers.batch_norm_dense import QBatchNormDense
    from hgq2_layers.batch_normalization import QBatchNormalization
    from hgq2_layers.concatenate import QConcatenate
    from hgq2_layers.contraction import QDot, QEinsum
    from hgq2_layers.conv_lut import QConv1DLUT, QConv2DLUT
    from hgq2_layers.convolution import QConv1D, QConv2D, QConv3D
    from hgq2_layers.convolution_transpose import QConv1DTranspose, QConv2DTranspose
    from hgq2_layers.dense import QDense
    from hgq2_layers.dense_batch_norm import QDenseBatchNorm
    from hgq2_layers.depthwise import QDepthwiseConv1D, QDepthwiseConv2D, QSeparableConv1D, QSeparableConv2D
    from hgq2_layers.einsum_dense import QEinsumDense
    from hgq2_layers.einsum_dense_batch_norm import QEinsumDenseBatchNorm
    from hgq2_layers.einsum_lut import QEinsumDenseLUT
    from hgq2_layers.embedding import QEmbedding
    from hgq2_layers.gru import QGRU
    from hgq2_layers.integrate_and_fire import QIntegrateAndFire, QLeakyIntegrateAndFire
    from hgq2_layers.lstm import QLSTM
    from hgq2_layers.lut import QDenseLUT
    from hgq2_layers.merging import QAdd, QAveragePow2, QMaximum, QMinimum, QMultiply, QSubtract
    from hgq2_layers.pooling import (
        QGlobalMaxPooling1D,
        QGlobalMaxPooling2D,
        QGlobalMaxPooling3D,
        QMaxPooling1D,
        QMaxPooling2D,
        QMaxPooling3D,
    )
    from hgq2_layers.reduction import QMeanPow2, QSum
    from hgq2_layers.simple_rnn import QSimpleRNN
    from hgq2_layers.unary_function import QAffineUnaryFunction, QHardSigmoid, QUnaryFunction

__version__ = "0.1.0"
__all__ = [
    "QGRU",
    "QLSTM",
    "QAdd",
    "QAffineUnaryFunction",
    "QAveragePooling1D",
    "QAveragePooling2D",
    "QAveragePooling3D",
    "QAveragePow2",
    "QBatchNormDense",
    "QBatchNormalization",
    "QConcatenate",
    "QConv1D",
    "QConv1DLUT",
    "QConv1DTranspose",
    "QConv2D",
    "QConv2DLUT",
    "QConv2DTranspose",
    "QConv3D",
    "QDense",
    "QDenseBatchNorm",
    "QDenseLUT",
    "QDepthwiseConv1D",
    "QDepthwiseConv2D",
    "QDot",
    "QEinsum",
    "QEinsumDense",
    "QEinsumDenseBatchNorm",
    "QEinsumDenseLUT",
    "QEmbedding",
    "QGlobalAveragePooling1D",
    "QGlobalAveragePooling2D",
    "QGlobalAveragePooling3D",
    "QGlobalMaxPooling1D",
    "QGlobalMaxPooling2D",
    "QGlobalMaxPooling3D",
    "QHardSigmoid",
    "QHardTanh",
    "QIntegrateAndFire",
    "QLeakyIntegrateAndFire",
    "QLeakyReLU",
    "QMaxPooling1D",
    "QMaxPooling2D",
    "QMaxPooling3D",
    "QMaximum",
    "QMeanPow2",
    "QMinimum",
    "QMultiply",
    "QPReLU",
    "QReLU",
    "QSeparableConv1D",
    "QSeparableConv2D",
    "QSimpleRNN",
    "QSubtract",
    "QSum",
    "QUnaryFunction",
]

_HOMES = {
    "QAdd": "merging",
    "QAffineUnaryFunction": "unary_function",
    "QAveragePooling1D": "average_pooling",
    "QAveragePooling2D": "average_pooling",
    "QAveragePooling3D": "average_pooling",
    "QAveragePow2": "merging",
    "QBatchNormDense": "batch_norm_dense",
    "QBatchNormalization": "batch_normalization",
    "QConcatenate": "concatenate",
    "QConv1D": "convolution",
    "QConv1DLUT": "conv_lut",
    "QConv1DTranspose": "convolution_transpose",
    "QConv2D": "convolution",
    "QConv2DLUT": "conv_lut",
    "QConv2DTranspose": "convolution_transpose",
    "QConv3D": "convolution",
    "QDense": "dense",
    "QDenseBatchNorm": "dense_batch_norm",
    "QDenseLUT": "lut",
    "QDepthwiseConv1D": "depthwise",
    "QDepthwiseConv2D": "depthwise",
    "QDot": "contraction",
    "QEinsum": "contraction",
    "QEinsumDense": "einsum_dense",
    "QEinsumDenseBatchNorm": "einsum_dense_batch_norm",
    "QEinsumDenseLUT": "einsum_lut",
    "QEmbedding": "embedding",
    "QGRU": "gru",
    "QGlobalAveragePooling1D": "average_pooling",
    "QGlobalAveragePooling2D": "average_pooling",
    "QGlobalAveragePooling3D": "average_pooling",
    "QGlobalMaxPooling1D": "pooling",
    "QGlobalMaxPooling2D": "pooling",
    "QGlobalMaxPooling3D": "pooling",
    "QHardSigmoid": "unary_function",
    "QHardTanh": "activations",
    "QLSTM": "lstm",
    "QIntegrateAndFire": "integrate_and_fire",
    "QLeakyIntegrateAndFire": "integrate_and_fire",
    "QLeakyReLU": "activations",
    "QMaxPooling1D": "pooling",
    "QMaxPooling2D": "pooling",
    "QMaxPooling3D": "pooling",
    "QMaximum": "merging",
    "QMeanPow2": "reduction",
    "QMinimum": "merging",
    "QMultiply": "merging",
    "QPReLU": "activations",
    "QReLU": "activations",
    "QSeparableConv1D": "depthwise",
    "QSeparableConv2D": "depthwise",
    "QSimpleRNN": "simple_rnn",
    "QSubtract": "merging",
    "QSum": "reduction",
    "QUnaryFunction": "unary_function",
}


def __getattr__(name: str) -> Any:
    # Lazy, so that listing plugins imports no backend.
    if name in _HOMES:
        return getattr(importlib.import_module(f"{__name__}.{_HOMES[name]}"), name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
