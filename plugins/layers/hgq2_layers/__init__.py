"""Quantized layers for Keras 3, such as `QDense` and `QConv2D`, and adapters for Keras' passive layers."""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from hgq2_layers.average_pooling import (
        QAveragePooling1D,
        QAveragePooling2D,
        QAveragePooling3D,
        QGlobalAveragePooling1D,
        QGlobalAveragePooling2D,
        QGlobalAveragePooling3D,
    )
    from hgq2_layers.convolution import QConv1D, QConv2D, QConv3D
    from hgq2_layers.convolution_transpose import QConv1DTranspose, QConv2DTranspose
    from hgq2_layers.dense import QDense
    from hgq2_layers.depthwise import QDepthwiseConv1D, QDepthwiseConv2D, QSeparableConv1D, QSeparableConv2D
    from hgq2_layers.einsum_dense import QEinsumDense
    from hgq2_layers.pooling import (
        QGlobalMaxPooling1D,
        QGlobalMaxPooling2D,
        QGlobalMaxPooling3D,
        QMaxPooling1D,
        QMaxPooling2D,
        QMaxPooling3D,
    )

__version__ = "0.1.0"
__all__ = [
    "QAveragePooling1D",
    "QAveragePooling2D",
    "QAveragePooling3D",
    "QConv1D",
    "QConv1DTranspose",
    "QConv2D",
    "QConv2DTranspose",
    "QConv3D",
    "QDense",
    "QDepthwiseConv1D",
    "QDepthwiseConv2D",
    "QEinsumDense",
    "QGlobalAveragePooling1D",
    "QGlobalAveragePooling2D",
    "QGlobalAveragePooling3D",
    "QGlobalMaxPooling1D",
    "QGlobalMaxPooling2D",
    "QGlobalMaxPooling3D",
    "QMaxPooling1D",
    "QMaxPooling2D",
    "QMaxPooling3D",
    "QSeparableConv1D",
    "QSeparableConv2D",
]

_HOMES = {
    "QAveragePooling1D": "average_pooling",
    "QAveragePooling2D": "average_pooling",
    "QAveragePooling3D": "average_pooling",
    "QConv1D": "convolution",
    "QConv1DTranspose": "convolution_transpose",
    "QConv2D": "convolution",
    "QConv2DTranspose": "convolution_transpose",
    "QConv3D": "convolution",
    "QDense": "dense",
    "QDepthwiseConv1D": "depthwise",
    "QDepthwiseConv2D": "depthwise",
    "QEinsumDense": "einsum_dense",
    "QGlobalAveragePooling1D": "average_pooling",
    "QGlobalAveragePooling2D": "average_pooling",
    "QGlobalAveragePooling3D": "average_pooling",
    "QGlobalMaxPooling1D": "pooling",
    "QGlobalMaxPooling2D": "pooling",
    "QGlobalMaxPooling3D": "pooling",
    "QMaxPooling1D": "pooling",
    "QMaxPooling2D": "pooling",
    "QMaxPooling3D": "pooling",
    "QSeparableConv1D": "depthwise",
    "QSeparableConv2D": "depthwise",
}


def __getattr__(name: str) -> Any:
    # Lazy, so that listing plugins imports no backend.
    if name in _HOMES:
        return getattr(importlib.import_module(f"{__name__}.{_HOMES[name]}"), name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
