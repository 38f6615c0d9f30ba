"""Quantized layers for Keras 3: `QDense`, `QEinsumDense`, and adapters for Keras' passive layers."""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from hgq2_layers.batch_norm_dense import QBatchNormDense
    from hgq2_layers.batch_normalization import QBatchNormalization
    from hgq2_layers.dense import QDense
    from hgq2_layers.dense_batch_norm import QDenseBatchNorm
    from hgq2_layers.einsum_dense import QEinsumDense
    from hgq2_layers.einsum_dense_batch_norm import QEinsumDenseBatchNorm

__version__ = "0.1.0"
__all__ = [
    "QBatchNormDense",
    "QBatchNormalization",
    "QDense",
    "QDenseBatchNorm",
    "QEinsumDense",
    "QEinsumDenseBatchNorm",
]

_HOMES = {
    "QBatchNormDense": "batch_norm_dense",
    "QBatchNormalization": "batch_normalization",
    "QDense": "dense",
    "QDenseBatchNorm": "dense_batch_norm",
    "QEinsumDense": "einsum_dense",
    "QEinsumDenseBatchNorm": "einsum_dense_batch_norm",
}


def __getattr__(name: str) -> Any:
    # Lazy, so that listing plugins imports no backend.
    if name in _HOMES:
        return getattr(importlib.import_module(f"{__name__}.{_HOMES[name]}"), name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
