"""Quantized softmax and attention for Keras 3: multi-head, grouped-query and Linformer."""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from hgq2_attention.grouped_query_attention import QGroupedQueryAttention
    from hgq2_attention.linformer_attention import QLinformerAttention
    from hgq2_attention.multi_head_attention import QMultiHeadAttention
    from hgq2_attention.softmax import QSoftmax

__version__ = "0.1.0"
__all__ = ["QGroupedQueryAttention", "QLinformerAttention", "QMultiHeadAttention", "QSoftmax"]

_HOMES = {
    "QGroupedQueryAttention": "grouped_query_attention",
    "QLinformerAttention": "linformer_attention",
    "QMultiHeadAttention": "multi_head_attention",
    "QSoftmax": "softmax",
}


def __getattr__(name: str) -> Any:
    # Lazy, so that listing plugins imports no backend.
    if name in _HOMES:
        return getattr(importlib.import_module(f"{__name__}.{_HOMES[name]}"), name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
