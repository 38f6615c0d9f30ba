"""The smallest range that holds given values."""

from __future__ import annotations

import math

import torch
from torch import Tensor

from ...modes import RoundMode
from .arithmetic import LAYOUTS, NOTHING, ONE, exponent, power, to_integers
from .operands import as_tensor, as_values

NONE = torch.tensor(-math.inf)
LANES = 32
"""Of how many columns torch takes extremes at once; any that are left over cost it ten times as much."""
FEW = 4096
"""Values below which that does not matter."""


def extremes(x: Tensor, axes: tuple[int, ...]) -> tuple[Tensor, Tensor]:
    """The least and the largest along axes, which are kept."""
    if not axes:
        return x, x
    kept = [1 if axis in axes else size for axis, size in enumerate(x.shape)]
    columns = math.prod(kept)
    together = LANES // math.gcd(columns, LANES) if columns > 1 and axes == tuple(range(len(axes))) else 1
    if together == 1 or x.numel() < max(FEW, together * columns) or not x.is_contiguous():
        return x.amin(axes, keepdim=True), x.amax(axes, keepdim=True)
    # Several rows side by side; what is left over is taken alone.
    rows = x.view(-1, columns)
    spare = len(rows) % together
    wide = rows[: len(rows) - spare].view(-1, together, columns)
    low, high = wide.amin(0).amin(0), wide.amax(0).amax(0)
    if spare:
        low, high = torch.minimum(low, rows[-spare:].amin(0)), torch.maximum(high, rows[-spare:].amax(0))
    return low.view(kept), high.view(kept)


def integer_bits(low: Tensor, high: Tensor, f: Tensor) -> Tensor:
    """The smallest i whose range holds integers n as n * 2^-f; below every bound where none is nonzero."""
    # Of negative integers, -2^n itself is in range: an exponent is read a hair below the magnitude.
    largest = torch.maximum(high, low * -LAYOUTS[low.dtype].below_one)
    return exponent(largest.clamp_(min=0.0)) - f


def needed_for_fraction(
    x: Tensor, f: Tensor, signed: bool, round_mode: str, axes: tuple[int, ...], u: Tensor | None = None
) -> Tensor:
    """The smallest i that holds values rounded to 2^-f; -inf where none is nonzero."""
    f = f.to(x.dtype).round()
    low, high = extremes(to_integers(x, power(f, x.dtype), round_mode, u), axes)
    low = low if signed else torch.zeros_like(high)
    return torch.where((low < NOTHING) | (high > NOTHING), integer_bits(low, high, f), NONE)


def needed_for_width(
    x: Tensor, b: Tensor, signed: bool, round_mode: str, axes: tuple[int, ...], u: Tensor | None = None
) -> Tensor:
    """The smallest i that holds values rounded with f = b - i for that very i; -inf where none is nonzero.

    With 2^(e-1) <= |v| < 2^e, it is e; e + 1 where a positive value rounds up to 2^e; e - 1 where a negative one rounds
    to -2^(e-1) exactly with the finer step of that i.
    """
    b = b.to(x.dtype).round()
    # The extremes are enough, but not where each value draws for itself.
    v = torch.cat(extremes(x, axes), axes[0]) if axes and u is None else x
    v = v if signed else v.clamp(min=0.0)
    # 0 is neither: it needs no bits, nor can a format without bits hold anything.
    e, sign = exponent(v.abs()), v.sign()
    negative = sign < 0
    reached = to_integers(v, power((b - e).add_(negative), v.dtype), round_mode, u) >= power(b, v.dtype) * sign
    empty = sign.bool().logical_not_().logical_or_(b <= -ONE if signed else b <= NOTHING)
    i = torch.where(empty, NONE, e + reached * sign)
    return i.amax(axes, keepdim=True) if axes else i


@torch.no_grad()
def follow(
    x: Tensor,
    fraction: Tensor,
    *,
    by_width: bool,
    signed: bool,
    round_mode: RoundMode,
    axes: tuple[int, ...],
    bounds: tuple[float, float],
    u: Tensor | None = None,
) -> Tensor:
    """See `hgq2_fixed_point.ops.follow`."""
    needed = needed_for_width if by_width else needed_for_fraction
    i = needed(as_values(x), as_tensor(fraction), signed, round_mode, axes, u)
    return i.clamp_(*bounds).to(torch.float32)
