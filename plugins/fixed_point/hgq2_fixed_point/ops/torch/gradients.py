"""What the hand-written backward passes share."""

from __future__ import annotations

import math

import torch
from torch import Tensor

from .arithmetic import number

_LN2 = torch.tensor(math.log(2.0))


def ln2(scale: float) -> Tensor:
    """The factor of a gradient for bits."""
    return _LN2 if scale == 1.0 else number(scale * math.log(2.0))


def sum_to(tensor: Tensor, shape: torch.Size) -> Tensor:
    """Sum over the axes along which a tensor of this shape was broadcast."""
    return tensor if tensor.shape == shape else tensor.sum_to_size(shape)


def plus(a: Tensor | None, b: Tensor) -> Tensor:
    """Add to a gradient of our own, if there is one."""
    return b if a is None else a.add_(b)


def plus_everywhere(grad: Tensor | None, scale: Tensor, factor: float, shape: torch.Size) -> Tensor | None:
    """Add the same to all elements of a gradient."""
    if not factor:
        return grad
    share = scale * number(factor)
    return share.expand(shape) if grad is None else grad.add_(share)


def split_at_range(grad: Tensor, x: Tensor, lowest: Tensor, highest: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """What flows through a clipped identity, and what does not.

    Returns:
        The gradient inside of the range; outside of it, negated below; and the side: 1 above, -1 below, 0 inside.
    """
    side = torch.clamp(x, lowest, highest)
    side = torch.sub(x, side, out=side).sign_()
    outside = side * grad
    return torch.addcmul(grad, side, outside, value=-1.0), outside, side
