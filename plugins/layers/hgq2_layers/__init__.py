"""Quantized layers for Keras 3, from dense to recurrent, and adapters for Keras' passive layers."""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from hgq2_layers.activations.piecewise_linear import QHardTanh, QLeakyReLU, QPReLU, QReLU
    from hgq2_layers.activations.unary_function import QAffineUnaryFunction, QHardSigmoid, QUnaryFunction
    from hgq2_layers.convolutional.conv import QConv1D, QConv2D, QConv3D
    from hgq2_layers.convolutional.conv_transpose import QConv1DTranspose, QConv2DTranspose
    from hgq2_layers.convolutional.depthwise import (
        QDepthwiseConv1D,
        QDepthwiseConv2D,
        QSeparableConv1D,
        QSeparableConv2D,
    )
    from hgq2_layers.core.dense import QDense
    from hgq2_layers.core.einsum_dense import QEinsumDense
    from hgq2_layers.core.embedding import QEmbedding
    from hgq2_layers.lut.conv_lut import QConv1DLUT, QConv2DLUT
    from hgq2_layers.lut.dense_lut import QDenseLUT
    from hgq2_layers.lut.einsum_dense_lut import QEinsumDenseLUT
    from hgq2_layers.merging.concatenate import QConcatenate
    from hgq2_layers.merging.contraction import QDot, QEinsum
    from hgq2_layers.merging.elementwise import QAdd, QAveragePow2, QMaximum, QMinimum, QMultiply, QSubtract
    from hgq2_layers.normalization.batch_norm_dense import QBatchNormDense
    from hgq2_layers.normalization.batch_normalization import QBatchNormalization
    from hgq2_layers.normalization.dense_batch_norm import QDenseBatchNorm
    from hgq2_layers.normalization.einsum_dense_batch_norm import QEinsumDenseBatchNorm
    from hgq2_layers.operations.sum import QMeanPow2, QSum
    from hgq2_layers.pooling.average_pooling import (
        QAveragePooling1D,
        QAveragePooling2D,
        QAveragePooling3D,
        QGlobalAveragePooling1D,
        QGlobalAveragePooling2D,
        QGlobalAveragePooling3D,
    )
    from hgq2_layers.pooling.max_pooling import (
        QGlobalMaxPooling1D,
        QGlobalMaxPooling2D,
        QGlobalMaxPooling3D,
        QMaxPooling1D,
        QMaxPooling2D,
        QMaxPooling3D,
    )
    from hgq2_layers.rnn.gru import QGRU
    from hgq2_layers.rnn.lstm import QLSTM
    from hgq2_layers.rnn.simple_rnn import QSimpleRNN
    from hgq2_layers.spiking.integrate_and_fire import QIntegrateAndFire, QLeakyIntegrateAndFire

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
    "QAdd": "merging.elementwise",
    "QAffineUnaryFunction": "activations.unary_function",
    "QAveragePooling1D": "pooling.average_pooling",
    "QAveragePooling2D": "pooling.average_pooling",
    "QAveragePooling3D": "pooling.average_pooling",
    "QAveragePow2": "merging.elementwise",
    "QBatchNormDense": "normalization.batch_norm_dense",
    "QBatchNormalization": "normalization.batch_normalization",
    "QConcatenate": "merging.concatenate",
    "QConv1D": "convolutional.conv",
    "QConv1DLUT": "lut.conv_lut",
    "QConv1DTranspose": "convolutional.conv_transpose",
    "QConv2D": "convolutional.conv",
    "QConv2DLUT": "lut.conv_lut",
    "QConv2DTranspose": "convolutional.conv_transpose",
    "QConv3D": "convolutional.conv",
    "QDense": "core.dense",
    "QDenseBatchNorm": "normalization.dense_batch_norm",
    "QDenseLUT": "lut.dense_lut",
    "QDepthwiseConv1D": "convolutional.depthwise",
    "QDepthwiseConv2D": "convolutional.depthwise",
    "QDot": "merging.contraction",
    "QEinsum": "merging.contraction",
    "QEinsumDense": "core.einsum_dense",
    "QEinsumDenseBatchNorm": "normalization.einsum_dense_batch_norm",
    "QEinsumDenseLUT": "lut.einsum_dense_lut",
    "QEmbedding": "core.embedding",
    "QGRU": "rnn.gru",
    "QGlobalAveragePooling1D": "pooling.average_pooling",
    "QGlobalAveragePooling2D": "pooling.average_pooling",
    "QGlobalAveragePooling3D": "pooling.average_pooling",
    "QGlobalMaxPooling1D": "pooling.max_pooling",
    "QGlobalMaxPooling2D": "pooling.max_pooling",
    "QGlobalMaxPooling3D": "pooling.max_pooling",
    "QHardSigmoid": "activations.unary_function",
    "QHardTanh": "activations.piecewise_linear",
    "QLSTM": "rnn.lstm",
    "QIntegrateAndFire": "spiking.integrate_and_fire",
    "QLeakyIntegrateAndFire": "spiking.integrate_and_fire",
    "QLeakyReLU": "activations.piecewise_linear",
    "QMaxPooling1D": "pooling.max_pooling",
    "QMaxPooling2D": "pooling.max_pooling",
    "QMaxPooling3D": "pooling.max_pooling",
    "QMaximum": "merging.elementwise",
    "QMeanPow2": "operations.sum",
    "QMinimum": "merging.elementwise",
    "QMultiply": "merging.elementwise",
    "QPReLU": "activations.piecewise_linear",
    "QReLU": "activations.piecewise_linear",
    "QSeparableConv1D": "convolutional.depthwise",
    "QSeparableConv2D": "convolutional.depthwise",
    "QSimpleRNN": "rnn.simple_rnn",
    "QSubtract": "merging.elementwise",
    "QSum": "operations.sum",
    "QUnaryFunction": "activations.unary_function",
}


def __getattr__(name: str) -> Any:
    # Lazy, so that listing plugins imports no backend.
    if name in _HOMES:
        return getattr(importlib.import_module(f"{__name__}.{_HOMES[name]}"), name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
