"""Minifloat arithmetic on numpy arrays: the reference that every backend must equal bit for bit."""

from __future__ import annotations

import math
from typing import NamedTuple

import numpy as np
from numpy.typing import ArrayLike

from hgq2_core.exact.floats import Floats, Ints, as_bits, as_floats


class Limits(NamedTuple):
    """What bounds formats, by element.

    Args:
        emin: the exponent of the smallest normal value.
        emax: the exponent of the top codes.
        largest: the largest value.
    """

    emin: Ints
    emax: Ints
    largest: Floats


def limits(
    m: Ints, e: Ints, e0: Ints, max_value: float = math.inf, dtype: np.dtype | type[np.floating] = np.float64
) -> Limits:
    """Bound formats (m, e, e0).

    Args:
        m: mantissa bits.
        e: exponent bits.
        e0: exponent offset, by which the exponents are shifted up.
        max_value: the largest value where the top codes are reserved.
        dtype: of the largest values, which are rounded toward zero where it does not reach as far.
    """
    half = 1 << np.maximum(e - 1, 0)
    emin, emax = 1 - half + e0, half - 1 + e0
    top = np.ldexp(np.dtype(dtype).type(1), np.minimum(emax, np.finfo(dtype).maxexp - 1))
    full = np.maximum((e > 0) + 1 - np.ldexp(np.dtype(dtype).type(1), -m), 0)
    return Limits(emin, emax, np.minimum(top * full, min(max_value, np.finfo(dtype).max)).astype(dtype))


def quantize(x: ArrayLike, m: ArrayLike, e: ArrayLike, e0: ArrayLike, max_value: float = math.inf) -> Floats:
    """Round and bound values to the minifloat format (m, e, e0), exactly in their own dtype.

    The definition is docs/numerics.md#5: a sign, e exponent and m mantissa bits, bias 2^(e-1) - e0, subnormals, every
    code finite; to the nearest value, ties to even; saturating. NaN stays NaN. Without mantissa (m < 0) all becomes 0.

    Args:
        x: values of any shape; float32 and float64 are kept, float16 is widened to float32, the rest to float64.
        m: mantissa bits; broadcasts against `x`.
        e: exponent bits, 0 for fixed point; broadcasts against `x`.
        e0: exponent offset, by which the exponents are shifted up; broadcasts against `x`.
        max_value: the largest value, where a standard reserves the codes above it; a value of the format.

    Returns:
        An array of the broadcast shape: values of the format.

    Example:
        >>> quantize([0.3, -5.0, 1000.0], m=3, e=4, e0=1, max_value=448.0)
        array([   0.3125,   -5.    ,  448.    ])
    """
    x, m, e, e0 = np.broadcast_arrays(as_floats(x), as_bits(m), as_bits(e), as_bits(e0))
    bounds = limits(m, e, e0, max_value, x.dtype)
    clipped = np.clip(x, -bounds.largest, bounds.largest)
    # The largest value is one of the format: saturated first, nothing rounds beyond it.
    step = np.maximum(np.frexp(clipped)[1] - 1, bounds.emin) - m
    values: Floats = np.where(m < 0, x.dtype.type(0) * clipped, np.ldexp(np.rint(np.ldexp(clipped, -step)), step))
    return values
