"""Range initialization: the exponents that hold given values."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from hgq2_minifloat.config import FitTo

Floats = NDArray[np.float64]
Ints = NDArray[np.int64]


def fitted(
    sizes: Floats, axes: tuple[int, ...], m: Ints, e: Ints, fit: FitTo, e_bounds: tuple[float, float]
) -> tuple[Ints, Ints]:
    """Find e and e0 for magnitudes.

    Args:
        sizes: the magnitudes.
        axes: along which they share their bits.
        m: mantissa bits, of the shape of the bits.
        e: present exponent bits, of the shape of the bits.
        fit: what must fit.
        e_bounds: bounds of e.

    Returns:
        e, the present one unless `fit` asks for it, and the smallest e0 whose range holds the magnitudes rounded; where
        all are 0, what a largest magnitude of 1 needs.
    """
    most = np.percentile(sizes, fit.percentile, axis=axes, keepdims=True)
    most = np.where(most > 0, most, 1.0)
    top = np.frexp(most)[1] - 1
    if fit.normal is not None:
        seen = np.where(sizes > 0, sizes, np.nan)
        some = np.any(sizes > 0, axis=axes, keepdims=True)
        # Where all are 0, the percentile of one 1 in their place.
        least = np.nanpercentile(np.where(some, seen, 1.0), fit.normal, axis=axes, keepdims=True)
        binades = top + fit.margin - np.minimum(np.frexp(least)[1] - 1, top) + 1
        e = np.ceil(np.log2(np.maximum(binades + 1, 2))).astype(np.int64)  # 2^e - 1 of them
        e = np.clip(e, *np.rint(e_bounds).astype(np.int64))
    fixed = e == 0
    carried = np.rint(np.ldexp(most, np.maximum(m, 0) - top - fixed)) >= np.ldexp(1.0, np.maximum(m, 0) + 1 - fixed)
    return e, top + fixed + carried + fit.margin - _half(e)


def wider(a: tuple[Ints, Ints], b: tuple[Ints, Ints]) -> tuple[Ints, Ints]:
    """Return the e and e0 of as many exponents as the more of two have, up to the higher of both."""
    e, top = np.maximum(a[0], b[0]), np.maximum(a[1] + _half(a[0]), b[1] + _half(b[0]))
    return e, top - _half(e)


def _half(e: Ints) -> Ints:
    half: Ints = (1 << np.maximum(e - 1, 0)) - 1
    return half
