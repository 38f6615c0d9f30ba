"""Operands of the recorder: which row holds each number, in which units, and between which bounds."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from hgq2_core.exact import IntegerArray, Integers, IntervalArray
from hgq2_core.exact.integer_array import NO_BITS, fraction_bits
from hgq2_core.exact.integers import from_float, to_float
from hgq2_core.exporting.inputs import Objects

Ints = npt.NDArray[np.int64]
Floats = npt.NDArray[np.float64]

CONSTANT = -1

exact = Integers()


@dataclass(frozen=True, eq=False)
class Operand:
    """Numbers in rows, with a batch of 1.

    Args:
        rows: the row of each number; `CONSTANT` where it is the same whatever the inputs are.
        exponent: fraction bits of each row's integers.
        bounds: of each number; of a constant, both ends are it.
        raw: the numbers of an input that no quantizer has met, in place of all this; None elsewhere.
    """

    rows: Ints
    exponent: Ints
    bounds: IntervalArray
    raw: Objects | None = None

    @property
    def shape(self) -> tuple[int, ...]:
        """The shape, batch axis included."""
        return self.rows.shape if self.raw is None else self.raw.shape

    @property
    def constant(self) -> bool:
        """Whether all numbers are constants."""
        return self.raw is None and bool((self.rows == CONSTANT).all())

    @property
    def size(self) -> Floats:
        """The largest magnitude of each number in units of its row."""
        return size_of(self.bounds, self.exponent)

    def moved(self, move: Callable[[npt.NDArray[Any]], npt.NDArray[Any]]) -> Operand:
        """Return the operand with its numbers elsewhere, or several times."""
        if self.raw is not None:
            return unquantized(move(self.raw))
        return Operand(move(self.rows), move(self.exponent), moved_bounds(self.bounds, move))


def unquantized(raw: Objects) -> Operand:
    """Return an operand of numbers that no quantizer has met, and of constants."""
    none = np.zeros(0, dtype=np.int64)
    zero = IntegerArray(none, 0)
    return Operand(none, none, IntervalArray(zero, zero, none), raw)


def constant(values: IntegerArray) -> Operand:
    """Return an operand of constants."""
    bits = fraction_bits(values)
    exponent = np.where(bits <= NO_BITS // 2, 0, bits)
    return Operand(np.full(values.data.shape, CONSTANT), exponent, IntervalArray(values, values, bits))


def moved_bounds(bounds: IntervalArray, move: Callable[[npt.NDArray[Any]], npt.NDArray[Any]]) -> IntervalArray:
    """Return bounds moved like their numbers."""
    low, high = (IntegerArray(move(end.data), end.exponent) for end in (bounds.lo, bounds.hi))
    return IntervalArray(low, high, move(bounds.step))


def size_of(bounds: IntervalArray, exponent: Ints) -> Floats:
    """Return the largest magnitude within bounds in units of 2^-exponent, in float64."""
    largest = np.maximum(np.abs(to_float(bounds.lo)), np.abs(to_float(bounds.hi)))
    return np.asarray(np.ldexp(largest, np.asarray(exponent, dtype=np.int32)))


def in_units(values: IntegerArray, exponent: Ints) -> npt.NDArray[Any]:
    """Return values that are multiples of 2^-exponent as integers."""
    scaled = exact.shift(values, exponent)
    return scaled.data << -scaled.exponent if scaled.exponent < 0 else scaled.data


def settled(rows: Ints, exponent: Ints, bounds: IntervalArray) -> Operand:
    """Return an operand in which numbers that cannot vary are constants."""
    return Operand(np.where(varies(bounds), rows, CONSTANT), exponent, bounds)


def varies(bounds: IntervalArray) -> npt.NDArray[np.bool_]:
    """Return which numbers are no constants."""
    return np.asarray(exact.less(bounds.lo, bounds.hi).data != 0)


def part_of(bounds: IntervalArray, where: npt.NDArray[np.bool_]) -> IntervalArray:
    """Return the bounds of some numbers, flat."""
    low, high = (IntegerArray(end.data[where], end.exponent) for end in (bounds.lo, bounds.hi))
    return IntervalArray(low, high, bounds.step[where])


def interval(low: Any, high: Any, step: Ints) -> IntervalArray:
    """Return bounds from floats, or exact values, and fraction bits of what lies between."""
    ends = [end if isinstance(end, IntegerArray) else from_float(end.astype(np.float64)) for end in (low, high)]
    point = exact.subtract(ends[1], ends[0]).data == 0
    return IntervalArray(ends[0], ends[1], np.where(point, fraction_bits(ends[0]), step))
