"""Quantized layers for Keras 3, from dense to recurrent, and adapters for Keras' passive layers."""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from hgq2_layers.batch_norm_dense import QBatchNormDense
    from hgq2_layers.batch_normalization import QBatchNormalization
    from hgq2_layers.concatenate import QConcatenate
    from hgq2_layers.contraction import QDot, QEinsum
    from hgq2_layers.convolution import QConv1D, QConv2D, QConv3D
    from hgq2_layers.dense import QDense
    from hgq2_layers.dense_batch_norm import QDenseBatchNorm
    from hgq2_layers.einsum_dense import QEinsumDense
    from hgq2_layers.einsum_dense_batch_norm import QEinsumDenseBatchNorm
    from hgq2_layers.merging import QAdd, QAveragePow2, QMaximum, QMinimum, QMultiply, QSubtract
    from hgq2_layers.reduction import QMeanPow2, QSum

__version__ = "0.1.0"
__all__ = [
    "QAdd",
    "QAveragePow2",
    "QBatchNormDense",
    "QBatchNormalization",
    "QConcatenate",
    "QConv1D",
    "QConv2D",
    "QConv3D",
    "QDense",
    "QDenseBatchNorm",
    "QDot",
    "QEinsum",
    "QEinsumDense",
    "QEinsumDenseBatchNorm",
    "QMaximum",
    "QMeanPow2",
    "QMinimum",
    "QMultiply",
    "QSubtract",
    "QSum",
]

_HOMES = {
    "QAdd": "merging",
    "QAveragePow2": "merging",
    "QBatchNormDense": "batch_norm_dense",
    "QBatchNormalization": "batch_normalization",
    "QConcatenate": "concatenate",
    "QConv1D": "convolution",
    "QConv2D": "convolution",
    "QConv3D": "convolution",
    "QDense": "dense",
    "QDenseBatchNorm": "dense_batch_norm",
    "QDot": "contraction",
    "QEinsum": "contraction",
    "QEinsumDense": "einsum_dense",
    "QEinsumDenseBatchNorm": "einsum_dense_batch_norm",
    "QMaximum": "merging",
    "QMeanPow2": "reduction",
    "QMinimum": "merging",
    "QMultiply": "merging",
    "QSubtract": "merging",
    "QSum": "reduction",
}


def __getattr__(name: str) -> Any:
    # Lazy, so that listing plugins imports no backend.
    if name in _HOMES:
        return getattr(importlib.import_module(f"{__name__}.{_HOMES[name]}"), name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
