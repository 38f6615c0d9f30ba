"""Fixed-point arithmetic on torch tensors, without gradients: rounding and formats."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, NamedTuple

import torch
from torch import Tensor

from hgq2_core.ops.torch import HALF, LAYOUTS, TWO, as_tensor, exp2_
from hgq2_fixed_point.modes import DETERMINISTIC


def as_sign(k: Any) -> Tensor | float:
    """Return k without a gradient; a number where all elements agree."""
    return float(k) if isinstance(k, int | float) else as_tensor(k).detach()


def all_signed(k: Tensor | float) -> bool:
    """Return True if every element has a sign, which spares a multiplication."""
    return isinstance(k, float) and k == 1.0


def rounded(n: Tensor, dtype: torch.dtype) -> Tensor:
    """Return n rounded half to even, newly allocated."""
    return (n if n.dtype is dtype else n.to(dtype)).round()


def rounded_exp2(n: Tensor, dtype: torch.dtype) -> Tensor:
    """Return 2^n for n rounded half to even, newly allocated."""
    return exp2_(rounded(n, dtype))


# From x and the scale 2^f to integers. `doubled` modes receive 2^(f+1): on 2z, halves are decided exactly.
def _floor(x: Tensor, scale: Tensor) -> Tensor:
    z = x * scale
    # x 2^f may underflow, and its sign must still be seen; the scale of a pruned format is 0.
    return torch.where((z == 0) & (x < 0), -scale.sign(), z).floor_()


def _half_up(x: Tensor, scale: Tensor) -> Tensor:
    return torch.mul(x, scale).floor_().mul_(HALF).ceil_()


def _half_down(x: Tensor, scale: Tensor) -> Tensor:
    return torch.mul(x, scale).ceil_().mul_(HALF).floor_()


def _half_away(x: Tensor, scale: Tensor) -> Tensor:
    return torch.mul(x, scale).abs_().floor_().mul_(HALF).ceil_().copysign_(x)


def _half_to_zero(x: Tensor, scale: Tensor) -> Tensor:
    return torch.mul(x, scale).abs_().ceil_().mul_(HALF).floor_().copysign_(x)


def _toward_zero(x: Tensor, scale: Tensor) -> Tensor:
    return torch.mul(x, scale).trunc_()


def _half_even(x: Tensor, scale: Tensor) -> Tensor:
    return torch.mul(x, scale).round_()


class _Rounding(NamedTuple):
    to_integer: Callable[[Tensor, Tensor], Tensor]
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


class Format(NamedTuple):
    """A format as powers of two, in tensors that are ours to overwrite.

    Args:
        k: 1 or 0; a number where all elements agree.
        scale: 2^f.
        width: 2^(i + f).
    """

    k: Tensor | float
    scale: Tensor
    width: Tensor

    @property
    def nonempty(self) -> Tensor:
        """Where any bits are left: k + i + f > 0."""
        return self.width * (1.0 + self.k) > 1.0


def make_format(k: Tensor | float, i: Tensor, precision: Tensor, fixed_width: bool) -> Format:
    """Return the format (k, i, f) or (k, i, b - i), in the memory of i and the precision, both `rounded`."""
    first, second = exp2_(i), exp2_(precision)
    # Of powers of two, products and quotients are exact.
    if fixed_width:
        return Format(k, _into(first, torch.div, second, first), second)
    return Format(k, second, _into(first, torch.mul, first, second))


def step_and_width(i: Tensor, precision: Tensor, fixed_width: bool) -> tuple[Tensor, Tensor]:
    """Return 2^-f and 2^(i + f), in the memory of i and the precision, both `rounded`."""
    first, second = exp2_(i), exp2_(precision)
    if fixed_width:
        return _into(first, torch.div, first, second), second
    width = _into(first, torch.mul, first, second)
    return second.reciprocal_(), width


def _into(memory: Tensor, operation: Any, a: Tensor, b: Tensor) -> Tensor:
    """The result in the memory of an operand, if it fits there."""
    result: Tensor = operation(a, b, out=memory if a.shape == b.shape else None)
    return result


def _stochastic(x: Tensor, scale: Tensor, u: Tensor) -> Tensor:
    """Round up where u < z - floor(z); `u` is not overwritten.

    The difference is exact except for -1 < z < 0, where it is rounded to a multiple of the steps of u.
    """
    z = x * scale
    q = z.floor()
    z.sub_(q)
    return q.add_(torch.lt(u, z, out=z))


def to_integers(x: Tensor, scale: Tensor, round_mode: str, u: Tensor | None = None) -> Tensor:
    """Scale and round to integers, in place on the scale; stochastic if `u` is given."""
    if u is not None:
        return _stochastic(x, scale, u)
    to_integer, doubled = _ROUNDING[round_mode]
    return to_integer(x, scale.mul_(TWO) if doubled else scale)


def on_grid(x: Tensor, scale: Tensor, round_mode: str, u: Tensor | None = None) -> tuple[Tensor, Tensor]:
    """The same integers, and the step 2^-f in the memory of the scale."""
    q = to_integers(x, scale, round_mode, u)
    step = scale.reciprocal_()
    return q, step.mul_(TWO) if u is None and _ROUNDING[round_mode].doubled else step


def max_integer(width: Tensor, out: Tensor | None = None) -> Tensor:
    """2^(i + f) - 1, for pruned formats 0, for formats wider than the dtype the largest value below 2^(i + f)."""
    return torch.mul(width, LAYOUTS[width.dtype].below_one, out=out).floor_()
