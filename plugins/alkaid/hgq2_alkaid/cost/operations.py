"""The logic that exact arithmetic needs, counted on intervals: what the cost model before a circuit exists knows."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Callable
from math import ldexp
from typing import Any

import numpy as np
import numpy.typing as npt
from typing_extensions import override

from hgq2_alkaid.cost.matrices import count_matrix
from hgq2_alkaid.cost.tables import table_logic
from hgq2_alkaid.solver import digits
from hgq2_core.exact import Intervals
from hgq2_core.exact.arrays import Arrays, Axis, BitArray
from hgq2_core.exact.integers import to_float
from hgq2_core.exact.intervals import IntervalArray
from hgq2_core.exporting.contraction import Contraction

Floats = npt.NDArray[np.float64]

RAW_STEP, RAW_LIMIT = 149, 62
"""Grid and bound of a raw input, of which nothing is known."""


class Operations(Intervals):
    """`Intervals` that counts the logic of every operation on data.

    `counts` holds, by the kind of operation, output bits: of adders, of constants that are added, of roundings, of
    saturations and so on; of products the bit operations; of tables the LUTs with 6 inputs that no two are equal of.
    """

    def __init__(self) -> None:
        super().__init__()
        self.counts: defaultdict[str, float] = defaultdict(float)

    def raw(self, shape: tuple[int, ...]) -> IntervalArray:
        """Return the interval of a raw input, whose first quantizer is the host's work."""
        bound = np.full(shape, ldexp(1.0, RAW_LIMIT))
        return self.between(-bound, bound, RAW_STEP)

    @override
    def quantizer(self, a: IntervalArray, statement: Callable[[Arrays[Any], Any], Any]) -> IntervalArray:
        result: IntervalArray = statement(Intervals() if _is_raw(a) else self, a)
        return result

    @override
    def add(self, a: IntervalArray, b: IntervalArray) -> IntervalArray:
        result = super().add(a, b)
        self._count_sum(a, b, result)
        return result

    @override
    def subtract(self, a: IntervalArray, b: IntervalArray) -> IntervalArray:
        return self.add(a, super().negate(b))

    @override
    def multiply(self, a: IntervalArray, b: IntervalArray) -> IntervalArray:
        result = super().multiply(a, b)
        for constant in (b, a):
            if _is_constant(constant):
                more = np.maximum(digits(to_float(constant.lo)) - 1, 0)
                self._count("scale", more * width(result))
                return result
        self._count("product", width(a) * width(b))
        return result

    @override
    def einsum(self, equation: str, a: IntervalArray, b: IntervalArray) -> IntervalArray:
        result = super().einsum(equation, a, b)
        if _is_constant(a):
            inputs, output = equation.replace(" ", "").split("->")
            a, b, equation = b, a, f"{','.join(inputs.split(',')[::-1])}->{output}"
        parts = Contraction(equation, a.step.shape, b.step.shape)
        if _is_constant(b):
            ranges = (parts.left(each) for each in (to_float(a.lo), to_float(a.hi), _ulp(a)))
            for low, high, step, kernel in zip(*ranges, parts.right(to_float(b.lo)), strict=True):
                for name, count in count_matrix(low, high, step, kernel).items():
                    self._count(name, count)
            return result
        live, other = parts.left(width(a) > 0).astype(float), parts.right(width(b))
        self._count("product", parts.left(width(a)) @ other)
        terms = live @ (other > 0)
        self._count("add", np.maximum(terms - 1, 0) * _mean(width(result)))
        return result

    @override
    def sum(self, a: IntervalArray, axis: Axis, keepdims: bool = False) -> IntervalArray:
        result = super().sum(a, axis, keepdims)
        terms = (width(a) > 0).sum(axis=axis, keepdims=keepdims)
        own = (width(a).sum(axis=axis, keepdims=keepdims) / np.maximum(terms, 1) + width(result)) / 2
        self._count("add", np.maximum(terms - 1, 0) * own)
        return result

    @override
    def maximum(self, a: IntervalArray, b: IntervalArray) -> IntervalArray:
        result = super().maximum(a, b)
        self._count_choice(a, b, result)
        return result

    @override
    def minimum(self, a: IntervalArray, b: IntervalArray) -> IntervalArray:
        result = self.negate(super().maximum(self.negate(a), self.negate(b)))
        self._count_choice(self.negate(a), self.negate(b), result)
        return result

    @override
    def less(self, a: IntervalArray, b: IntervalArray) -> IntervalArray:
        result = super().less(a, b)
        wide = np.maximum(*np.broadcast_arrays(width(a), width(b)))
        self._count("compare", wide * (width(result) > 0))
        return result

    @override
    def select(self, condition: IntervalArray, a: IntervalArray, b: IntervalArray) -> IntervalArray:
        result = super().select(condition, a, b)
        self._count("select", width(result) * (width(condition) > 0))
        return result

    @override
    def quantize(
        self, a: IntervalArray, k: BitArray, i: BitArray, f: BitArray, round_mode: str, overflow_mode: str
    ) -> IntervalArray:
        result = super().quantize(a, k, i, f, round_mode, overflow_mode)
        bits, own = width(a), width(result)
        cut = np.broadcast_to(np.asarray(f) < a.step, bits.shape) & (bits > 0) & (own > 0)
        if round_mode != "TRN":
            self._count("constant", np.maximum(bits - (a.step - np.asarray(f)), 1) * cut)
        if not overflow_mode.startswith("WRAP"):
            coarse = super().quantize(a, 1, 60, f, round_mode, "SAT")
            over = (width(coarse) > own) & (own > 0)
            self._count("saturate", width(coarse) * over)
        return result

    @override
    def table(self, a: IntervalArray, function: Callable[[Floats], npt.ArrayLike]) -> IntervalArray:
        result = super().table(a, function)
        low, high, step = to_float(a.lo).ravel(), to_float(a.hi).ravel(), a.step.ravel()
        for (lo, hi, fraction), times in Counter(zip(low.tolist(), high.tolist(), step.tolist(), strict=True)).items():
            if lo < hi:
                entries = np.asarray(function(np.arange(lo, hi + 2.0**-fraction / 2, 2.0**-fraction)), dtype=np.float64)
                for name, count in table_logic(entries).items():
                    self._count(name, times * count)
        return result

    @override
    def cheapest(self, a: IntervalArray, *alternatives: Callable[[IntervalArray], IntervalArray]) -> IntervalArray:
        before, counted = self.counts, []
        for statement in alternatives:
            self.counts = defaultdict(float)
            super().cheapest(a, statement)
            counted.append(self.counts)
        self.counts = before
        for name, count in min(counted, key=lambda counts: sum(counts.values())).items():
            self._count(name, count)
        plain: IntervalArray = Intervals().cheapest(a, *(lambda x, each=each: each(x) for each in alternatives))
        return plain

    def _count(self, name: str, amount: npt.ArrayLike) -> None:
        self.counts[name] += float(np.sum(amount))

    def _count_sum(self, a: IntervalArray, b: IntervalArray, result: IntervalArray) -> None:
        one, other = np.broadcast_arrays(width(a), width(b))
        bits = width(result)
        both = (one > 0) & (other > 0)
        constant = np.broadcast_to(_is_constant_each(a) & _not_zero(a), bits.shape) | np.broadcast_to(
            _is_constant_each(b) & _not_zero(b), bits.shape
        )
        self._count("add", bits * both)
        self._count("constant", bits * (constant & ~both & (bits > 0)))

    def _count_choice(self, a: IntervalArray, b: IntervalArray, result: IntervalArray) -> None:
        surely = to_float(a.lo) >= to_float(b.hi), to_float(b.lo) >= to_float(a.hi)
        open_ = ~(surely[0] | surely[1]) & (width(result) > 0)
        to_zero = np.broadcast_to(_is_constant_each(a) & ~_not_zero(a), open_.shape) | np.broadcast_to(
            _is_constant_each(b) & ~_not_zero(b), open_.shape
        )
        self._count("relu", width(result) * (open_ & to_zero))
        self._count("choose", width(result) * (open_ & ~to_zero))


