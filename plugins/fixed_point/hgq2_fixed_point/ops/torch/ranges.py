"""The smallest range that holds given values."""

from __future__ import annotations

import math

import torch
from torch import Tensor

from hgq2_core.ops.torch import LAYOUTS, ONE, ZERO, as_tensor, as_values, frexp_exponent
from hgq2_fixed_point.ops.options import Options
from hgq2_fixed_point.ops.torch.arithmetic import rounded_exp2, to_integers

NONE = torch.tensor(-math.inf)
LANES = 32
"""Of how many columns torch takes extremes at once; any that are left over cost it ten times as much."""
FEW = 4096
"""Values below which that does not matter."""


def extremes(x: Tensor, axes: tuple[int, ...]) -> tuple[Tensor, Tensor]:
    """Return the minimum and the maximum along axes, which remain with size 1."""
    if not axes:
        return x, x
    order = sorted(range(x.ndim), key=x.stride, reverse=True)
    if order != [*range(x.ndim)]:
        # In the order of memory, which is another one behind a convolution, torch is many times as fast.
        places = [order.index(axis) for axis in range(x.ndim)]
        low, high = extremes(x.permute(order), tuple(sorted(places[axis] for axis in axes)))
        return low.permute(places), high.permute(places)
    shape = [1 if axis in axes else size for axis, size in enumerate(x.shape)]
    columns = math.prod(shape)
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
    return low.view(shape), high.view(shape)


def integer_bits(low: Tensor, high: Tensor, f: Tensor) -> Tensor:
    """Return the smallest i whose range holds n * 2^-f for the integers n; below every bound where none is nonzero."""
    # Of negative integers, -2^n itself is in range: an exponent is read a hair below the magnitude.
    largest = torch.maximum(high, low * -LAYOUTS[low.dtype].below_one)
    return frexp_exponent(largest.clamp_(min=0.0)) - f


def min_integer_bits_for_fraction(x: Tensor, f: Tensor, options: Options, u: Tensor | None = None) -> Tensor:
    """Return the smallest i that holds values rounded to 2^-f; -inf where none is nonzero."""
    f = f.to(x.dtype).round()
    low, high = extremes(to_integers(x, rounded_exp2(f, x.dtype), options.round_mode, u), options.axes)
    low = low if options.signed else torch.zeros_like(high)
    return torch.where((low < ZERO) | (high > ZERO), integer_bits(low, high, f), NONE)


def min_integer_bits_for_width(x: Tensor, b: Tensor, options: Options, u: Tensor | None = None) -> Tensor:
    """Return the smallest i that holds values rounded with f = b - i, for that i; -inf where none is nonzero.

    With 2^(e-1) <= |v| < 2^e, it is e; e + 1 where a positive value rounds up to 2^e; e - 1 where a negative one rounds
    to -2^(e-1) exactly with the finer step of that i.
    """
    axes, signed = options.axes, options.signed
    b = b.to(x.dtype).round()
    # The extremes are enough, but not where each value draws for itself.
    v = torch.cat(extremes(x, axes), axes[0]) if axes and u is None else x
    v = v if signed else v.clamp(min=0.0)
    # 0 is neither: it needs no bits, nor can a format without bits hold anything.
    e, sign = frexp_exponent(v.abs()), v.sign()
    negative = sign < 0
    scale = rounded_exp2((b - e).add_(negative), v.dtype)
    reached = to_integers(v, scale, options.round_mode, u) >= rounded_exp2(b, v.dtype) * sign
    empty = sign.bool().logical_not_().logical_or_(b <= -ONE if signed else b <= ZERO)
    i = torch.where(empty, NONE, e + reached * sign)
    return i.amax(axes, keepdim=True) if axes else i


@torch.no_grad()  # type: ignore[untyped-decorator]
def min_integer_bits(x: Tensor, precision: Tensor, options: Options, u: Tensor | None = None) -> Tensor:
    """See `Backend.min_integer_bits`; `u` is what stochastic rounding has drawn."""
    smallest = min_integer_bits_for_width if options.fixed_width else min_integer_bits_for_fraction
    i = smallest(as_values(x), as_tensor(precision), options, u)
    return i.clamp_(*options.bounds).to(torch.float32)
