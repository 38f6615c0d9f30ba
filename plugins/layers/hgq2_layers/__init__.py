"""Quantized layers for Keras 3, and adapters for Keras' merging and passive layers."""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from hgq2_layers.concatenate import QConcatenate
    from hgq2_layers.contraction import QDot, QEinsum
    from hgq2_layers.dense import QDense
    from hgq2_layers.einsum_dense import QEinsumDense
    from hgq2_layers.gru import QGRU
    from hgq2_layers.lstm import QLSTM
    from hgq2_layers.merging import QAdd, QAveragePow2, QMaximum, QMinimum, QMultiply, QSubtract
    from hgq2_layers.reduction import QMeanPow2, QSum
    from hgq2_layers.simple_rnn import QSimpleRNN
    from hgq2_layers.unary_function import QUnaryFunction

__version__ = "0.1.0"
__all__ = [
    "QGRU",
    "QLSTM",
    "QAdd",
    "QAveragePow2",
    "QConcatenate",
    "QDense",
    "QDot",
    "QEinsum",
    "QEinsumDense",
    "QMaximum",
    "QMeanPow2",
    "QMinimum",
    "QMultiply",
    "QSimpleRNN",
    "QSubtract",
    "QSum",
    "QUnaryFunction",
]

_HOMES = {
    "QAdd": "merging",
    "QAveragePow2": "merging",
    "QConcatenate": "concatenate",
    "QDense": "dense",
    "QDot": "contraction",
    "QEinsum": "contraction",
    "QEinsumDense": "einsum_dense",
    "QGRU": "gru",
    "QLSTM": "lstm",
    "QMaximum": "merging",
    "QMeanPow2": "reduction",
    "QMinimum": "merging",
    "QMultiply": "merging",
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
