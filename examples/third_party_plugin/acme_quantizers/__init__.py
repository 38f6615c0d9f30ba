"""A quantizer with a trained number of levels, `Levels`, and a layer that scales channels, `QLayerScale`."""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from acme_quantizers.layer_scale import QLayerScale
    from acme_quantizers.levels import Levels

__version__ = "1.0.0"
__all__ = ["Levels", "QLayerScale"]

_HOMES = {"Levels": "levels", "QLayerScale": "layer_scale"}


def __getattr__(name: str) -> Any:
    # Lazy, so that listing plugins imports neither pydantic models nor Keras.
    if name in _HOMES:
        return getattr(importlib.import_module(f"{__name__}.{_HOMES[name]}"), name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
