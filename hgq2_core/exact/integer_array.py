"""Integers with one binary exponent per array, the data type of exact arithmetic, and functions of it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from hgq2_core.exact.arrays import BitArray

Data = npt.NDArray[Any]

INT64_LIMIT = 2**63
NO_BITS = -(2**40)
"""Fraction bits of an exact zero, which is on every grid: lower than any real count, even after a few additions."""


@dataclass(frozen=True, eq=False)
class IntegerArray:
    """Numbers `data * 2**-exponent`.

    Args:
        data: int64, or Python integers (dtype object) if a magnitude reaches 2**63.
        exponent: fraction bits of the whole array; may be negative.
    """

    data: Data
    exponent: int

    def __post_init__(self) -> None:
        # Narrower integers would overflow silently.
        if self.data.dtype not in (np.int64, np.object_):
            raise TypeError(f"Exact data is int64 or Python integers. Received: dtype={self.data.dtype}")


def magnitude(data: Data) -> int:
    """Return the largest absolute value as a Python integer; 0 for an empty array."""
    return max(int(data.max()), -int(data.min())) if data.size else 0


def like(a: Data, data: Any) -> Data:
    """Return a result as an array of the dtype of `a`, since numpy returns plain integers for 0-d object arrays."""
    return np.asarray(data, dtype=a.dtype)


def pack(data: Any, exponent: int) -> IntegerArray:
    """Return the canonical array: int64 if possible, without common trailing zeros, and exponent 0 for zeros."""
    # Numpy would convert some plain integers to uint64.
    data = np.asarray(data, dtype=object if isinstance(data, int) else None)
    if data.dtype == object and magnitude(data) < INT64_LIMIT:
        data = data.astype(np.int64)
    bits = int(np.bitwise_or.reduce(data, axis=None))
    if bits == 0:
        return IntegerArray(data, 0)
    zeros = (bits & -bits).bit_length() - 1
    return IntegerArray(like(data, data >> zeros) if zeros else data, exponent - zeros)


def widen(bound: int, *data: Data) -> tuple[Data, ...]:
    """Return the arrays in a dtype for arithmetic whose intermediate values stay within a bound."""
    if bound < INT64_LIMIT and all(d.dtype != object for d in data):
        return data
    return tuple(d.astype(object) for d in data)


def aligned(*arrays: IntegerArray) -> tuple[int, tuple[Data, ...]]:
    """Return a common exponent of all arrays, and their data with that exponent."""
    exponent = max(a.exponent for a in arrays)
    return exponent, tuple(_left(a.data, exponent - a.exponent) for a in arrays)


def integer(bits: BitArray) -> npt.NDArray[np.int64]:
    """Return bit counts as int64; floats are refused, not truncated."""
    return np.asarray(bits).astype(np.int64, casting="same_kind")


def _left(data: Data, n: int) -> Data:
    (data,) = widen(magnitude(data) << n, data)
    return like(data, data << n)


def shift(a: IntegerArray, n: BitArray) -> IntegerArray:
    """Return each element times 2**n, for n of either sign."""
    places = integer(n)
    least = int(places.min()) if places.size else 0
    up = places - least
    data, up = widen(magnitude(a.data) << int(up.max(initial=0)), a.data, up)
    return pack(data << up, a.exponent - least)


def fraction_bits(a: IntegerArray) -> npt.NDArray[np.int64]:
    """Return the minimal number of fraction bits of each element; `NO_BITS` for zero."""
    lowest = like(a.data, a.data & -a.data)
    if lowest.dtype == object:
        zeros = np.asarray(np.frompyfunc(int.bit_length, 1, 1)(lowest), dtype=np.int64) - 1
    else:
        zeros = np.frexp(lowest.astype(np.float64))[1].astype(np.int64) - 1
    return np.where(lowest == 0, NO_BITS, a.exponent - zeros)
