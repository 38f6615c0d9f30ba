"""Bounds and grids of every intermediate value, and the precision that exact float arithmetic needs for them."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
from typing_extensions import override

from hgq2_core.errors import ExactnessError
from hgq2_core.exact.arrays import Arrays, Axis, BitArray
from hgq2_core.exact.integer_array import NO_BITS, Data, IntegerArray, fraction_bits, integer, magnitude
from hgq2_core.exact.integers import FLOAT64_LIMIT, Integers, contracted_size, table_inputs
from hgq2_core.exact.rounding import limits, rounded

Steps = npt.NDArray[np.int64]

MAX_TABLE_POINTS = 2**20

_exact = Integers()
_ZERO = IntegerArray(np.asarray(0), 0)


@dataclass(frozen=True, eq=False)
class IntervalArray:
    """The possible values of each element: the multiples of `2**-step` from `lo` to `hi`, including both ends.

    Args:
        lo: lower bounds.
        hi: upper bounds, of the same shape.
        step: fraction bits of each element; `NO_BITS` or a little more for an exact zero.
    """

    lo: IntegerArray
    hi: IntegerArray
    step: Steps


class Intervals(Arrays[IntervalArray]):
    """`Arrays` on bounds, which records the precision that exact float arithmetic needs.

    Float arithmetic computes a sum exactly, in any order, if the magnitudes of its terms add up to at most
    2**precision steps of the finest grid among them; float32 has precision 24, float64 53. Use a batch of one.

    Example:
        >>> intervals = Intervals()
        >>> x = intervals.input(k=1, i=0, f=7, shape=(1, 16))
        >>> y = intervals.sum(x, axis=-1)
        >>> intervals.required_bits  # 16 terms of at most 128 steps
        11
    """

    def __init__(self) -> None:
        self.required_bits = 0
        """The largest precision that an operation since the last `reset` needs."""
        self.sum_bits = 0
        """The bits, sign included, of an accumulator in which the partial sums since then fit, in any order."""

    def reset(self) -> None:
        """Reset the records, for the next layer."""
        self.required_bits = self.sum_bits = 0

    def input(self, k: BitArray, i: BitArray, f: BitArray, shape: Sequence[int]) -> IntervalArray:
        """Return the intervals of all values of a fixed-point format.

        Args:
            k: 1 with a sign, else 0.
            i: integer bits.
            f: fraction bits.
            shape: the shape, including a batch of one.
        """
        low, high, _ = limits(k, i, f, "SAT")
        return self.broadcast(_interval(low, high, np.broadcast_to(integer(f), low.data.shape)), shape)

    def between(self, lo: npt.ArrayLike, hi: npt.ArrayLike, f: BitArray) -> IntervalArray:
        """Return the intervals of the multiples of `2**-f` between two bounds.

        Args:
            lo: lower bounds.
            hi: upper bounds.
            f: fraction bits of the values.

        Raises:
            ExactnessError: a bound is NaN or infinite, or no multiple lies between the bounds.
        """
        low, high = np.broadcast_arrays(np.asarray(lo), np.asarray(hi), np.asarray(f))[:2]
        _, inner_high = rounded(_exact.constant(high), f, "TRN")
        _, negated = rounded(_exact.negate(_exact.constant(low)), f, "TRN")
        inner_low = _exact.negate(negated)
        if _exact.less(inner_high, inner_low).data.any():
            raise ExactnessError("No value of the grid lies between the bounds of an interval.")
        return _interval(inner_low, inner_high, np.broadcast_to(integer(f), low.shape))

    def on_grid(self, a: IntervalArray, step: npt.ArrayLike) -> IntervalArray:
        """Return the same bounds on a grid at least as fine: the format of a constant may be finer than its values.

        Args:
            a: any intervals.
            step: fraction bits of the grid.
        """
        return IntervalArray(a.lo, a.hi, np.maximum(a.step, np.asarray(step, dtype=np.int64)))

    @override
    def constant(self, values: npt.ArrayLike) -> IntervalArray:
        point = _exact.constant(values)
        return IntervalArray(point, point, fraction_bits(point))

    @override
    def shape(self, a: IntervalArray) -> tuple[int, ...]:
        return a.step.shape

    @override
    def add(self, a: IntervalArray, b: IntervalArray) -> IntervalArray:
        step = np.maximum(a.step, b.step)
        self._record(_exact.add(_largest(a), _largest(b)), step, accumulated=True)
        return _interval(_exact.add(a.lo, b.lo), _exact.add(a.hi, b.hi), step)

    @override
    def subtract(self, a: IntervalArray, b: IntervalArray) -> IntervalArray:
        return self.add(a, self.negate(b))

    @override
    def negate(self, a: IntervalArray) -> IntervalArray:
        return IntervalArray(_exact.negate(a.hi), _exact.negate(a.lo), a.step)

    @override
    def multiply(self, a: IntervalArray, b: IntervalArray) -> IntervalArray:
        corners = [_exact.multiply(x, y) for x in (a.lo, a.hi) for y in (b.lo, b.hi)]
        low, high = corners[0], corners[0]
        for corner in corners[1:]:
            low, high = _exact.minimum(low, corner), _exact.maximum(high, corner)
        result = _interval(low, high, a.step + b.step)
        self._record(_largest(result), result.step)
        return result

    @override
    def shift(self, a: IntervalArray, n: BitArray) -> IntervalArray:
        return _interval(_exact.shift(a.lo, n), _exact.shift(a.hi, n), a.step - integer(n))

    @override
    def einsum(self, equation: str, a: IntervalArray, b: IntervalArray) -> IntervalArray:
        """Return bounds, which are tight unless both factors of a product may have either sign."""

        def product(x: IntegerArray, y: IntegerArray) -> IntegerArray:
            return _exact.einsum(equation, x, y)

        low, high = _ZERO, _ZERO
        for sign_a, (low_a, high_a) in _parts(a):
            for sign_b, (low_b, high_b) in _parts(b):
                least, most = product(low_a, low_b), product(high_a, high_b)
                if sign_a != sign_b:
                    least, most = _exact.negate(most), _exact.negate(least)
                low, high = _exact.add(low, least), _exact.add(high, most)
        total = product(_largest(a), _largest(b))
        step = _finest(equation, a.step, b.step)
        self._record(total, step, accumulated=True)
        # Positive and negative parts are treated as independent; if both operands straddle zero, magnitudes do better.
        return _interval(_exact.maximum(low, _exact.negate(total)), _exact.minimum(high, total), step)

    @override
    def sum(self, a: IntervalArray, axis: Axis, keepdims: bool = False) -> IntervalArray:
        step = a.step.max(axis=axis, keepdims=keepdims, initial=NO_BITS)
        self._record(_exact.sum(_largest(a), axis, keepdims), step, accumulated=True)
        return _interval(_exact.sum(a.lo, axis, keepdims), _exact.sum(a.hi, axis, keepdims), step)

    @override
    def maximum(self, a: IntervalArray, b: IntervalArray) -> IntervalArray:
        step = np.maximum(a.step, b.step)
        return _interval(_exact.maximum(a.lo, b.lo), _exact.maximum(a.hi, b.hi), step)

    @override
    def minimum(self, a: IntervalArray, b: IntervalArray) -> IntervalArray:
        return self.negate(self.maximum(self.negate(a), self.negate(b)))

    @override
    def less(self, a: IntervalArray, b: IntervalArray) -> IntervalArray:
        surely, possibly = _exact.less(a.hi, b.lo), _exact.less(a.lo, b.hi)
        return _interval(surely, possibly, np.zeros(surely.data.shape, dtype=np.int64))

    @override
    def select(self, condition: IntervalArray, a: IntervalArray, b: IntervalArray) -> IntervalArray:
        def chosen(of_a: IntegerArray, of_b: IntegerArray, either: IntegerArray) -> IntegerArray:
            return _exact.select(condition.lo, of_a, _exact.select(condition.hi, either, of_b))

        steps = (IntegerArray(step, 0) for step in (a.step, b.step, np.maximum(a.step, b.step)))
        low = chosen(a.lo, b.lo, _exact.minimum(a.lo, b.lo))
        high = chosen(a.hi, b.hi, _exact.maximum(a.hi, b.hi))
        return _interval(low, high, _plain(chosen(*steps)))

    @override
    def quantize(
        self, a: IntervalArray, k: BitArray, i: BitArray, f: BitArray, round_mode: str, overflow_mode: str
    ) -> IntervalArray:
        """Return the rounded ends if they fit, else the clipped ends (SAT, SAT_SYM) or the whole format."""
        least, most, _ = limits(k, i, f, overflow_mode)
        low, high = rounded(a.lo, f, round_mode)[1], rounded(a.hi, f, round_mode)[1]
        outside = (_exact.less(low, least).data | _exact.less(most, high).data).astype(bool)
        lost = IntegerArray((outside & (overflow_mode not in ("SAT", "SAT_SYM"))).astype(np.int64), 0)
        low = _exact.select(lost, least, _exact.minimum(_exact.maximum(low, least), most))
        high = _exact.select(lost, most, _exact.minimum(_exact.maximum(high, least), most))
        # A saturated value is on the grid of the format, which may be finer than its own.
        step = np.where(outside, integer(f), np.minimum(a.step, integer(f)))
        result = _interval(low, high, step)
        self._record(_largest(result), result.step)
        return result

    @override
    def exponents(self, a: IntervalArray) -> tuple[int, int]:
        largest = _largest(a)
        present = largest.data != 0
        if not present.any():
            return 0, 0
        return -int(a.step[present].max()), magnitude(largest.data).bit_length() - 1 - largest.exponent

    @override
    def table(self, a: IntervalArray, function: Callable[[npt.NDArray[np.float64]], npt.ArrayLike]) -> IntervalArray:
        """Return bounds over all values of the intervals, at most 2**20 for an element."""
        keys = list(zip(*(x.ravel().tolist() for x in (table_inputs(a.lo), table_inputs(a.hi), a.step)), strict=True))
        images = {(lo, hi, step): _image(lo, hi, step, function) for lo, hi, step in set(keys)}
        low, high, step = (np.reshape([images[key][n] for key in keys], a.step.shape) for n in range(3))
        return _interval(_exact.constant(low.astype(float)), _exact.constant(high.astype(float)), step.astype(np.int64))

    @override
    def cheapest(self, a: IntervalArray, *alternatives: Callable[[IntervalArray], IntervalArray]) -> IntervalArray:
        """Return the intersection of the bounds of all alternatives that have bounds."""
        result = alternatives[0](a)
        for statement in alternatives[1:]:
            with suppress(ExactnessError):
                result = _both(result, statement(a))
        return result

    @override
    def reshape(self, a: IntervalArray, shape: Sequence[int]) -> IntervalArray:
        return _moved(a, lambda data: data.reshape(tuple(shape)))

    @override
    def transpose(self, a: IntervalArray, axes: Sequence[int]) -> IntervalArray:
        return _moved(a, lambda data: data.transpose(tuple(axes)))

    @override
    def concatenate(self, arrays: Sequence[IntervalArray], axis: int) -> IntervalArray:
        return IntervalArray(
            _exact.concatenate([a.lo for a in arrays], axis),
            _exact.concatenate([a.hi for a in arrays], axis),
            np.concatenate([a.step for a in arrays], axis=axis),
        )

    @override
    def broadcast(self, a: IntervalArray, shape: Sequence[int]) -> IntervalArray:
        return _moved(a, lambda data: np.broadcast_to(data, tuple(shape)))

    @override
    def gather(self, a: IntervalArray, indices: npt.ArrayLike, axis: int) -> IntervalArray:
        return _moved(a, lambda data: np.take(data, np.asarray(indices), axis=axis))

    @override
    def pad(self, a: IntervalArray, widths: Sequence[tuple[int, int]]) -> IntervalArray:
        step = np.pad(a.step, tuple(widths), constant_values=NO_BITS)
        return IntervalArray(_exact.pad(a.lo, widths), _exact.pad(a.hi, widths), step)

    def _record(self, total: IntegerArray, step: Steps, accumulated: bool = False) -> None:
        """Record the bits of the largest magnitude, or sum of magnitudes, in units of each element's step."""
        steps = _exact.shift(total, np.where(total.data == 0, 0, step))
        most = magnitude(steps.data)
        if not most:
            return
        self.required_bits = max(self.required_bits, (most - 1).bit_length() - steps.exponent)
        if accumulated:  # both signs of the largest must fit
            self.sum_bits = max(self.sum_bits, 1 + most.bit_length() - steps.exponent)


