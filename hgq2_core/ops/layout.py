"""Where floats keep their exponents (IEEE 754), for powers of two and exponents that are read and written as bits."""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType
from typing import NamedTuple


class FloatLayout(NamedTuple):
    """The fields of a binary float.

    Args:
        integer: the integer dtype of its size.
        mantissa_bits: explicit bits of the mantissa, which lie below the exponent.
        bias: of the exponent; also the exponent of the largest numbers, emax.
    """

    integer: str
    mantissa_bits: int
    bias: int

    @property
    def exponent_mask(self) -> int:
        """The bits of the exponent."""
        return (2 * self.bias + 1) << self.mantissa_bits

    @property
    def magic(self) -> float:
        """What leaves n + bias in the low bits of its sum with an integer n."""
        return 1.5 * 2.0**self.mantissa_bits + self.bias

    @property
    def below_one(self) -> float:
        """The largest number below 1."""
        return 1.0 - 2.0 ** -(self.mantissa_bits + 1)

    @property
    def emax(self) -> float:
        """The exponent of the largest numbers; that of the smallest normal ones, emin, is 1 - emax."""
        return float(self.bias)


LAYOUTS: Mapping[str, FloatLayout] = MappingProxyType(
    {"float32": FloatLayout("int32", 23, 127), "float64": FloatLayout("int64", 52, 1023)}
)
"""By dtype. Values of narrower floats are computed in float32."""
