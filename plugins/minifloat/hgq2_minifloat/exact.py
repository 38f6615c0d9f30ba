"""The exact arithmetic of a minifloat quantizer, composed of fixed-point operations."""

from __future__ import annotations

import math
from functools import partial
from typing import TypeVar

import numpy as np
import numpy.typing as npt

from hgq2_core.exact.arrays import Arrays
from hgq2_minifloat.arithmetic import quantize
from hgq2_minifloat.formats import Format

A = TypeVar("A")


def exact_quantize(arrays: Arrays[A], x: A, formats: npt.NDArray[np.int64], max_value: float) -> A:
    """State the quantization of operands, the elements of each format together.

    Args:
        arrays: integers, intervals, or hardware.
        x: the values.
        formats: m, e and e0 along the last axis; the others broadcast against the values.
        max_value: the largest value, where the top codes are reserved.
    """
    shape = arrays.shape(x)
    # A batch shares its formats: each place within a sample has one.
    rows = shape[0] if formats.shape[0] == 1 else 1
    each = np.broadcast_to(formats, (1 if rows > 1 else shape[0], *shape[1:], 3)).reshape(-1, 3)
    distinct, of_place = np.unique(each, axis=0, return_inverse=True)
    kinds = [Format(m, e, e0, max_value) for m, e, e0 in distinct.tolist()]
    if len(kinds) == 1:
        return _quantized(arrays, x, kinds[0])
    flat = arrays.reshape(x, (rows, -1))
    places = [np.flatnonzero(of_place.ravel() == n) for n in range(len(kinds))]
    parts = [_quantized(arrays, arrays.gather(flat, at, 1), form) for at, form in zip(places, kinds, strict=True)]
    joined = arrays.gather(arrays.concatenate(parts, 1), np.argsort(np.concatenate(places)), 1)
    return arrays.reshape(joined, shape)


def _quantized(arrays: Arrays[A], x: A, form: Format) -> A:
    if form.largest == 0:
        return arrays.multiply(x, arrays.constant(0.0))
    return arrays.quantize_float(x, form.m, form.e, 1 - form.emin, form.largest, partial(_composed, form=form))


def _composed(arrays: Arrays[A], x: A, form: Format) -> A:
    return arrays.cheapest(
        x,
        lambda x: by_value(arrays, x, form),
        lambda x: by_magnitude(arrays, x, form),
        lambda x: arrays.table(x, lambda values: quantize(values, *form)),
    )


def by_value(arrays: Arrays[A], x: A, form: Format) -> A:
    """Round values with their sign; saturating each exponent tells the tightest bounds."""
    largest = arrays.constant(form.largest)
    clipped = arrays.minimum(arrays.maximum(x, arrays.negate(largest)), largest)
    size = arrays.maximum(clipped, arrays.negate(clipped))
    return _by_exponent(arrays, clipped, size, form, 1, "SAT_SYM")


def by_magnitude(arrays: Arrays[A], x: A, form: Format) -> A:
    """Round magnitudes, and give them their sign back; the fewest gates."""
    size = arrays.minimum(arrays.maximum(x, arrays.negate(x)), arrays.constant(form.largest))
    rounded = _by_exponent(arrays, size, size, form, 0, "WRAP")
    return arrays.select(arrays.less(x, arrays.constant(0.0)), arrays.negate(rounded), rounded)


def _by_exponent(arrays: Arrays[A], x: A, size: A, form: Format, k: int, overflow_mode: str) -> A:
    """Round to the step of each exponent, and choose by the magnitude.

    A magnitude that one exponent would round up to the next is that of the next one, where it rounds to the same value:
    so no rounding that is chosen leaves the range of its exponent.
    """

    def rounded(exponent: int) -> A:
        return arrays.quantize(x, k, exponent + 1, form.m - exponent, "RND_CONV", overflow_mode)

    result = rounded(form.emin)
    for exponent in range(form.emin + 1, math.frexp(form.largest)[1]):
        start = math.ldexp(1.0, exponent) - math.ldexp(1.0, exponent - form.m - 2)
        result = arrays.select(arrays.less(size, arrays.constant(start)), result, rounded(exponent))
    return result
