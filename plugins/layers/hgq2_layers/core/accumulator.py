"""A bound on the weights of each output, so that its sums cannot overflow an accumulator (docs/numerics.md#8)."""

from __future__ import annotations

import math
from typing import Annotated, NamedTuple

import keras
from pydantic import Field

from hgq2_core.ops import Tensor
from hgq2_core.quantizers.results import Span

MARGIN = 1.0 - 2.0**-20
"""Keeps the bound where float32 rounds the sum of magnitudes."""

AccumulatorBits = Annotated[int, Field(ge=2, le=64)]


class Bias(NamedTuple):
    """The bias of each output, on the axes of the kernel.

    Args:
        magnitude: of the quantized bias.
        step: of its format.
    """

    magnitude: Tensor
    step: Tensor


def bounded(kernel: Tensor, axes: tuple[int, ...], inputs: Span, weights: Span, bias: Bias | None, bits: int) -> Tensor:
    """Shrink the weights of each output whose sums may need more bits than there are.

    Args:
        kernel: weights before they are quantized.
        axes: of the kernel, over which an output sums.
        inputs: formats of the inputs, on the axes of the kernel.
        weights: formats of the kernel.
        bias: of the outputs, if there is one.
        bits: of the accumulator, the sign included.
    """
    magnitudes = keras.ops.broadcast_to(inputs.largest, kernel.shape)
    live = keras.ops.logical_and(magnitudes > 0, weights.largest > 0)
    step = keras.ops.min(keras.ops.where(live, inputs.step * weights.step, math.inf), axes, keepdims=True)
    if bias is not None:
        step = keras.ops.minimum(step, keras.ops.where(bias.magnitude > 0, bias.step, math.inf))
    room = (2.0 ** (bits - 1) - 1.0) * step - (0.0 if bias is None else bias.magnitude)
    room = keras.ops.stop_gradient(keras.ops.maximum(room, 0.0))
    reach = keras.ops.sum(keras.ops.stop_gradient(magnitudes) * keras.ops.abs(kernel), axes, keepdims=True)
    beyond = reach > room
    # What is not chosen must be finite: its gradient is multiplied by 0.
    ratio = keras.ops.where(beyond, room, 1.0) / keras.ops.where(beyond, reach, 1.0)
    return kernel * keras.ops.where(beyond, ratio * MARGIN, 1.0)
