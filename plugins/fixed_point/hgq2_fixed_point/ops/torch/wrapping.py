"""Quantization in inference of formats that wrap, on torch tensors."""

from __future__ import annotations

import math

import torch
from torch import Tensor

from hgq2_core.ops.torch import HALF, LAYOUTS, may_read
from hgq2_fixed_point.ops.torch.arithmetic import Format, max_integer, to_integers
from hgq2_fixed_point.ops.torch.ranges import extremes


def wrap(x: Tensor, fmt: Format, round_mode: str, axes: tuple[int, ...]) -> Tensor:
    """Round and wrap in two's complement; every step but the rounding is exact.

    Args:
        x: values.
        fmt: their format.
        round_mode: one of `ROUND_MODES`.
        axes: along which bits are shared.
    """
    k, width, step = fmt.k, fmt.width, fmt.scale.reciprocal()
    q = to_integers(x, fmt.scale * fmt.nonempty, round_mode)
    # As a rule all values are in range, which two passes show; to wrap takes eight.
    if axes and may_read(x) and _in_range(q, k, width, axes):
        return q.mul_(step)
    modulus = width * (1.0 + k)
    # From here on integers are multiples of the modulus, also where x 2^f is too large for the dtype.
    bound = modulus * 2.0 ** LAYOUTS[x.dtype].mantissa_bits
    q.clamp_(-bound, bound)
    turns = (q * (2.0 / modulus)).floor_().mul_(HALF).add_(0.5 * k).floor_()
    q.addcmul_(turns, modulus, value=-1.0).mul_(step)
    return q.add_(x - x)  # NaN and infinite values become NaN


def _in_range(q: Tensor, k: Tensor | float, width: Tensor, axes: tuple[int, ...]) -> bool:
    low, high = extremes(q, axes)
    return bool(((low >= width.floor() * -k) & (high <= max_integer(width))).all())


def wrap_sign_magnitude(x: Tensor, fmt: Format, round_mode: str) -> Tensor:
    """Round and wrap in sign-magnitude; every step but the rounding is exact.

    Args:
        x: values.
        fmt: their format.
        round_mode: one of `ROUND_MODES`.
    """
    k, nonempty, step = fmt.k, fmt.nonempty, fmt.scale.reciprocal()
    modulus = fmt.width * step * (1.0 + k)
    turns = (x / (2.0 * modulus)).trunc_()
    # Where the quotient overflows, x is a multiple of the modulus; infinities have become NaN.
    near = torch.addcmul(x, turns, 2.0 * modulus, value=-1.0).nan_to_num_(nan=math.nan, posinf=0.0, neginf=0.0)
    q = to_integers(near, fmt.scale * nonempty, round_mode).mul_(step)
    quotient = q / modulus
    turns = quotient.floor()
    turns += k * (quotient.sub_(turns) >= 0.5)
    wrapped = torch.addcmul(q, turns, modulus, value=-1.0)
    # Beyond the range ap_fixed inverts all bits (n becomes -1 - n) if the lowest bit it drops is not the sign it keeps,
    # and reads that dropped bit before rounding.
    dropped = (near / modulus).floor_().remainder_(2.0) == 1.0
    inverted = ((wrapped != q) | (near != x)) & (dropped != (wrapped < 0)) & nonempty
    return torch.where(inverted, -step - wrapped, wrapped)
