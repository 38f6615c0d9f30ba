"""Bits as the cost counts them, and what they pay by themselves."""

from __future__ import annotations

import torch
from torch import Tensor

from .arithmetic import number
from .operands import as_tensor


def round_bits(v: Tensor) -> Tensor:
    """See `hgq2_fixed_point.ops.round_bits`."""
    v = as_tensor(v)
    if not v.requires_grad:
        return v.round()
    # Exact, and cheaper than a Function of our own: the difference has fewer bits than v.
    with torch.no_grad():
        correction = v.round() - v
    return v + correction


def clipped_bits(v: Tensor, offset: Tensor | float = 0.0) -> Tensor:
    """See `hgq2_fixed_point.ops.clipped_bits`."""
    bits = round_bits(v)
    return torch.relu(bits if isinstance(offset, int | float) and offset == 0 else bits + offset)


def counted(i: Tensor, fraction: Tensor, by_width: bool, offset: float) -> Tensor:
    """The bits that the cost counts, of integers, in memory of their own."""
    bits = fraction if by_width else fraction + i
    bits = bits + offset if offset else bits
    return torch.relu(bits) if bits is fraction else bits.relu_()


def count_gradient(grad: Tensor, bits: Tensor) -> Tensor:
    """The gradient of max(0, bits) for whole bits, in their memory."""
    return bits.clamp_(0.0, 1.0).mul_(grad)


def paid_by(i: Tensor, fraction: Tensor, regularizers: tuple[float, float]) -> Tensor:
    """What the bits pay by themselves, whatever is computed with them."""
    for_i, for_fraction = regularizers
    paid = fraction.sum().mul_(number(for_fraction)) if for_fraction else fraction.new_zeros(())
    return paid.addcmul_(i.sum(), number(for_i)) if for_i else paid
