"""Quantized layers for Keras 3: `QDense`, `QEinsumDense`, and adapters for Keras' passive layers."""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from hgq2_layers.dense import QDense
    from hgq2_layers.einsum_dense import QEinsumDense
    from hgq2_layers.merging import QAdd, QAveragePow2, QMaximum, QMinimum, QMultiply, QSubtract

__version__ = "0.1.0"
__all__ = [
    "QAdd",
    "QAveragePow2",
    "QDense",
    "QEinsumDense",
    "QMaximum",
    "QMinimum",
    "QMultiply",
    "QSubtract",
]

_HOMES = {
    "QAdd": "merging",
    "QAveragePow2": "merging",
    "QDense": "dense",
    "QEinsumDense": "einsum_dense",
    "QMaximum": "merging",
    "QMinimum": "merging",
    "QMultiply": "merging",
    "QSubtract": "merging",
}


def __getattr__(name: str) -> Any:
    # Lazy, so that listing plugins imports no backend.
    if name in _HOMES:
        return getattr(importlib.import_module(f"{__name__}.{_HOMES[name]}"), name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
