"""Minifloat quantizers with trained bits, the standard small formats, and the plain function `quantize`."""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from hgq2_minifloat.arithmetic import quantize
    from hgq2_minifloat.config import Minifloat
    from hgq2_minifloat.presets import (
        BFloat16,
        Float4E2M1FN,
        Float6E2M3FN,
        Float6E3M2FN,
        Float8E3M4,
        Float8E4M3,
        Float8E4M3B11FNUZ,
        Float8E4M3FN,
        Float8E4M3FNUZ,
        Float8E5M2,
        Float8E5M2FNUZ,
        Float16,
    )

__version__ = "0.1.0"
__all__ = [
    "BFloat16",
    "Float4E2M1FN",
    "Float6E2M3FN",
    "Float6E3M2FN",
    "Float8E3M4",
    "Float8E4M3",
    "Float8E4M3B11FNUZ",
    "Float8E4M3FN",
    "Float8E4M3FNUZ",
    "Float8E5M2",
    "Float8E5M2FNUZ",
    "Float16",
    "Minifloat",
    "quantize",
]

_HOMES = {**dict.fromkeys(__all__, "presets"), "Minifloat": "config", "quantize": "arithmetic"}


def __getattr__(name: str) -> Any:
    # Lazy, so that listing plugins imports neither pydantic models nor numpy.
    if name in _HOMES:
        return getattr(importlib.import_module(f"{__name__}.{_HOMES[name]}"), name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
