"""Fixed-point arithmetic on numpy arrays: the reference that every backend must equal bit for bit."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
from numpy.typing import ArrayLike, NDArray

from hgq2_core.errors import ConfigError
from hgq2_core.exact.floats import Floats, Ints, as_bits, as_floats
from hgq2_fixed_point.modes import DETERMINISTIC, OverflowMode, RoundMode, check_modes, check_round_mode

# From z to the nearest integer. Halves are decided on the exact 2z: z + 0.5 would be rounded once before the floor.
ROUNDING: dict[str, Callable[[Floats], Floats]] = {
    "TRN": np.floor,
    "TRN_ZERO": np.trunc,
    "RND": lambda z: np.ceil(np.floor(2 * z) / 2),
    "RND_MIN_INF": lambda z: np.floor(np.ceil(2 * z) / 2),
    "RND_INF": lambda z: np.copysign(np.ceil(np.floor(2 * abs(z)) / 2), z),
    "RND_ZERO": lambda z: np.copysign(np.floor(np.ceil(2 * abs(z)) / 2), z),
    "RND_CONV": np.rint,
}
ROUNDING |= {stochastic: ROUNDING[mode] for stochastic, mode in DETERMINISTIC.items()}


def quantize(
    x: ArrayLike,
    k: ArrayLike,
    i: ArrayLike,
    f: ArrayLike,
    round_mode: RoundMode = "RND",
    overflow_mode: OverflowMode = "WRAP",
) -> Floats:
    """Round and bound values to the fixed-point format (k, i, f), exactly in their own dtype.

    The definition is docs/numerics.md#1 (the semantics of `ap_fixed`). NaN stays NaN; infinities become NaN in WRAP and
    WRAP_SM, and saturate otherwise; a finite value of a format without bits (k + i + f <= 0) becomes 0.

    Args:
        x: values of any shape; float32 and float64 are kept, float16 is widened to float32, the rest to float64.
        k: 1 with a sign bit, else 0; broadcasts against `x`.
        i: integer bits without the sign, possibly negative; broadcasts against `x`.
        f: fraction bits, possibly negative; broadcasts against `x`.
        round_mode: one of `ROUND_MODES`. There is no training here: S_RND and S_RND_CONV are RND and RND_CONV.
        overflow_mode: one of `OVERFLOW_MODES`.

    Returns:
        An array of the broadcast shape: multiples of 2^-f in the range of the format.

    Raises:
        ConfigError: a mode is unknown, or WRAP_SM is asked of an unsigned format or of another rounding.
    """
    check_modes(round_mode, overflow_mode)
    x, k, i, f = np.broadcast_arrays(as_floats(x), as_bits(k), as_bits(i), as_bits(f))
    if overflow_mode == "WRAP_SM" and np.any(k != 1):
        raise ConfigError(
            f"overflow_mode='WRAP_SM' is not defined for an unsigned format: received k={k.min()}; allowed: 1."
        )
    with np.errstate(all="ignore"):
        q = _OVERFLOW[overflow_mode](x, k, i, f, round_mode)
        return np.where((k + i + f <= 0) & ~np.isnan(q), x.dtype.type(0), q)


def round_to_grid(x: ArrayLike, f: ArrayLike, round_mode: RoundMode = "RND") -> Floats:
    """Round values to multiples of 2^-f, without bounds.

    Args:
        x: values of any shape.
        f: fraction bits; broadcasts against `x`.
        round_mode: one of `ROUND_MODES`.

    Returns:
        An array of the broadcast shape, in the dtype of `x` (see `quantize`).

    Raises:
        ConfigError: the mode is unknown.
    """
    check_round_mode(round_mode)
    with np.errstate(all="ignore"):
        return _round(as_floats(x), as_bits(f), round_mode)


def minimal_integer_bits(lo: ArrayLike, hi: ArrayLike, k: ArrayLike, f: ArrayLike) -> NDArray[np.float64]:
    """Find the smallest i whose range [-k 2^i, 2^i - 2^-f] holds rounded values (docs/numerics.md#3).

    Args:
        lo: smallest values, multiples of 2^-f; ignored where k = 0, whose range ends at 0.
        hi: largest values, multiples of 2^-f.
        k: 1 with a sign bit, else 0.
        f: fraction bits; a multiple of 2^-f below 2^i is at most 2^i - 2^-f, so the answer does not depend on it.

    Returns:
        i as float64 of the broadcast shape; -inf where nothing is nonzero.
    """
    lo, hi, k, _ = np.broadcast_arrays(as_floats(lo), as_floats(hi), as_bits(k), as_bits(f))
    below = np.where((k > 0) & (lo < 0), _exponent(lo) - (np.frexp(lo)[0] == -0.5), -np.inf)  # -2^i itself is in range
    return np.maximum(below, np.where(hi > 0, _exponent(hi), -np.inf))


def minimal_integer_bits_for_width(
    lo: ArrayLike, hi: ArrayLike, k: ArrayLike, b: ArrayLike, round_mode: RoundMode = "RND"
) -> NDArray[np.float64]:
    """Find the smallest i whose range holds unrounded values once they are rounded with f = b - i (docs/numerics.md#3).

    With e the exponent of the largest magnitude, i is e - 1, e or e + 1: less is too small for any rounding, and e + 1
    always suffices.

    Args:
        lo: smallest values; ignored where k = 0, whose range ends at 0.
        hi: largest values.
        k: 1 with a sign bit, else 0.
        b: width without the sign.
        round_mode: one of `ROUND_MODES`.

    Returns:
        i as float64 of the broadcast shape; -inf where nothing is nonzero or no bits are left (b + k <= 0).

    Raises:
        ConfigError: the mode is unknown.
    """
    check_round_mode(round_mode)
    lo, hi, k, b = np.broadcast_arrays(as_floats(lo), as_floats(hi), as_bits(k), as_bits(b))
    below, above = np.where(k > 0, np.minimum(lo, 0), 0), np.maximum(hi, 0)
    magnitude = np.maximum(-below, above)
    e = np.frexp(magnitude)[1]

    def holds(i: Ints) -> NDArray[np.bool_]:
        top = np.ldexp(1.0, b)
        minimum, maximum = _round_scaled(below, b - i, round_mode), _round_scaled(above, b - i, round_mode)
        return np.asarray(np.logical_and(minimum >= -k * top, maximum <= top - 1), dtype=np.bool_)

    with np.errstate(all="ignore"):
        i = np.where(holds(e - 1), e - 1, np.where(holds(e), e, e + 1))
    i = np.where(np.isfinite(magnitude), i, magnitude)
    return np.where((magnitude == 0) | (b + k <= 0), -np.inf, i)


def _exponent(x: Floats) -> Floats:
    """Return the e of |x| = m 2^e with 1/2 <= m < 1; infinite or NaN where |x| is."""
    return np.where(np.isfinite(x), np.frexp(x)[1], abs(x))


def _power(n: Ints, like: Floats) -> Floats:
    return np.ldexp(like.dtype.type(1), n)


def _round_scaled(x: Floats, f: Ints, round_mode: str) -> Floats:
    """Return the integer nearest to x 2^f; magnitudes beyond the precision of the dtype are integers already."""
    mantissa, exponent = np.frexp(x)
    # Below 1/4 all round alike, and above 2^precision all are integers: so x 2^f never leaves the range of the dtype.
    precision = np.finfo(x.dtype).nmant + 2
    return ROUNDING[round_mode](np.ldexp(mantissa, np.clip(exponent + f, -2, precision)))


def _round(x: Floats, f: Ints, round_mode: str) -> Floats:
    on_grid = np.frexp(x)[1] + f > np.finfo(x.dtype).nmant + 1
    return np.where(on_grid, x, np.ldexp(_round_scaled(x, f, round_mode), -f))


def _bounds(like: Floats, k: Ints, i: Ints, f: Ints) -> tuple[Floats, Floats, Floats]:
    """-k 2^i, 2^i - 2^-f rounded toward zero, and the latter's negative for SAT_SYM."""
    top, sign = _power(i, like), k.astype(like.dtype)
    representable = np.minimum(f, np.finfo(like.dtype).nmant + 1 - i)
    maximum = np.maximum(top - _power(-representable, like), 0)
    return -sign * top, maximum, -sign * maximum


def _saturate(x: Floats, k: Ints, i: Ints, f: Ints, round_mode: str) -> Floats:
    minimum, maximum, _ = _bounds(x, k, i, f)
    return np.clip(_round(x, f, round_mode), minimum, maximum)


def _saturate_symmetric(x: Floats, k: Ints, i: Ints, f: Ints, round_mode: str) -> Floats:
    _, maximum, minimum = _bounds(x, k, i, f)
    return np.clip(_round(x, f, round_mode), minimum, maximum)


def _saturate_to_zero(x: Floats, k: Ints, i: Ints, f: Ints, round_mode: str) -> Floats:
    minimum, maximum, _ = _bounds(x, k, i, f)
    q = _round(x, f, round_mode)
    return np.where((q < minimum) | (q > maximum), x.dtype.type(0), q)


def _modulo(q: Floats, k: Ints, i: Ints) -> Floats:
    """Return the number congruent to q modulo 2^(i+k) that lies in the range of the format; every step is exact."""
    modulus = _power(i + k, q)
    q = np.fmod(q, modulus)
    turns = np.where(k > 0, ROUNDING["RND"](q / modulus), np.floor(q / modulus))
    return q - turns * modulus


def _wrap(x: Floats, k: Ints, i: Ints, f: Ints, round_mode: str) -> Floats:
    _, maximum, _ = _bounds(x, k, i, f)
    return np.minimum(_modulo(_round(x, f, round_mode), k, i), maximum)


def _wrap_sign_magnitude(x: Floats, k: Ints, i: Ints, f: Ints, round_mode: str) -> Floats:
    # Beyond the range ap_fixed inverts all bits (n becomes -1 - n) if the lowest bit it drops is not the sign it keeps,
    # and reads that dropped bit before rounding.
    q = _round(x, f, round_mode)
    wrapped, modulus = _modulo(q, k, i), _power(i + k, x)
    dropped = np.floor(np.fmod(x, 2 * modulus) / modulus) % 2 == 1
    return np.where((wrapped != q) & (dropped != (wrapped < 0)), -_power(-f, x) - wrapped, wrapped)


_OVERFLOW: dict[str, Callable[[Floats, Ints, Ints, Ints, str], Floats]] = {
    "WRAP": _wrap,
    "SAT": _saturate,
    "SAT_SYM": _saturate_symmetric,
    "SAT_ZERO": _saturate_to_zero,
    "WRAP_SM": _wrap_sign_magnitude,
}
