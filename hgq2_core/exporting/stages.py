"""The stages of an export: what is going on, and the time and memory that each took."""

from __future__ import annotations

import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass


@dataclass(frozen=True)
class StageTime:
    """What a stage took.

    Args:
        stage: such as `tracing`.
        part: of the stage, such as a layer; empty for all of it.
        seconds: wall time.
        memory_mb: the most memory that this process, or one that it started, had taken by the end of the stage.
    """

    stage: str
    part: str
    seconds: float
    memory_mb: float | None


_times: ContextVar[list[StageTime] | None] = ContextVar("hgq2_stage_times", default=None)
_shown: ContextVar[Callable[[str], object] | None] = ContextVar("hgq2_stage_shown", default=None)


@contextmanager
def stage(name: str, part: str = "") -> Iterator[None]:
    """Run a stage of an export; for exporters.

    Args:
        name: such as `tracing`.
        part: of the stage, such as a layer.
    """
    if (show := _shown.get()) is not None:
        show(f"{name} {part}".rstrip())
    start = time.perf_counter()
    yield
    if (times := _times.get()) is not None:
        times.append(StageTime(name, part, round(time.perf_counter() - start, 3), peak_memory_mb()))


@contextmanager
def timed() -> Iterator[list[StageTime]]:
    """Yield the list to which the stages inside are added."""
    times: list[StageTime] = []
    token = _times.set(times)
    try:
        yield times
    finally:
        _times.reset(token)


@contextmanager
def shown(show: Callable[[str], object]) -> Iterator[None]:
    """Call a function with a text whenever a stage begins."""
    token = _shown.set(show)
    try:
        yield
    finally:
        _shown.reset(token)


def peak_memory_mb() -> float | None:
    """Return the most memory that this process, or one that it started, has taken; None where that is not known."""
    try:
        import resource
    except ImportError:  # Windows
        return None
    most = max(resource.getrusage(who).ru_maxrss for who in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN))
    return round(most / (1e6 if sys.platform == "darwin" else 1e3), 1)
