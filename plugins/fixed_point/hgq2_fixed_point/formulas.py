"""The formulas of fixed-point quantization, for backends whose compiler fuses them: jax and tensorflow.

Every step is exact, or is rounded where the definition rounds: products with powers of two, differences of neighbours,
rounding to integers. So a compiler may contract or reorder them, and the results stay the same.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import NamedTuple

from hgq2_core.ops import Tensor
from hgq2_core.ops.layout import LAYOUTS
from hgq2_core.ops.protocol import Operations
from hgq2_fixed_point.modes import DETERMINISTIC, OverflowMode, RoundMode

LN2 = math.log(2.0)


# From x and the scale 2^f to integers. `doubled` modes receive 2^(f+1): on 2z, halves are decided exactly.
def _floor(xp: Operations, x: Tensor, scale: Tensor) -> Tensor:
    z = x * scale
    return xp.floor(xp.where((z == 0) & (x < 0), -1.0, z))  # x 2^f may underflow, and its sign must still be seen


def _half_up(xp: Operations, x: Tensor, scale: Tensor) -> Tensor:
    return xp.ceil(xp.floor(x * scale) * 0.5)


def _half_down(xp: Operations, x: Tensor, scale: Tensor) -> Tensor:
    return xp.floor(xp.ceil(x * scale) * 0.5)


def _half_away(xp: Operations, x: Tensor, scale: Tensor) -> Tensor:
    return xp.where(x < 0, _half_down(xp, x, scale), _half_up(xp, x, scale))


def _half_to_zero(xp: Operations, x: Tensor, scale: Tensor) -> Tensor:
    return xp.where(x < 0, _half_up(xp, x, scale), _half_down(xp, x, scale))


def _toward_zero(xp: Operations, x: Tensor, scale: Tensor) -> Tensor:
    z = x * scale
    return xp.where(z < 0, xp.ceil(z), xp.floor(z))


def _half_even(xp: Operations, x: Tensor, scale: Tensor) -> Tensor:
    return xp.half_even(x * scale)


class _Rounding(NamedTuple):
    to_integer: Callable[[Operations, Tensor, Tensor], Tensor]
    doubled: bool


_ROUNDING: dict[str, _Rounding] = {
    "TRN": _Rounding(_floor, doubled=False),
    "TRN_ZERO": _Rounding(_toward_zero, doubled=False),
    "RND": _Rounding(_half_up, doubled=True),
    "RND_MIN_INF": _Rounding(_half_down, doubled=True),
    "RND_INF": _Rounding(_half_away, doubled=True),
    "RND_ZERO": _Rounding(_half_to_zero, doubled=True),
    "RND_CONV": _Rounding(_half_even, doubled=False),
}
_ROUNDING |= {stochastic: _ROUNDING[mode] for stochastic, mode in DETERMINISTIC.items()}


def _stochastic(xp: Operations, x: Tensor, scale: Tensor, u: Tensor) -> Tensor:
    """Round up where u < z - floor(z).

    The difference is exact except for -1 < z < 0, where it is rounded to a multiple of 2^-24, or in float64 2^-53.
    """
    z = x * scale
    below = xp.floor(z)
    return below + xp.cast(u < z - below, xp.dtype(x))


@dataclass(frozen=True)
class Mode:
    """The settings of the quantization that are not tensors.

    Args:
        round_mode: one of `ROUND_MODES`.
        overflow_mode: one of `OVERFLOW_MODES`.
        fixed_width: whether the precision, the field beside i, is b, and f = b - i; otherwise it is f.
        training: whether values that wrap are only rounded.
        upper: upper bound on i of a dynamic range, beyond which the gradient counts values as saturated.
        gradient_scale: factor of the gradients for i and the precision.
    """

    round_mode: RoundMode
    overflow_mode: OverflowMode
    fixed_width: bool = False
    training: bool = False
    upper: float | None = None
    gradient_scale: float = 1.0

    @property
    def wraps(self) -> bool:
        """Whether values outside the range wrap."""
        return self.overflow_mode in ("WRAP", "WRAP_SM")


class _Format(NamedTuple):
    """A format (k, i, f) in the dtype of the values, its bits integers; width is 2^(i + f), steps 2^-f."""

    k: Tensor
    i: Tensor
    f: Tensor
    width: Tensor
    step: Tensor


@dataclass(frozen=True)
class Formulas:
    """The tables of docs/numerics.md#1 to #3 over a backend's operations; nothing here is differentiated.

    Args:
        xp: the backend's operations.
    """

    xp: Operations

    def _format(self, x: Tensor, k: Tensor, i: Tensor, precision: Tensor, fixed_width: bool) -> _Format:
        xp, dtype = self.xp, self.xp.dtype(x)
        k, i, precision = xp.cast(k, dtype), *(xp.half_even(xp.cast(bits, dtype)) for bits in (i, precision))
        f, b = (precision - i, precision) if fixed_width else (precision, i + precision)
        return _Format(k, i, f, self._power(b, x), self._power(-f, x))

    def _power(self, n: Tensor, x: Tensor) -> Tensor:
        """Return 2^n for values x, computed once if values share it; else it costs less than keeping and reading it."""
        power = self.xp.exp2(n, self.xp.dtype(x))
        return power if power.shape == x.shape else self.xp.materialize(power)

    def _round(self, x: Tensor, f: Tensor, round_mode: str, u: Tensor | None = None) -> Tensor:
        """Return the integer nearest to x 2^f; with `u`, round stochastically."""
        if u is not None:
            return _stochastic(self.xp, x, self._power(f, x), u)
        to_integer, doubled = _ROUNDING[round_mode]
        return to_integer(self.xp, x, self._power(f + 1.0 if doubled else f, x))

    def _max_integer(self, width: Tensor) -> Tensor:
        """2^(i + f) - 1, for pruned formats 0, for formats wider than the dtype the largest value below 2^(i + f)."""
        return self.xp.floor(width * LAYOUTS[self.xp.dtype(width)].below_one)

    def quantize(self, x: Tensor, k: Tensor, i: Tensor, precision: Tensor, u: Tensor | None, mode: Mode) -> Tensor:
        """Round, stochastically if `u` is given, and clip to the range; NaN propagates: its comparisons are False."""
        xp, fmt = self.xp, self._format(x, k, i, precision, mode.fixed_width)
        if mode.wraps:
            nonempty = xp.cast(fmt.width * (1.0 + fmt.k) > 1.0, xp.dtype(x))
            if mode.training:
                return self._round(x, fmt.f, mode.round_mode, u) * xp.materialize(fmt.step * nonempty)
            wrap = self._wrap if mode.overflow_mode == "WRAP" else self._wrap_sign_magnitude
            return wrap(x, fmt, nonempty, mode.round_mode)
        maximum = self._max_integer(fmt.width)
        minimum = -fmt.k * (maximum if mode.overflow_mode == "SAT_SYM" else xp.floor(fmt.width))
        q = self._round(x, fmt.f, mode.round_mode, u)
        above, below = (0.0, 0.0) if mode.overflow_mode == "SAT_ZERO" else (maximum, minimum)
        return xp.where(q > maximum, above, xp.where(q < minimum, below, q)) * fmt.step

    def _wrap(self, x: Tensor, fmt: _Format, nonempty: Tensor, round_mode: RoundMode) -> Tensor:
        xp, dtype = self.xp, self.xp.dtype(x)
        whole = fmt.k + fmt.i + fmt.f
        modulus, inverse = self._power(whole, x), self._power(1.0 - whole, x)
        q = self._round(x, fmt.f, round_mode)
        # From here on integers are multiples of the modulus, also where x 2^f is too large for the dtype.
        bound = modulus * 2.0 ** LAYOUTS[dtype].mantissa_bits
        q = xp.where(q > bound, bound, xp.where(q < -bound, -bound, q))
        turns = xp.floor((xp.floor(q * inverse) + fmt.k) * 0.5)
        wrapped = (q - turns * modulus) * xp.materialize(fmt.step * nonempty)
        return xp.where((x == math.inf) | (x == -math.inf), math.nan, wrapped)

    def _wrap_sign_magnitude(self, x: Tensor, fmt: _Format, nonempty: Tensor, round_mode: RoundMode) -> Tensor:
        xp, dtype = self.xp, self.xp.dtype(x)
        modulus, inverse = xp.exp2(fmt.i + fmt.k, dtype), xp.exp2(-fmt.i - fmt.k, dtype)
        turns = x * (0.5 * inverse)
        near = x - xp.where(turns < 0, xp.ceil(turns), xp.floor(turns)) * (2.0 * modulus)
        # Where the quotient overflows, x is a multiple of the modulus; infinities have become NaN.
        near = xp.where((near == math.inf) | (near == -math.inf), 0.0, near)
        q = self._round(near, fmt.f, round_mode) * (fmt.step * nonempty)
        quotient = q * inverse
        turns = xp.floor(quotient)
        turns = turns + fmt.k * xp.cast(quotient - turns >= 0.5, dtype)
        wrapped = q - turns * modulus
        # Beyond the range ap_fixed inverts all bits (n becomes -1 - n) if the lowest bit it drops is not the sign it
        # keeps, and reads that dropped bit before rounding.
        dropped = xp.floor(near * inverse)
        odd = xp.floor(dropped * 0.5) * 2.0 != dropped
        inverted = ((wrapped != q) | (near != x)) & (odd != (wrapped < 0)) & (nonempty > 0)
        return xp.where(inverted, -fmt.step - wrapped, wrapped)

    def gradients(
        self, grad: Tensor, x: Tensor, q: Tensor, k: Tensor, i: Tensor, precision: Tensor, mode: Mode
    ) -> tuple[Tensor, Tensor, Tensor, Tensor]:
        """Return the table of docs/numerics.md#2 times the upstream gradient: for x, k (none), i and the precision."""
        xp, ln2, of_k = self.xp, LN2 * mode.gradient_scale, 0.0 * k
        if mode.wraps:
            return xp.sum_to(grad, x), of_k, 0.0 * i, xp.sum_to(grad * (x - q), precision) * ln2
        fmt = self._format(x, k, i if mode.upper is None else 0.0 * i + mode.upper, precision, mode.fixed_width)
        maximum = self._max_integer(fmt.width) * fmt.step
        if mode.upper is None:
            # Pruned formats take max(i, -f) for i, so that they keep a gradient.
            top = xp.maximum(fmt.width, 1.0) * fmt.step
        else:
            # Without bits beside the sign nothing positive fits; half of 2^i is where i would reach its bound.
            top = xp.exp2(fmt.i, xp.dtype(x))
            maximum = xp.maximum(maximum, 0.5 * top)
        symmetric = mode.overflow_mode == "SAT_SYM"
        above, below = x > maximum, x < -fmt.k * (maximum if symmetric else top)
        inside = xp.materialize(xp.where(above | below, 0.0, grad))
        over = xp.where(above, grad, 0.0)
        # Within what shares its bits, powers of two are factors of the sums: fewer products, and smaller ones.
        bits = fmt.k * fmt.step
        of_over, of_under = xp.sum_to(over, bits), xp.sum_to(grad - inside - over, bits)
        of_bounds = of_over - fmt.k * of_under
        of_f = xp.sum_to(inside * (x - q), bits) + fmt.step * (of_bounds if symmetric else of_over)
        of_i = top * of_bounds - of_f if mode.fixed_width else top * of_bounds
        of_i, of_f = xp.sum_to(of_i, i) * ln2, xp.sum_to(of_f, precision) * ln2
        # An optimizer reads a gradient more than once.
        return xp.sum_to(inside, x), of_k, xp.materialize(of_i), xp.materialize(of_f)

    def min_integer_bits(
        self, x: Tensor, precision: Tensor, axes: tuple[int, ...], signed: bool, mode: Mode, u: Tensor | None = None
    ) -> Tensor:
        """Return the smallest i that holds the values after rounding; -inf where none is nonzero."""
        xp, dtype = self.xp, self.xp.dtype(x)
        # The extremes are enough, but not where each value draws for itself.
        low, high = (xp.amin(x, axes), xp.amax(x, axes)) if u is None else (x, x)
        low, high = xp.minimum(low, 0.0), xp.maximum(high, 0.0)
        low, bits = low if signed else 0.0 * high, xp.half_even(xp.cast(precision, dtype))
        i = (self._for_width if mode.fixed_width else self._for_fraction)(low, high, bits, signed, mode.round_mode, u)
        return i if u is None else xp.amax(i, axes)

    def _for_fraction(
        self, low: Tensor, high: Tensor, f: Tensor, signed: bool, round_mode: str, u: Tensor | None
    ) -> Tensor:
        xp = self.xp
        low, high = self._round(low, f, round_mode, u), self._round(high, f, round_mode, u)
        # Of negative integers, -2^n itself is in range: an exponent is read a hair below the magnitude.
        largest = xp.maximum(high, -low * LAYOUTS[xp.dtype(low)].below_one)
        return xp.where(largest > 0, xp.frexp_exponent(largest) - f, -math.inf)

    def _for_width(
        self, low: Tensor, high: Tensor, b: Tensor, signed: bool, round_mode: str, u: Tensor | None
    ) -> Tensor:
        """With 2^(e-1) <= |v| < 2^e and f = b - i, i is e.

        It is e + 1 where a positive value rounds up to 2^e; e - 1 where a negative one rounds to -2^(e-1) exactly with
        the finer step of that i.
        """
        xp, dtype = self.xp, self.xp.dtype(high)
        width, bits_left = xp.exp2(b, dtype), b > (-1.0 if signed else 0.0)
        e = xp.frexp_exponent(high)
        carried = xp.cast(self._round(high, b - e, round_mode, u) >= width, dtype)
        above = xp.where((high > 0) & bits_left, e + carried, -math.inf)
        e = xp.frexp_exponent(-low)
        held = xp.cast(self._round(low, b - e + 1.0, round_mode, u) >= -width, dtype)
        return xp.maximum(above, xp.where((low < 0) & bits_left, e - held, -math.inf))

    def negative(
        self,
        x: Tensor,
        k: Tensor,
        i: Tensor,
        precision: Tensor,
        axes: tuple[int, ...],
        mode: Mode,
        u: Tensor | None = None,
    ) -> Tensor:
        """Return True where any value is negative after rounding."""
        low = self.xp.amin(x, axes) if u is None else x
        fmt = self._format(low, k, i, precision, mode.fixed_width)
        return self.xp.amin(self._round(low, fmt.f, mode.round_mode, u), axes) < 0
