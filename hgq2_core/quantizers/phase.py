"""The phase in which quantizers run, read at call time: normal, calibrate, or fit."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager
from contextvars import ContextVar
from typing import Literal

Phase = Literal["normal", "calibrate", "fit"]

_phase: ContextVar[Phase] = ContextVar("hgq2_phase", default="normal")

_fitted_ids: ContextVar[set[int] | None] = ContextVar("hgq2_fitted_ids", default=None)

phase = _phase.get


@contextmanager
def _running(wanted: Phase) -> Iterator[None]:
    token = _phase.set(wanted)
    try:
        yield
    finally:
        _phase.reset(token)


def calibrating() -> AbstractContextManager[None]:
    """Let the calls inside the context widen every observed range by the values they quantize."""
    return _running("calibrate")


@contextmanager
def fitting() -> Iterator[None]:
    """Let the calls inside the context set every range with `fits_data` to what the values need."""
    token = _fitted_ids.set(set())
    try:
        with _running("fit"):
            yield
    finally:
        _fitted_ids.reset(token)


def already_fitted(quantizer: object) -> bool:
    """Return True if a call in the same `fitting()` context has fitted the quantizer or range, and mark it as fitted.

    That is so for all calls but the first of a quantizer used in several steps or in a shared layer.

    Args:
        quantizer: the quantizer, or its range.
    """
    fitted = _fitted_ids.get()
    if fitted is None or id(quantizer) in fitted:
        return fitted is not None
    fitted.add(id(quantizer))
    return False
