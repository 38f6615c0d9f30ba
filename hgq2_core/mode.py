"""The mode in which quantizers run, read at call time: normal, or calibrating."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar

_calibrating: ContextVar[bool] = ContextVar("hgq2_calibrating", default=False)

is_calibrating = _calibrating.get


@contextmanager
def calibrating() -> Iterator[None]:
    """Let every quantizer that tracks its range widen it by what it sees, for the calls made inside."""
    token = _calibrating.set(True)
    try:
        yield
    finally:
        _calibrating.reset(token)
