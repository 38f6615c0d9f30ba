"""The settings of a minifloat quantizer that are not tensors; made once, when the quantizer is built."""

from __future__ import annotations

import math
from dataclasses import dataclass


@dataclass(frozen=True)
class Options:
    """Settings of the quantization to minifloats.

    Args:
        max_value: the largest value where the top codes are reserved.
        overflow_gradient: gradient for x of what saturates, 0 or 1.
        regularizers: coefficients of m, e and e0 in the penalty.
        gradient_scale: factor of the quantized values' gradients for m, e and e0.
    """

    max_value: float = math.inf
    overflow_gradient: int = 0
    regularizers: tuple[float, float, float] = (0.0, 0.0, 0.0)
    gradient_scale: float = 1.0
