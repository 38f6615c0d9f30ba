"""Layouts of IEEE 754 floats, to read and write powers of two and exponents as bits."""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType
from typing import NamedTuple


class FloatLayout(NamedTuple):
    """The fields of a binary float.

    Args:
        integer: the integer dtype of the same size.
        mantissa_bits: explicit bits of the mantissa, the low bits.
        bias: bias of the exponent, which equals emax.
    """

    integer: str
    mantissa_bits: int
    bias: int

    @property
    def exponent_mask(self) -> int:
        """Mask of the exponent field."""
        return (2 * self.bias + 1) << self.mantissa_bits

    @property
    def magic(self) -> float:
        """The float whose sum with an integer n has n + bias in its low bits."""
        return 1.5 * 2.0**self.mantissa_bits + self.bias

    @property
    def below_one(self) -> float:
        """The largest number below 1."""
        return 1.0 - 2.0 ** -(self.mantissa_bits + 1)

    @property
    def emax(self) -> float:
        """The exponent of the largest numbers; emin, the exponent of the smallest normal numbers, is 1 - emax."""
        return float(self.bias)


LAYOUTS: Mapping[str, FloatLayout] = MappingProxyType(
    {"float32": FloatLayout("int32", 23, 127), "float64": FloatLayout("int64", 52, 1023)}
)
"""The layouts by dtype. Narrower floats are computed in float32."""
