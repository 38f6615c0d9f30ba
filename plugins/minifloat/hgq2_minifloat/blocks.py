"""The scales that blocks of a weight share: powers of two, as OCP MX has them."""

from __future__ import annotations

import math

from keras import ops

from hgq2_core.ops import Tensor
from hgq2_minifloat.config import Block
from hgq2_minifloat.ops import backend

LEAST, MOST = 2.0**-126, 2.0**126
"""A scale and its inverse are normal float32 numbers."""


def block_scales(x: Tensor, block: Block, largest: float) -> Tensor:
    """Return each element the scale of its block, without gradient.

    In units of it, the block's largest magnitude lies in the top binade of the format; a block of zeros has 1.

    Args:
        x: a weight.
        block: how it is cut.
        largest: the largest value of the format.
    """
    axis = block.axis % len(x.shape)
    size = x.shape[axis]
    count = -(-size // block.size)
    padded = ops.pad(ops.abs(x), [(0, count * block.size - size if n == axis else 0) for n in range(len(x.shape))])
    cut = ops.reshape(padded, (*x.shape[:axis], count, block.size, *x.shape[axis + 1 :]))
    most = ops.repeat(ops.max(cut, axis=axis + 1), block.size, axis=axis)
    top = backend().binade(ops.take(most, ops.arange(size), axis=axis))
    scale = ops.where(top == 0, 1.0, ops.clip(top / math.ldexp(1.0, math.frexp(largest)[1] - 1), LEAST, MOST))
    return ops.stop_gradient(scale)
