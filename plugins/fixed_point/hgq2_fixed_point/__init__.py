"""Fixed-point quantizers with trained bit-widths: `KBI`, `KIF`, and the plain function `quantize`."""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from hgq2_fixed_point.arithmetic import quantize
    from hgq2_fixed_point.config import KBI, KIF

__version__ = "0.1.0"
__all__ = ["KBI", "KIF", "quantize"]

_HOMES = {"KBI": "config", "KIF": "config", "quantize": "arithmetic"}


def __getattr__(name: str) -> Any:
    # Lazy, so that listing plugins imports neither pydantic models nor numpy.
    if name in _HOMES:
        return getattr(importlib.import_module(f"{__name__}.{_HOMES[name]}"), name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
