"""The arguments of quantization on numpy arrays: values as floats, bits as integers."""

from __future__ import annotations

import numpy as np
from numpy.typing import ArrayLike, NDArray

Floats = NDArray[np.floating]
Ints = NDArray[np.int64]


def as_floats(x: ArrayLike) -> Floats:
    """Return values in float32 or float64, unchanged; float16 in float32, all else in float64."""
    x = np.asarray(x)
    if x.dtype in (np.float32, np.float64):
        return x
    return x.astype(np.float32 if x.dtype == np.float16 else np.float64)


def as_bits(n: ArrayLike) -> Ints:
    """Return numbers of bits, rounded half to even."""
    return np.rint(np.asarray(n, np.float64)).astype(np.int64)
