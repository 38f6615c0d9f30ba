"""What the hand-written backward passes share."""

from __future__ import annotations

import torch
from torch import Tensor


def split_at_range(grad: Tensor, x: Tensor, minimum: Tensor, maximum: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """Split the upstream gradient of a clipped identity into what flows through and what does not.

    Returns:
        The gradient inside of the range; outside of it, negated below; and the side: 1 above, -1 below, 0 inside.
    """
    side = torch.clamp(x, minimum, maximum)
    side = torch.sub(x, side, out=side).sign_()
    outside = side * grad
    return torch.addcmul(grad, side, outside, value=-1.0), outside, side
