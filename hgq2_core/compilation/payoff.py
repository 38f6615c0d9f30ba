"""Whether to compile a step: the time that a graph saves in what is left of a training, against what it costs."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Any

from torch.utils._python_dispatch import TorchDispatchMode

SECONDS_PER_OPERATION = 0.05
"""Of compiling, by inductor and the C++ compiler: 54 s of CPU for a step of 1,100 operations on a slow core."""
SAVED = 0.5
"""The part of an eager step that a compiled one is expected to save; of a small MLP it saved 0.8."""


def pays(operations: int, seconds: float, remaining: float) -> bool:
    """Return True if a graph is expected to save more time than it takes to compile.

    Args:
        operations: of torch, in a step.
        seconds: that an eager step takes.
        remaining: number of steps.
    """
    return SAVED * seconds * remaining > SECONDS_PER_OPERATION * operations


class Payoff:
    """What is known of the eager steps of one function, and how many are left.

    `end` is the number at which the steps end, if it is known; else as many are expected as there were.
    """

    def __init__(self) -> None:
        self.steps = 0
        self.operations = 0
        self.seconds = float("inf")
        self.end: int | None = None

    def take(self, step: Callable[[], Any]) -> Any:
        """Take an eager step, and measure it. The second one is counted, since the first makes what is made late."""
        self.steps += 1
        if self.steps == 2:
            with _Count() as count:
                result = step()
            self.operations = count.operations
            return result
        start = time.perf_counter()
        result = step()
        if self.steps > 2:
            self.seconds = min(self.seconds, time.perf_counter() - start)
        return result

    def pays(self) -> bool:
        """Return True if a graph is worth its time from here on."""
        if self.steps <= 2:
            return False
        remaining = self.steps if self.end is None else self.end - self.steps
        return pays(self.operations, self.seconds, remaining)


class _Count(TorchDispatchMode):
    def __init__(self) -> None:
        super().__init__()
        self.operations = 0

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        self.operations += 1
        return func(*args, **(kwargs or {}))
