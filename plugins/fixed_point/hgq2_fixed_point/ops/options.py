"""The settings of a fixed-point quantizer that are not tensors; made once, when the quantizer is built."""

from __future__ import annotations

import math
from dataclasses import dataclass

from hgq2_fixed_point.modes import OverflowMode, RoundMode


@dataclass(frozen=True)
class Options:
    """Settings of the operations on fixed-point formats.

    Args:
        round_mode: one of `ROUND_MODES`.
        overflow_mode: one of `OVERFLOW_MODES`; a dynamic or observed range wraps by definition.
        fixed_width: whether the precision, the field beside i, is b, and f = b - i; otherwise it is f.
        signed: whether the range may hold negative values; otherwise they do not count.
        axes: of the values, along which bits are shared.
        bounds: of a dynamic or observed i.
        sign_bits: bits that the cost counts in addition, such as the sign.
        regularizers: coefficients of i and of the precision in the penalty; 0 for an i that is no trained variable.
        gradient_scale: factor of the quantized values' gradients for i and for the precision.
    """

    round_mode: RoundMode
    overflow_mode: OverflowMode = "WRAP"
    fixed_width: bool = False
    signed: bool = True
    axes: tuple[int, ...] = ()
    bounds: tuple[float, float] = (-math.inf, math.inf)
    sign_bits: float = 0.0
    regularizers: tuple[float, float] = (0.0, 0.0)
    gradient_scale: float = 1.0