def width(a: IntervalArray) -> Floats:
    """Return the bits of each element, the sign included; 0 of constants."""
    low, high = to_float(a.lo), to_float(a.hi)
    varies = low < high
    reach = np.where(varies, np.maximum(high + _ulp(a), -low), 1.0)
    bits = (low < 0) + np.ceil(np.log2(np.maximum(reach, 2.0**-200))) + np.where(varies, a.step, 0)
    return np.asarray(np.where(varies, np.maximum(bits, 1), 0), dtype=np.float64)


def _ulp(a: IntervalArray) -> Floats:
    """Return the step of each element as a number; 1 of constants."""
    varies = to_float(a.lo) < to_float(a.hi)
    return np.asarray(np.ldexp(1.0, -np.where(varies, a.step, 0).astype(np.int32)))


def _is_raw(a: IntervalArray) -> bool:
    return bool(a.step.size) and bool((a.step == RAW_STEP).all())


def _is_constant(a: IntervalArray) -> bool:
    return bool(_is_constant_each(a).all())


def _is_constant_each(a: IntervalArray) -> npt.NDArray[np.bool_]:
    return np.asarray(to_float(a.lo) == to_float(a.hi))


def _not_zero(a: IntervalArray) -> npt.NDArray[np.bool_]:
    return np.asarray(to_float(a.lo) != 0)


def _mean(values: Floats) -> float:
    return float(values.mean()) if values.size else 0.0
