"""Products of data and constant matrices as adders: large matrices in blocks of columns, in several processes.

Alkaid's search for shared sums takes time as the square of a matrix's digits, so a block of columns by itself takes a
fraction of its share, for a few percent more adders.
"""

from __future__ import annotations

import itertools
import os
import pickle
import subprocess
import sys
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import numpy.typing as npt
from alkaid.trace import FVariable, FVArray, HWConfig

from hgq2_alkaid.solving import Problem, Solution, solved
from hgq2_core import ToolError

Objects = npt.NDArray[Any]
Floats = npt.NDArray[np.float64]

DIGITS = 16_000
"""Nonzero binary digits of the matrices that are solved as a whole."""

SEARCHED = 8_000
"""Nonzero digits up to which all of alkaid's decompositions are tried."""

APART = 20_000
"""Nonzero digits from which processes of their own save more time than they take to start."""


def digits(kernel: npt.ArrayLike) -> npt.NDArray[np.int64]:
    """Return the nonzero signed binary digits of every number of a matrix."""
    # A kernel has no more bits than float32: 2^31 times its mantissa is whole, with room for three times as much.
    whole = np.ldexp(np.frexp(np.abs(kernel))[0], 31).astype(np.int64)
    return np.asarray(np.bitwise_count(whole ^ (3 * whole)), dtype=np.int64)


def blocks(kernel: Floats, most: int = DIGITS) -> Iterator[slice]:
    """Yield the columns to solve together, in as few blocks as have about so many digits.

    Args:
        kernel: (inputs, outputs).
        most: digits of a block.
    """
    of_columns = digits(kernel).sum(axis=0)
    count = max(1, -(-int(of_columns.sum()) // most))
    ends = np.searchsorted(np.cumsum(of_columns), of_columns.sum() * np.arange(1, count) / count)
    bounds = [0, *sorted({int(end) for end in ends} - {0}), kernel.shape[1]]
    yield from (slice(*pair) for pair in itertools.pairwise(bounds))


@dataclass
class Solver:
    """Finds the adders of each product once, also where many rows have the same formats.

    Args:
        hwconf: alkaid's adder size, carry size and latency cutoff.
        most: see `blocks`.
        workers: most processes; None for one per core.
    """

    hwconf: HWConfig
    most: int = DIGITS
    workers: int | None = None
    _solutions: dict[Problem, Solution] = field(default_factory=dict)
    _wanted: dict[Problem, int] = field(default_factory=dict)

    def want(self, row: Sequence[FVariable], kernel: Floats) -> None:
        """Remember a product, to be solved by `solve` with others."""
        for _, problem, size in self._problems(row, kernel):
            if problem is not None and problem not in self._solutions:
                self._wanted[problem] = size

    def solve(self) -> None:
        """Solve all that is wanted, in several processes where that pays."""
        wanted = sorted(self._wanted, key=self._wanted.__getitem__, reverse=True)
        count = min(self.workers or _cores(), len(wanted))
        apart = count > 1 and sum(self._wanted.values()) >= APART
        self._wanted.clear()
        if not apart:
            self._solutions |= {problem: solved(problem) for problem in wanted}
            return
        shares = [wanted[start::count] for start in range(count)]
        with ExitStack() as stack:
            running = [stack.enter_context(_process()) for _ in shares]
            for share, process in zip(shares, running, strict=True):
                _give(process, share)
            for share, process in zip(shares, running, strict=True):
                self._solutions |= zip(share, _found(process, len(share)), strict=True)

    def product(self, row: Sequence[FVariable], kernel: Floats) -> Objects:
        """Return the circuit of `row @ kernel`, one number per column."""
        self.want(row, kernel)
        self.solve()
        values = np.empty(len(row), dtype=object)
        values[:] = row
        parts = []
        for columns, problem, _ in self._problems(row, kernel):
            if problem is None:
                part = FVArray(values, hwconf=self.hwconf) @ kernel[:, columns]
            else:
                first, second = self._solutions[problem]
                part = second(first(values, quantize=False), quantize=False)
            parts.append(np.asarray(part, dtype=object))
        return np.concatenate(parts)

    def _problems(self, row: Sequence[FVariable], kernel: Floats) -> Iterator[tuple[slice, Problem | None, int]]:
        # Alkaid makes tables of inputs of one bit, which is more than solving. It fails where such a bit is a sign.
        signs = [bool(x.kif[0]) for x in row if sum(x.kif) == 1]
        of_bits = bool(signs) and not any(signs)
        inputs = tuple((float(x.low), float(x.high), float(x.step), float(x.latency)) for x in row)
        for columns in blocks(kernel, self.most):
            block = np.ascontiguousarray(kernel[:, columns], dtype=np.float32)
            if of_bits or not block.any():
                yield columns, None, 0
                continue
            size = int(digits(block).sum())
            yield columns, Problem(block.tobytes(), block.shape, inputs, size <= SEARCHED), size


def _cores() -> int:
    """Return the cores that this process may use; not every system tells of less than all."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


@contextmanager
def _process() -> Iterator[subprocess.Popen[bytes]]:
    """Start a process that solves problems; whatever ends the wait for it, such as Ctrl-C, ends it too."""
    # A program, as alkaid keeps the interpreter's lock, and a forked process would hold the backend's threads.
    command = [sys.executable, "-m", "hgq2_alkaid.solving"]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE) as process:
        try:
            yield process
        finally:
            process.kill()


def _give(process: subprocess.Popen[bytes], problems: list[Problem]) -> None:
    assert process.stdin is not None
    with suppress(BrokenPipeError), process.stdin as stdin:  # that of one that died says its code
        stdin.write(pickle.dumps(problems))


def _found(process: subprocess.Popen[bytes], count: int) -> list[Solution]:
    assert process.stdout is not None
    written = process.stdout.read()
    if process.wait():
        raise ToolError(
            f"alkaid: a process that decomposes matrices ended with code {process.returncode}. Received: {count} "
            "matrices. A negative code is a signal: -9 says that memory ran out."
        )
    found: list[Solution] = pickle.loads(written)  # by that program
    return found
