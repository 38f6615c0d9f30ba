"""Fixed-point quantizers with trained bit-widths, sets of few given values, and the plain function `quantize`."""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from hgq2_fixed_point.arithmetic import quantize
    from hgq2_fixed_point.config import KBI, KIF
    from hgq2_fixed_point.discrete_config import Binary, Identity, PowerOfTwo, Ternary

__version__ = "0.1.0"
__all__ = ["KBI", "KIF", "Binary", "Identity", "PowerOfTwo", "Ternary", "quantize"]

_HOMES = {
    "KBI": "config",
    "KIF": "config",
    "Binary": "discrete_config",
    "Identity": "discrete_config",
    "PowerOfTwo": "discrete_config",
    "Ternary": "discrete_config",
    "quantize": "arithmetic",
}


def __getattr__(name: str) -> Any:
    # Lazy, so that listing plugins imports neither pydantic models nor numpy.
    if name in _HOMES:
        return getattr(importlib.import_module(f"{__name__}.{_HOMES[name]}"), name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
