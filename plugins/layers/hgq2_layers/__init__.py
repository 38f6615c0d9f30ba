"""Quantized layers for Keras 3: `QDense`, `QEinsumDense`, and adapters for Keras' passive layers."""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from hgq2_layers.dense import QDense
    from hgq2_layers.einsum_dense import QEinsumDense
    from hgq2_layers.unary_function import QUnaryFunction

__version__ = "0.1.0"
__all__ = ["QDense", "QEinsumDense", "QUnaryFunction"]

_HOMES = {
    "QDense": "dense",
    "QEinsumDense": "einsum_dense",
    "QUnaryFunction": "unary_function",
}


def __getattr__(name: str) -> Any:
    # Lazy, so that listing plugins imports no backend.
    if name in _HOMES:
        return getattr(importlib.import_module(f"{__name__}.{_HOMES[name]}"), name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