def _interval(lo: IntegerArray, hi: IntegerArray, step: npt.NDArray[np.int64]) -> IntervalArray:
    """Return an interval, in which a single point has its minimal number of fraction bits."""
    exponent_free = _exact.subtract(hi, lo).data == 0
    return IntervalArray(lo, hi, np.where(exponent_free, fraction_bits(lo), step))


def _both(a: IntervalArray, b: IntervalArray) -> IntervalArray:
    """Return the intersection, which must not be empty."""
    return _interval(_exact.maximum(a.lo, b.lo), _exact.minimum(a.hi, b.hi), np.minimum(a.step, b.step))


def _moved(a: IntervalArray, move: Callable[[Data], Data]) -> IntervalArray:
    return IntervalArray(
        IntegerArray(move(a.lo.data), a.lo.exponent), IntegerArray(move(a.hi.data), a.hi.exponent), move(a.step)
    )


def _largest(a: IntervalArray) -> IntegerArray:
    return _exact.maximum(a.hi, _exact.negate(a.lo))


def _parts(a: IntervalArray) -> tuple[tuple[int, tuple[IntegerArray, IntegerArray]], ...]:
    """Return two pairs of a sign and the bounds of a nonnegative part: `a` is the first part minus the second."""
    positive = _exact.maximum(a.lo, _ZERO), _exact.maximum(a.hi, _ZERO)
    negative = _exact.maximum(_exact.negate(a.hi), _ZERO), _exact.maximum(_exact.negate(a.lo), _ZERO)
    return (1, positive), (-1, negative)


