"""Quantized layers for Keras 3, from dense to recurrent, and adapters for Keras' passive layers."""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from hgq2_layers.activations import QHardTanh, QLeakyReLU, QPReLU, QReLU
    from hgq2_layers.batch_norm_dense import QBatchNormDense
    from hgq2_layers.batch_normalization import QBatchNormalization
    from hgq2_layers.concatenate import QConcatenate
    from hgq2_layers.contraction import QDot, QEinsum
    from hgq2_layers.conv_lut import QConv1DLUT, QConv2DLUT
    from hgq2_layers.convolution import QConv1D, QConv2D, QConv3D
    from hgq2_layers.dense import QDense
    from hgq2_layers.dense_batch_norm import QDenseBatchNorm
    from hgq2_layers.einsum_dense import QEinsumDense
    from hgq2_layers.einsum_dense_batch_norm import QEinsumDenseBatchNorm
    from hgq2_layers.embedding import QEmbedding
    from hgq2_layers.gru import QGRU
    from hgq2_layers.lstm import QLSTM
    from hgq2_layers.lut import QDenseLUT
    from hgq2_layers.merging import QAdd, QAveragePow2, QMaximum, QMinimum, QMultiply, QSubtract
    from hgq2_layers.reduction import QMeanPow2, QSum
    from hgq2_layers.simple_rnn import QSimpleRNN
    from hgq2_layers.unary_function import QAffineUnaryFunction, QHardSigmoid, QUnaryFunction

__version__ = "0.1.0"
__all__ = [
    "QGRU",
    "QLSTM",
    "QAdd",
    "QAffineUnaryFunction",
    "QAveragePow2",
    "QBatchNormDense",
    "QBatchNormalization",
    "QConcatenate",
    "QConv1D",
    "QConv1DLUT",
    "QConv2D",
    "QConv2DLUT",
    "QConv3D",
    "QDense",
    "QDenseBatchNorm",
    "QDenseLUT",
    "QDot",
    "QEinsum",
    "QEinsumDense",
    "QEinsumDenseBatchNorm",
    "QEmbedding",
    "QHardSigmoid",
    "QHardTanh",
    "QLeakyReLU",
    "QMaximum",
    "QMeanPow2",
    "QMinimum",
    "QMultiply",
    "QPReLU",
    "QReLU",
    "QSimpleRNN",
    "QSubtract",
    "QSum",
    "QUnaryFunction",
]

_HOMES = {
    "QAdd": "merging",
    "QAffineUnaryFunction": "unary_function",
    "QAveragePow2": "merging",
    "QBatchNormDense": "batch_norm_dense",
    "QBatchNormalization": "batch_normalization",
    "QConcatenate": "concatenate",
    "QConv1D": "convolution",
    "QConv1DLUT": "conv_lut",
    "QConv2D": "convolution",
    "QConv2DLUT": "conv_lut",
    "QConv3D": "convolution",
    "QDense": "dense",
    "QDenseBatchNorm": "dense_batch_norm",
    "QDenseLUT": "lut",
    "QDot": "contraction",
    "QEinsum": "contraction",
    "QEinsumDense": "einsum_dense",
    "QEinsumDenseBatchNorm": "einsum_dense_batch_norm",
    "QEmbedding": "embedding",
    "QGRU": "gru",
    "QHardSigmoid": "unary_function",
    "QHardTanh": "activations",
    "QLSTM": "lstm",
    "QLeakyReLU": "activations",
    "QMaximum": "merging",
    "QMeanPow2": "reduction",
    "QMinimum": "merging",
    "QMultiply": "merging",
    "QPReLU": "activations",
    "QReLU": "activations",
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
