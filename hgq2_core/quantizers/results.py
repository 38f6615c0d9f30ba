"""What the methods of a quantizer return together."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from hgq2_core.ops import Tensor


class Quantized(NamedTuple):
    """Quantized values and what they cost, from one computation.

    Args:
        values: the quantized values.
        bits: those that EBOPs count; they broadcast against the values.
        penalty: the part of the loss that regularizes the bit-widths; None if there is none.
    """

    values: Tensor
    bits: Tensor
    penalty: Tensor | None


class Span(NamedTuple):
    """What the format of each element reaches, as tensors without gradients.

    Args:
        largest: the largest magnitude; 0 where nothing is left.
        step: the power of two of which all values are multiples; infinite where nothing is left.
    """

    largest: Tensor
    step: Tensor


class RangeCheck(NamedTuple):
    """Values compared with the range of a format.

    Args:
        outside: for each value, whether it lies outside once it is rounded.
        low: the smallest value of the format; broadcasts against the values.
        high: the largest value of the format; broadcasts against the values.
    """

    outside: npt.NDArray[np.bool_]
    low: npt.NDArray[np.float64]
    high: npt.NDArray[np.float64]
