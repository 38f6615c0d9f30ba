"""Minifloat arithmetic on torch tensors, without gradients: powers of two, formats, rounding."""

from __future__ import annotations

import functools
import math
from typing import NamedTuple

import torch
from torch import Tensor

# Operands of every step: on small tensors, a Python number costs three times the operation.
NOTHING, HALF, ONE = (torch.tensor(value) for value in (0.0, 0.5, 1.0))


class _Layout(NamedTuple):
    """Where a float keeps its exponent, the number that leaves n + bias in the low bits, and the highest exponent."""

    integer: torch.dtype
    mantissa_bits: Tensor
    mask: Tensor
    magic: Tensor
    highest: Tensor


def _layout(dtype: torch.dtype, integer: torch.dtype, mantissa_bits: int, bias: int) -> _Layout:
    return _Layout(
        integer,
        torch.tensor(mantissa_bits, dtype=integer),
        torch.tensor((2 * bias + 1) << mantissa_bits, dtype=integer),
        torch.tensor(1.5 * 2.0**mantissa_bits + bias, dtype=dtype),
        torch.tensor(float(bias), dtype=dtype),
    )


LAYOUTS = {
    torch.float32: _layout(torch.float32, torch.int32, 23, 127),
    torch.float64: _layout(torch.float64, torch.int64, 52, 1023),
}


@functools.cache
def number(value: float) -> Tensor:
    """A Python number as the operand of a step."""
    return torch.tensor(value)


def power(n: Tensor, dtype: torch.dtype) -> Tensor:
    """2^n for integers n within the exponents of normal numbers, in memory of its own."""
    layout = LAYOUTS[dtype]
    n = n.to(dtype) + layout.magic
    n.view(layout.integer).bitwise_left_shift_(layout.mantissa_bits)
    return n


def binade(x: Tensor) -> Tensor:
    """The largest power of two within |x|, from the bits; 0 for what is below the normal numbers."""
    layout = LAYOUTS[x.dtype]
    return (x.view(layout.integer) & layout.mask).view(x.dtype)


class Format(NamedTuple):
    """Formats as powers of two, in tensors that are ours to overwrite.

    Args:
        half: half of the number of exponents.
        low: the smallest normal value, 2^lowest.
        top: 2^highest.
        grain: 2^-m.
        largest: the largest value; 0 where nothing is left.
    """

    half: Tensor
    low: Tensor
    top: Tensor
    grain: Tensor
    largest: Tensor


def make_format(m: Tensor, e: Tensor, e0: Tensor, max_value: float, dtype: torch.dtype) -> Format:
    """The formats (m, e, e0) of integers in float tensors."""
    half = power((e - ONE).clamp_(min=0.0), dtype)
    center = half - ONE
    # One step up and down again: the lowest exponent may be that of the first subnormal float.
    low = power(e0 - center + ONE, dtype).mul_(HALF)
    top = power(torch.minimum(center + e0, LAYOUTS[dtype].highest), dtype)
    grain = power(m.neg(), dtype)
    largest = ((e > NOTHING) + ONE - grain).clamp_(min=0.0).mul(top)
    return Format(half, low, top, grain, largest if math.isinf(max_value) else largest.clamp_(max=max_value))


def to_format(x: Tensor, fmt: Format, uniform: Tensor | None = None) -> Tensor:
    """Bring values into formats: ties to even, or up by chance where `uniform` gives numbers from [0, 1)."""
    # The largest value is one of the format: saturated first, nothing rounds beyond it.
    clipped = x.clamp(-fmt.largest, fmt.largest)
    base = torch.maximum(binade(clipped), fmt.low)
    z = (clipped / base).div_(fmt.grain)
    if uniform is None:
        z.round_()
    else:
        below = z.floor()
        z = below.add_(uniform < z.sub_(below))
    return z.mul_(fmt.grain).mul_(base)
