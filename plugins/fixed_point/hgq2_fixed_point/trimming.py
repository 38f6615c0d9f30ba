"""The fewest bits in which given values can be held."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt

MANTISSA = 53
"""Bits of a float64."""

Bits = npt.NDArray[np.float64]


def needed_bits(values: npt.NDArray[Any], axes: tuple[int, ...]) -> tuple[Bits, Bits]:
    """Return the integer and the fraction bits that hold values, from the highest to the lowest bit that is set.

    Args:
        values: finite numbers.
        axes: along which values share their bits; they keep size 1.

    Returns:
        i and f, both minus infinity where all values are 0.
    """
    mantissa, exponent = np.frexp(np.abs(values).astype(np.float64))
    whole = np.ldexp(mantissa, MANTISSA).astype(np.int64)
    trailing = np.frexp((whole & -whole).astype(np.float64))[1] - 1
    zero = values == 0
    i = np.where(zero, -np.inf, exponent)
    f = np.where(zero, -np.inf, MANTISSA - trailing - exponent)
    return i.max(axes, keepdims=True), f.max(axes, keepdims=True)
