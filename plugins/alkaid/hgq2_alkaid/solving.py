"""Alkaid's search for the adders of one constant matrix, also as a program for a process of its own."""

from __future__ import annotations

import pickle
import signal
import sys
from typing import NamedTuple

import numpy as np
from alkaid.cmvm import cmvm_solve
from alkaid.types import CombLogic, QInterval

Solution = tuple[CombLogic, CombLogic]


class Problem(NamedTuple):
    """A product of a row and a constant matrix.

    Args:
        kernel: the matrix's bytes, in float32.
        shape: (inputs, outputs).
        inputs: least and largest value, step, and latency of each number of the row.
        search: whether to try all decompositions of the matrix, for four times the time.
    """

    kernel: bytes
    shape: tuple[int, ...]
    inputs: tuple[tuple[float, float, float, float], ...]
    search: bool


def solved(problem: Problem) -> Solution:
    """Return the adders, in two steps of which the second takes the outputs of the first."""
    kernel = (
        np.frombuffer(problem.kernel, dtype=np.float32).reshape(problem.shape).copy()
    )  # alkaid takes no read-only array
    options = {} if problem.search else {"search_all_decompose_dc": False, "decompose_dc": 0}
    intervals = [QInterval(low, high, step) for low, high, step, _ in problem.inputs]
    latencies = [latency for *_, latency in problem.inputs]
    found: Solution = cmvm_solve(kernel, qintervals=intervals, latencies=latencies, **options)
    return found


if __name__ == "__main__":
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C is for the process that started this one, which ends it
    problems = pickle.load(sys.stdin.buffer)  # written by the process that started this one
    sys.stdout.buffer.write(pickle.dumps([solved(problem) for problem in problems]))
