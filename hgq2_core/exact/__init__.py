"""Exact interpretation: a layer's arithmetic is written once, and run with integers or with intervals."""

from hgq2_core.exact.arrays import Arrays
from hgq2_core.exact.integer_array import IntegerArray
from hgq2_core.exact.integers import Integers
from hgq2_core.exact.intervals import IntervalArray, Intervals

__all__ = ["Arrays", "IntegerArray", "Integers", "IntervalArray", "Intervals"]
