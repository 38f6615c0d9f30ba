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
        half_range: half of the number of exponents.
        min_normal: the smallest normal value, 2^emin.
        max_binade: the largest power of two, 2^emax.
        ulp: the step between 1 and 2, 2^-m.
        largest: the largest value; 0 if no bits are left.
    """

    half_range: Tensor
    min_normal: Tensor
    max_binade: Tensor
    ulp: Tensor
    largest: Tensor


def make_format(m: Tensor, e: Tensor, e0: Tensor, max_value: float, dtype: torch.dtype) -> Format:
    """Return the formats (m, e, e0), which are integers in float tensors."""
    half_range = exp2((e - ONE).clamp_(min=0.0), dtype)
    center = half_range - ONE
    # One step up and down again: the lowest exponent may be that of the first subnormal float.
    min_normal = exp2(e0 - center + ONE, dtype).mul_(HALF)
    max_binade = exp2(torch.minimum(center + e0, LAYOUTS[dtype].emax), dtype)
    ulp = exp2(m.neg(), dtype)
    largest = ((e > ZERO) + ONE - ulp).clamp_(min=0.0).mul(max_binade)
    return Format(
        half_range, min_normal, max_binade, ulp, largest if math.isinf(max_value) else largest.clamp_(max=max_value)
    )


def to_format(x: Tensor, fmt: Format, uniform: Tensor | None = None) -> Tensor:
    """Bring values into formats: ties to even, or up by chance where `uniform` gives numbers from [0, 1)."""
    # The largest value is one of the format: saturated first, nothing rounds beyond it.
    clipped = x.clamp(-fmt.largest, fmt.largest)
    base = torch.maximum(binade(clipped), fmt.min_normal)
    z = (clipped / base).div_(fmt.ulp)
    if uniform is None:
        z.round_()
    else:
        below = z.floor()
        z = below.add_(uniform < z.sub_(below))
    return z.mul_(fmt.ulp).mul_(base)
