"""The rectifier in exact arithmetic, shared by every layer with an inner activation."""

from __future__ import annotations

from typing import TypeVar

from hgq2_core.exact.arrays import Arrays

A = TypeVar("A")


def rectify(arrays: Arrays[A], x: A) -> A:
    """Return max(x, 0)."""
    return arrays.maximum(x, arrays.constant(0.0))
