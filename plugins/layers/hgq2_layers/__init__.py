"""Quantized layers for Keras 3: `QDense`, `QEinsumDense`, and adapters for Keras' passive layers."""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from hgq2_layers.activations import QHardTanh, QLeakyReLU, QPReLU, QReLU
    from hgq2_layers.conv_lut import QConv1DLUT, QConv2DLUT
    from hgq2_layers.dense import QDense
    from hgq2_layers.einsum_dense import QEinsumDense
    from hgq2_layers.embedding import QEmbedding
    from hgq2_layers.lut import QDenseLUT
    from hgq2_layers.unary_function import QAffineUnaryFunction, QHardSigmoid, QUnaryFunction

__version__ = "0.1.0"
__all__ = [
    "QAffineUnaryFunction",
    "QConv1DLUT",
    "QConv2DLUT",
    "QDense",
    "QDenseLUT",
    "QEinsumDense",
    "QEmbedding",
    "QHardSigmoid",
    "QHardTanh",
    "QLeakyReLU",
    "QPReLU",
    "QReLU",
    "QUnaryFunction",
]

_HOMES = {
    "QAffineUnaryFunction": "unary_function",
    "QConv1DLUT": "conv_lut",
    "QConv2DLUT": "conv_lut",
    "QDense": "dense",
    "QDenseLUT": "lut",
    "QEinsumDense": "einsum_dense",
    "QEmbedding": "embedding",
    "QHardSigmoid": "unary_function",
    "QHardTanh": "activations",
    "QLeakyReLU": "activations",
    "QPReLU": "activations",
    "QReLU": "activations",
    "QUnaryFunction": "unary_function",
}


def __getattr__(name: str) -> Any:
    # Lazy, so that listing plugins imports no backend.
    if name in _HOMES:
        return getattr(importlib.import_module(f"{__name__}.{_HOMES[name]}"), name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
