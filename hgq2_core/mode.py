"""The mode in which quantizers run, read at call time: normal, calibrating, or fitting."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager
from contextvars import ContextVar
from typing import Literal

Mode = Literal["normal", "calibrate", "fit"]

_mode: ContextVar[Mode] = ContextVar("hgq2_mode", default="normal")

mode = _mode.get


@contextmanager
def _running(wanted: Mode) -> Iterator[None]:
    token = _mode.set(wanted)
    try:
        yield
    finally:
        _mode.reset(token)


def calibrating() -> AbstractContextManager[None]:
    """Let every quantizer that tracks its range widen it by what it sees, for the calls made inside."""
    return _running("calibrate")


def fitting() -> AbstractContextManager[None]:
    """Let every quantizer that is told to fit set its range to what it sees, for the calls made inside."""
    return _running("fit")
