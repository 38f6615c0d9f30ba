"""The fixed-point formats that hold what bounds allow."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from hgq2_core.exact import IntervalArray
from hgq2_core.exact.integer_array import NO_BITS, Data

Bits = npt.NDArray[np.int64]


@dataclass(frozen=True, eq=False)
class Formats:
    """A fixed-point format for each number.

    Args:
        k: 1 with a sign, else 0.
        i: integer bits without the sign.
        f: fraction bits.
    """

    k: Bits
    i: Bits
    f: Bits

    @property
    def width(self) -> Bits:
        """k + i + f; 0 for a number that is always 0."""
        return self.k + self.i + self.f

    def joint(self) -> tuple[int, int, int]:
        """Return the smallest format that holds all numbers; without bits if all are 0."""
        live = self.width > 0
        if not live.any():
            return 0, 0, 0
        return int(self.k[live].max()), int(self.i[live].max()), int(self.f[live].max())


def formats(bounds: IntervalArray) -> Formats:
    """Return, for each number, the smallest format of its bounds and its grid."""
    zero = (bounds.lo.data == 0) & (bounds.hi.data == 0)
    negative, positive = np.asarray(bounds.lo.data < 0), np.asarray(bounds.hi.data > 0)
    above = np.where(positive, _bit_length(bounds.hi.data) - bounds.hi.exponent, NO_BITS)
    below = np.where(negative, _bit_length(-bounds.lo.data - negative) - bounds.lo.exponent, NO_BITS)
    i = np.maximum(above, below)
    f = np.where(zero | (bounds.step <= NO_BITS // 2), 0, bounds.step)
    k = negative.astype(np.int64)
    return Formats(np.where(zero, 0, k), np.where(zero, 0, i), np.where(zero, 0, f))


def _bit_length(data: Data) -> Bits:
    lengths: Any = np.frompyfunc(lambda n: max(int(n), 0).bit_length(), 1, 1)(data)
    return np.asarray(lengths, dtype=np.int64)
