"""Exact fixed-point quantization of integers, in every rounding and overflow mode."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import NamedTuple, TypeVar

import numpy as np

from hgq2_core.errors import ConfigError, listing, nearest
from hgq2_core.exact.arrays import BitArray
from hgq2_core.exact.integer_array import Data, IntegerArray, aligned, integer, like, magnitude, pack, shift, widen

T = TypeVar("T")


class _Cut(NamedTuple):
    """Properties of a value between `floor` and the next grid point, on which rounding depends."""

    inexact: Data
    above: Data
    tie: Data
    negative: Data
    odd: Data


ROUND_UP: Mapping[str, Callable[[_Cut], Data]] = {
    "TRN": lambda cut: cut.inexact & False,
    "TRN_ZERO": lambda cut: cut.inexact & cut.negative,
    "RND": lambda cut: cut.above | cut.tie,
    "RND_ZERO": lambda cut: cut.above | (cut.tie & cut.negative),
    "RND_INF": lambda cut: cut.above | (cut.tie & ~cut.negative),
    "RND_MIN_INF": lambda cut: cut.above,
    "RND_CONV": lambda cut: cut.above | (cut.tie & cut.odd),
}
"""For each rounding mode, whether a value rounds up."""


class _Limits(NamedTuple):
    """The smallest value, the largest value and the step of a format, in one unit."""

    low: Data
    high: Data
    ulp: Data


def _clip(q: Data, floor: Data, limits: _Limits) -> Data:
    return np.minimum(np.maximum(q, limits.low), limits.high)


def _zero(q: Data, floor: Data, limits: _Limits) -> Data:
    return np.where((q < limits.low) | (q > limits.high), 0, q)


def _wrap(q: Data, floor: Data, limits: _Limits) -> Data:
    return like(q, limits.low + (q - limits.low) % (limits.high - limits.low + limits.ulp))


def _wrap_sign_magnitude(q: Data, floor: Data, limits: _Limits) -> Data:
    half = limits.high + limits.ulp
    # As in ap_fixed, the lost sign bit is that of the value before rounding, unless it rounds to zero.
    lost_sign = np.where(q == 0, 0, floor) // (2 * half)
    wrapped = _wrap(q, floor, limits)
    return np.where((lost_sign ^ (q // half)) & 1 == 1, like(q, limits.low + limits.high - wrapped), wrapped)


OVERFLOW: Mapping[str, Callable[[Data, Data, _Limits], Data]] = {
    "SAT": _clip,
    "SAT_SYM": _clip,
    "SAT_ZERO": _zero,
    "WRAP": _wrap,
    "WRAP_SM": _wrap_sign_magnitude,
}
"""For each overflow mode, the function of rounded values, their floors and the format's limits."""


def _choose(table: Mapping[str, T], argument: str, received: str) -> T:
    if received not in table:
        hint = nearest(received, table)
        raise ConfigError(f"{argument} must be one of {listing(table)}. Received: {argument}={received!r}.{hint}")
    return table[received]


def rounded(a: IntegerArray, f: BitArray, round_mode: str) -> tuple[IntegerArray, IntegerArray]:
    """Round each element to a multiple of 2**-f.

    Args:
        a: the values.
        f: fraction bits, which broadcast against the values.
        round_mode: see `Arrays.quantize`.

    Returns:
        The values rounded down, and the values rounded by the mode.

    Raises:
        ConfigError: the mode is unknown.
    """
    goes_up = _choose(ROUND_UP, "round_mode", round_mode)
    places, size = a.exponent - integer(f), magnitude(a.data)
    up = np.maximum(-places, 0)
    # Below a quarter step, dropping more places changes nothing.
    drop = np.minimum(np.maximum(places, 0), size.bit_length() + 2)
    bound = 4 * max(size << int(up.max(initial=0)), 1 << int(drop.max(initial=0)))
    data, up, drop, one = widen(bound, a.data, up, drop, np.ones_like(drop))
    value, step = data << up, one << drop
    floor = like(data, value >> drop)
    rest = value - (floor << drop)
    cut = _Cut(*(np.asarray(c) for c in (rest != 0, 2 * rest > step, 2 * rest == step, floor < 0, floor & 1 == 1)))
    return shift(pack(floor, 0), -integer(f)), shift(pack(floor + goes_up(cut), 0), -integer(f))


def limits(
    k: BitArray, i: BitArray, f: BitArray, overflow_mode: str
) -> tuple[IntegerArray, IntegerArray, IntegerArray]:
    """Return the limits of fixed-point formats.

    Args:
        k: 1 with a sign, else 0.
        i: integer bits.
        f: fraction bits.
        overflow_mode: see `Arrays.quantize`.

    Returns:
        Smallest value, largest value and step; both ends are 0 for a pruned format.

    Raises:
        ConfigError: the mode is unknown, or WRAP_SM is used with a format without sign.
    """
    _choose(OVERFLOW, "overflow_mode", overflow_mode)
    k, i, f = np.broadcast_arrays(*map(integer, (k, i, f)))
    nonempty = k + i + f > 0
    if overflow_mode == "WRAP_SM" and np.any(nonempty & (k == 0)):
        raise ConfigError("WRAP_SM wraps sign and magnitude: it needs a sign. Received: k=0")
    one = IntegerArray(np.ones_like(k), 0)
    ulp = shift(one, -f)
    # Both are powers of two and the first is not smaller, so their difference needs no more bits.
    exponent, (power, step) = aligned(shift(one, np.where(nonempty, i, -f)), ulp)
    high = like(power, power - step)
    low = like(high, np.where(nonempty, -k, 0) * (high if overflow_mode == "SAT_SYM" else power))
    return pack(low, exponent), pack(high, exponent), ulp


def quantized(
    a: IntegerArray, k: BitArray, i: BitArray, f: BitArray, round_mode: str, overflow_mode: str
) -> IntegerArray:
    """Return rounded values after overflow handling; see `Arrays.quantize`."""
    overflow = _choose(OVERFLOW, "overflow_mode", overflow_mode)
    floor, q = rounded(a, f, round_mode)
    exponent, data = aligned(floor, q, *limits(k, i, f, overflow_mode))
    floor_data, q_data, *ends = widen(8 * max(magnitude(d) for d in data), *data)
    return pack(overflow(q_data, floor_data, _Limits(*ends)), exponent)
