"""A limit on the share of time that writing to disk takes."""

from __future__ import annotations

import contextlib
import time
from collections.abc import Iterator

SHARE = 0.02
"""Maximal share of time for writing."""


class Throttle:
    """Spaces writes out so that they take a small share of the time, even on a slow disk."""

    def __init__(self) -> None:
        self._next = -float("inf")

    def ready(self) -> bool:
        """Return True if the next write may start; the first may start at once."""
        return time.monotonic() >= self._next

    @contextlib.contextmanager
    def writing(self) -> Iterator[None]:
        """Measure the duration of a write, which determines when the next may start."""
        started = time.monotonic()
        yield
        ended = time.monotonic()
        self._next = ended + (ended - started) * (1 / SHARE - 1)
