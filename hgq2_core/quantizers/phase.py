"""The mode in which quantizers run, read at call time: normal, calibrating, or fitting."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager
from contextvars import ContextVar
from typing import Literal

Mode = Literal["normal", "calibrate", "fit"]

_mode: ContextVar[Mode] = ContextVar("hgq2_mode", default="normal")

_met: ContextVar[set[int] | None] = ContextVar("hgq2_met", default=None)

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


@contextmanager
def fitting() -> Iterator[None]:
    """Let every quantizer that is told to fit set its range to what it sees, for the calls made inside."""
    token = _met.set(set())
    try:
        with _running("fit"):
            yield
    finally:
        _met.reset(token)


def meets_again(thing: object) -> bool:
    """Return True if the present fitting has met a thing before: a quantizer of several steps, or of a shared layer."""
    met = _met.get()
    if met is None or id(thing) in met:
        return met is not None
    met.add(id(thing))
    return False
