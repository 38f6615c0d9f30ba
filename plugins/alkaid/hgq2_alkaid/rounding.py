"""Fixed-point quantization in hardware: rounding as an addition before truncation, overflow as comparisons."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from math import ldexp
from typing import NamedTuple

from alkaid.trace import FVariable

from hgq2_core.exact import Integers
from hgq2_core.exact.integers import from_float, to_float
from hgq2_core.exporting.errors import Unsupported


class _Cut(NamedTuple):
    """The operands of rounding: the value, its step, and the step to which it is truncated."""

    value: FVariable
    lsb: float
    ulp: float

    @property
    def negative(self) -> FVariable:
        """1 if the value is negative, else 0."""
        return self.value.is_negative()


# Adding half a step rounds a tie up; one value step less rounds it down, and rounds other values alike.
OFFSETS: Mapping[str, Callable[[_Cut], FVariable | float]] = {
    "TRN": lambda cut: 0.0,
    "TRN_ZERO": lambda cut: cut.negative * (cut.ulp - cut.lsb),
    "RND": lambda cut: cut.ulp / 2,
    "RND_ZERO": lambda cut: cut.negative * cut.lsb + (cut.ulp / 2 - cut.lsb),
    "RND_INF": lambda cut: cut.negative * -cut.lsb + cut.ulp / 2,
    "RND_MIN_INF": lambda cut: cut.ulp / 2 - cut.lsb,
}
"""For each rounding mode except RND_CONV, the number to add before truncation."""


def _wrap(value: FVariable, k: int, i: int, f: int) -> FVariable:
    """Return a value truncated on both sides; constants by integers, since alkaid truncates unsigned ones wrongly."""
    if value.low < value.high:
        return value.quantize(k, i, f)
    constant = Integers().quantize(from_float(value.low), k, i, f, "TRN", "WRAP")
    return FVariable.from_const(float(to_float(constant)), value.hwconf)


def _saturate(value: FVariable, k: int, i: int, f: int) -> FVariable:
    return value.max_of(-k * ldexp(1.0, i)).min_of(ldexp(1.0, i) - ldexp(1.0, -f))


def _saturate_symmetrically(value: FVariable, k: int, i: int, f: int) -> FVariable:
    most = ldexp(1.0, i) - ldexp(1.0, -f)
    return value.max_of(-k * most).min_of(most)


def _zero(value: FVariable, k: int, i: int, f: int) -> FVariable:
    least, most = -k * ldexp(1.0, i), ldexp(1.0, i) - ldexp(1.0, -f)
    above, below = (value * -1.0 + most).is_negative(), (value + -least).is_negative()
    inside = below.msb_mux(0.0, above.msb_mux(0.0, value))
    return _wrap(inside, k, i, f)


OVERFLOWS: Mapping[str, Callable[[FVariable, int, int, int], FVariable]] = {
    "WRAP": _wrap,
    "SAT": _saturate,
    "SAT_SYM": _saturate_symmetrically,
    "SAT_ZERO": _zero,
}
"""For each overflow mode that circuits support, the function of rounded values."""


def rounded(value: FVariable, f: int, round_mode: str) -> FVariable:
    """Return a value rounded to a multiple of 2**-f, without overflow."""
    own = value.kif[2]
    if f >= own:
        return value
    if round_mode == "RND_CONV":
        return _rounded_to_even(value, f)
    return _floor(value + OFFSETS[round_mode](_Cut(value, ldexp(1.0, -own), ldexp(1.0, -f))), f)


def _floor(value: FVariable, f: int) -> FVariable:
    k, i, _ = value.kif
    # Of a value below the step, at least the sign remains.
    return _wrap(value, k, max(i, -f), f)


def _rounded_to_even(value: FVariable, f: int) -> FVariable:
    """Return a value rounded half up, with the lowest bit cleared for a tie."""
    moved = value + ldexp(1.0, -f - 1)
    up = _floor(moved, f)
    below, lowest = _wrap(moved, 0, -f, moved.kif[2]), _wrap(up, 0, 1 - f, f)
    return _floor(up, f - 1) + below.unary_bit_op("any").msb_mux(lowest, 0.0)


def quantized(value: FVariable, k: int, i: int, f: int, round_mode: str, overflow_mode: str) -> FVariable:
    """Return a value rounded and brought into range; see `hgq2_core.exact.arrays.Arrays.quantize`.

    Raises:
        Unsupported: the overflow mode has no circuit.
    """
    if overflow_mode not in OVERFLOWS:
        raise Unsupported(
            f"overflow_mode={overflow_mode!r} has no circuit, except in the quantizer of an input. "
            f"Allowed: {', '.join(OVERFLOWS)}."
        )
    if k + i + f <= 0:
        return FVariable.from_const(0.0, value.hwconf)
    return OVERFLOWS[overflow_mode](rounded(value, f, round_mode), k, i, f)
