"""The scales that the elements of a block share: powers of two, as OCP MX has them."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any, TypeVar

import numpy as np
from keras import ops

from hgq2_core.errors import ExactnessError
from hgq2_core.exact.arrays import Arrays
from hgq2_core.ops import Tensor
from hgq2_minifloat.config import Block
from hgq2_minifloat.ops import backend

A = TypeVar("A")

LEAST, MOST = -126, 126
"""The exponents of scales: a scale and its inverse are normal float32 numbers."""

MOST_EXPONENTS = 64
"""How many scales a circuit may choose from."""


def over_blocks(x: Tensor, block: Block, reduce: Callable[..., Tensor], padding: float = 0.0) -> Tensor:
    """Return for each element what a reduction makes of its block, which may be short.

    Args:
        x: any tensor.
        block: how it is cut.
        reduce: such as `ops.max`.
        padding: what fills up the last block.
    """
    axis = block.axis % len(x.shape)
    size = x.shape[axis]
    count = -(-size // block.size)
    widths = [(0, count * block.size - size if n == axis else 0) for n in range(len(x.shape))]
    padded = ops.pad(x, widths, constant_values=padding)
    shape = ops.shape(padded)
    cut = ops.reshape(padded, (*shape[:axis], count, block.size, *shape[axis + 1 :]))
    reduced = ops.repeat(reduce(cut, axis=axis + 1), block.size, axis=axis)
    return ops.take(reduced, ops.arange(size), axis=axis)


def emax_of(largest: float) -> int:
    """Return the exponent of the largest value of a format."""
    return math.frexp(largest)[1] - 1


def block_scales(x: Tensor, block: Block, largest: float) -> Tensor:
    """Return each element the scale of its block, without gradient.

    In units of it, the block's largest magnitude lies in the top binade of the format; a block of zeros has 1.

    Args:
        x: values.
        block: how it is cut.
        largest: the largest value of the format.
    """
    top = backend().binade(over_blocks(ops.abs(x), block, ops.max))
    scale = ops.clip(top / 2.0 ** emax_of(largest), 2.0**LEAST, 2.0**MOST)
    return ops.stop_gradient(ops.where(top == 0, 1.0, scale))


def exact_blocks(arrays: Arrays[A], x: A, block: Block, largest: float, quantize: Callable[[A], A], where: Any) -> A:
    """State the quantization of blocks: in units of every scale that may occur, chosen by the largest magnitude.

    Args:
        arrays: integers, intervals, or hardware.
        x: the values, on a fixed grid.
        block: how it is cut.
        largest: the largest value of the format.
        quantize: to the format itself.
        where: the slot, for messages.

    Raises:
        ExactnessError: the values may have too many exponents.
    """
    low, high = arrays.exponents(x)
    if high - low >= MOST_EXPONENTS:
        raise ExactnessError(
            f"{where}: blocks choose among at most {MOST_EXPONENTS} scales, so values come from a fixed grid. "
            f"Received: magnitudes from 2^{low} to 2^{high}. Put a quantizer of few bits in front, "
            "such as quantize (QQuantize)."
        )

    def scaled(exponent: int) -> A:
        places = min(max(exponent - emax_of(largest), LEAST), MOST)
        return arrays.shift(quantize(arrays.shift(x, -places)), places)

    most = _exact_most(arrays, arrays.maximum(x, arrays.negate(x)), block)
    result = scaled(low)
    for exponent in range(low + 1, high + 1):
        result = arrays.select(arrays.less(most, arrays.constant(2.0**exponent)), result, scaled(exponent))
    return result


def _exact_most(arrays: Arrays[A], sizes: A, block: Block) -> A:
    """Return for each element the largest magnitude of its block."""
    shape = arrays.shape(sizes)
    axis = block.axis % len(shape)
    size = shape[axis]
    starts = range(0, size, block.size)

    def most(start: int) -> A:
        part = arrays.gather(sizes, np.arange(start, min(start + block.size, size)), axis)
        while (count := arrays.shape(part)[axis]) > 1:
            half = -(-count // 2)  # both halves may share the middle
            first, second = (arrays.gather(part, places, axis) for places in (range(half), range(count - half, count)))
            part = arrays.maximum(first, second)
        return part

    tops = arrays.concatenate([most(start) for start in starts], axis)
    return arrays.gather(tops, np.arange(size) // block.size, axis)
