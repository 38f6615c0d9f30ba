"""Tables of functions: their entries, for every value between two ends."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import numpy as np

from hgq2_core.exact import IntegerArray, IntervalArray
from hgq2_core.exact.integer_array import NO_BITS, fraction_bits
from hgq2_core.exact.integers import table_inputs, to_float
from hgq2_core.exporting.errors import Unsupported
from hgq2_cpp.operand import Ints, exact

MOST_ENTRIES = 2**16
"""Entries of one table; hardware wants far fewer."""


def ends_of(bounds: IntervalArray) -> tuple[Any, Any, Ints]:
    """Return both ends of each number, and fraction bits of what lies between."""
    low, high = table_inputs(bounds.lo), table_inputs(bounds.hi)
    return low, high, np.where(low == high, 0, bounds.step)


def entries_of(ends: tuple[float, float, int], function: Callable[[Any], Any]) -> IntegerArray:
    """Return the entries of a table: a function of the multiples of 2^-step from `low` to `high`."""
    low, high, step = ends
    points = 1 if low == high else math.ldexp(high - low, step) + 1
    if points > MOST_ENTRIES:
        raise Unsupported(f"a table of {points:.0f} entries. At most: {MOST_ENTRIES}. Give its input fewer bits.")
    grid = low + math.ldexp(1.0, -step) * np.arange(int(points), dtype=np.float64)
    return exact.constant(function(grid))


def least_of(image: IntegerArray) -> float:
    """Return the smallest entry."""
    return float(to_float(image).min())


def most_of(image: IntegerArray) -> float:
    """Return the largest entry."""
    return float(to_float(image).max())


def bits_of(image: IntegerArray) -> int:
    """Return the fraction bits with which all entries are integers."""
    bits = int(fraction_bits(image).max())
    return 0 if bits <= NO_BITS // 2 else bits
