"""Bits as EBOPs count them, and the penalty of their regularizers."""

from __future__ import annotations

import torch
from torch import Tensor

from hgq2_core.ops.torch import as_tensor, number
from hgq2_fixed_point.ops.options import Options


def round_bits(v: Tensor) -> Tensor:
    """See `Backend.round_bits`."""
    v = as_tensor(v)
    if not v.requires_grad:
        return v.round()
    # Exact, and cheaper than a Function of our own: the difference has fewer bits than v.
    with torch.no_grad():
        correction = v.round() - v
    return v + correction


def clipped_bits(v: Tensor, offset: Tensor | float = 0.0) -> Tensor:
    """See `Backend.clipped_bits`."""
    bits = round_bits(v)
    return torch.relu(bits if isinstance(offset, int | float) and offset == 0 else bits + offset)


def counted_bits(i: Tensor, precision: Tensor, options: Options) -> Tensor:
    """Return the bits that EBOPs count, of whole i and precision, where that is positive; it may be the precision."""
    bits = precision if options.fixed_width else precision + i
    return bits + options.sign_bits if options.sign_bits else bits


def effective_bits_gradient(grad: Tensor, bits: Tensor) -> Tensor:
    """Return the gradient of max(0, bits) for whole bits, newly allocated."""
    return bits.clamp(0.0, 1.0).mul_(grad)


def penalty(i: Tensor | None, precision: Tensor, options: Options) -> Tensor:
    """Return the bit-width regularization: i and the precision times their coefficients, summed."""
    for_i, for_precision = options.regularizers
    total = precision.sum().mul_(number(for_precision)) if for_precision else precision.new_zeros(())
    return total.addcmul_(i.sum(), number(for_i)) if for_i and i is not None else total
