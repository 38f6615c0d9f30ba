"""How often to do what costs time, such as writing to a disk."""

from __future__ import annotations

import contextlib
import time
from collections.abc import Iterator

SHARE = 0.02
"""Of all time, what writing may take."""


class Throttle:
    """Spaces writes out, so that they take a small share of the time, on a slow disk too."""

    def __init__(self) -> None:
        self._next = -float("inf")

    def ready(self) -> bool:
        """Return True if it is time to write; at first it is."""
        return time.monotonic() >= self._next

    @contextlib.contextmanager
    def writing(self) -> Iterator[None]:
        """Time a write, which decides when the next is due."""
        started = time.monotonic()
        yield
        ended = time.monotonic()
        self._next = ended + (ended - started) * (1 / SHARE - 1)
