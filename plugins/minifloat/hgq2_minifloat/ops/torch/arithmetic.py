"""Minifloat arithmetic on torch tensors, without gradients: formats and rounding."""

from __future__ import annotations

import math
from typing import NamedTuple

import torch
from torch import Tensor

from hgq2_core.ops.torch import HALF, LAYOUTS, ONE, ZERO, binade, exp2


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
    half = exp2((e - ONE).clamp_(min=0.0), dtype)
    center = half - ONE
    # One step up and down again: the lowest exponent may be that of the first subnormal float.
    low = exp2(e0 - center + ONE, dtype).mul_(HALF)
    top = exp2(torch.minimum(center + e0, LAYOUTS[dtype].emax), dtype)
    grain = exp2(m.neg(), dtype)
    largest = ((e > ZERO) + ONE - grain).clamp_(min=0.0).mul(top)
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
