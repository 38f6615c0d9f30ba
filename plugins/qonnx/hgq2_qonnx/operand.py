"""Operands of the recorder: the tensor that holds the numbers, and the bounds of each."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from hgq2_core.exact import IntegerArray, Integers, IntervalArray
from hgq2_core.exact.integers import equal, from_float, to_float
from hgq2_core.exporting.errors import Unsupported
from hgq2_core.exporting.inputs import Entry, Objects

PRECISION = 24
"""Bits of an integer that float32 holds."""

FAR = 126
"""The largest exponent, and that of the finest step, for which float32 neither overflows nor loses bits."""

exact = Integers()
_NONE = IntervalArray(from_float([]), from_float([]), np.zeros(0, dtype=np.int64))


@dataclass(frozen=True, eq=False)
class Operand:
    """Numbers of one sample, with a batch of 1.

    Args:
        name: of their tensor; empty for constants, which get one where a node reads them.
        bounds: of each number; of a constant, both ends are it.
        raw: the numbers of an input that no quantizer has met, in place of bounds; None elsewhere.
    """

    name: str
    bounds: IntervalArray
    raw: Objects | None = None

    @property
    def shape(self) -> tuple[int, ...]:
        """The shape, batch axis included."""
        return self.bounds.step.shape if self.raw is None else self.raw.shape

    @property
    def constant(self) -> bool:
        """Whether all numbers are constants."""
        return self.raw is None and not varies(self.bounds).any()

    @property
    def values(self) -> npt.NDArray[np.float32]:
        """The numbers of a constant.

        Raises:
            Unsupported: float32 would round one.
        """
        values = to_float(self.bounds.lo, np.float32)
        if not equal(self.bounds.lo, values).all():
            raise Unsupported(
                f"a constant of more than {PRECISION} bits, which float32 would round. Give its quantizer fewer bits."
            )
        return values


def unquantized(name: str, raw: Objects) -> Operand:
    """Return an operand of numbers that no quantizer has met, and of constants."""
    return Operand(name, _NONE, raw)


def varies(bounds: IntervalArray) -> npt.NDArray[np.bool_]:
    """Return which numbers are no constants."""
    return np.asarray(exact.less(bounds.lo, bounds.hi).data != 0)


def ends(bounds: IntervalArray) -> tuple[npt.NDArray[np.float64], npt.NDArray[np.float64]]:
    """Return the smallest and the largest value of each number."""
    return to_float(bounds.lo), to_float(bounds.hi)


def entered_bounds(entered: Objects) -> tuple[Objects, Objects, npt.NDArray[np.int64]]:
    """Return the ends and the fraction bits of numbers that are what an input's quantizer makes of them, or floats."""
    flat = [(*x.bounds, x.format.f) if isinstance(x, Entry) else (x, x, FAR) for x in entered.ravel()]
    low, high, f = (np.reshape([each[n] for each in flat], entered.shape) for n in range(3))
    return low, high, f.astype(np.int64)


def moved(bounds: IntervalArray, where: npt.NDArray[np.bool_]) -> IntervalArray:
    """Return the bounds of some numbers, flat."""
    low, high = (IntegerArray(end.data[where], end.exponent) for end in (bounds.lo, bounds.hi))
    return IntervalArray(low, high, bounds.step[where])
