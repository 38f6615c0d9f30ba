"""Quantized layers for Keras 3, such as `QDense` and `QConv2D`, and adapters for Keras' passive layers."""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from hgq2_layers.convolution import QConv1D, QConv2D, QConv3D
    from hgq2_layers.dense import QDense
    from hgq2_layers.einsum_dense import QEinsumDense

__version__ = "0.1.0"
__all__ = ["QConv1D", "QConv2D", "QConv3D", "QDense", "QEinsumDense"]

_HOMES = {
    "QConv1D": "convolution",
    "QConv2D": "convolution",
    "QConv3D": "convolution",
    "QDense": "dense",
    "QEinsumDense": "einsum_dense",
}


def __getattr__(name: str) -> Any:
    # Lazy, so that listing plugins imports no backend.
    if name in _HOMES:
        return getattr(importlib.import_module(f"{__name__}.{_HOMES[name]}"), name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