def _finest(equation: str, a: Steps, b: Steps) -> Steps:
    """Return the largest sum of two steps along each contraction, without products that are exactly zero.

    Each step is represented by a power of a base above twice the number of terms, so that one einsum at BLAS speed adds
    steps and its leading digit is their maximum. Steps too coarse for the range of float64 are raised, which is sound.
    """
    width = contracted_size(equation, a.shape, b.shape).bit_length() + 1
    top_a, top_b = int(a.max(initial=NO_BITS)), int(b.max(initial=NO_BITS))

    def digits(step: Steps, top: int) -> npt.NDArray[np.float64]:
        power = np.maximum(step - top, -(960 // width)) * width + 480
        return np.where(step == NO_BITS, 0.0, np.ldexp(1.0, power.astype(np.int32)))

    total = np.asarray(np.einsum(equation, digits(a, top_a), digits(b, top_b), optimize=True))
    leading = (np.frexp(total)[1].astype(np.int64) - 1 - 960) // width
    return np.where(total == 0, NO_BITS, leading + top_a + top_b)


def _plain(a: IntegerArray) -> Steps:
    """Return an integer-valued array as int64."""
    return np.asarray(a.data << -a.exponent, dtype=np.int64)


def _image(
    lo: float, hi: float, step: int, function: Callable[[npt.NDArray[np.float64]], npt.ArrayLike]
) -> tuple[float, float, int]:
    """Return smallest value, largest value and fraction bits of a function on a grid."""
    unit = 0.0 if lo == hi else float(np.ldexp(1.0, -step))
    points = (hi - lo) / unit + 1 if unit else 1
    if points > MAX_TABLE_POINTS:
        raise ExactnessError(f"A lookup table may have {MAX_TABLE_POINTS} entries. Received: {points:.0f}")
    if lo != hi and max(-lo, hi) > unit * FLOAT64_LIMIT:
        raise ExactnessError("A lookup table needs a grid that float64 holds exactly: at most 53 bits.")
    grid: npt.NDArray[np.float64] = lo + unit * np.arange(int(points), dtype=np.float64)
    values = np.asarray(function(grid), dtype=np.float64)
    bits = fraction_bits(_exact.constant(values))
    return float(values.min()), float(values.max()), int(bits.max())
