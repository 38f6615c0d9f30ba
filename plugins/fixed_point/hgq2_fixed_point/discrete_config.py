"""The configs of quantizers whose few values are given, not trained. Imports no backend."""

from __future__ import annotations

import math
import struct
from abc import abstractmethod
from typing import TYPE_CHECKING, Annotated, Any, Literal

from pydantic import AfterValidator, Field, model_validator
from typing_extensions import override

from hgq2_core.quantizers.config import QuantizerConfig, Slot
from hgq2_core.quantizers.none import NoQuantizer

if TYPE_CHECKING:
    from hgq2_fixed_point.discrete import BinaryQuantizer, IdentityQuantizer, PowerOfTwoQuantizer, TernaryQuantizer

LIMIT = 60
"""Largest magnitude of an exponent: the powers are then normal float32 numbers, and so are their products."""

Exponent = Annotated[int, Field(ge=-LIMIT, le=LIMIT)]


def _power_of_two(value: float) -> float:
    if not 2.0**-LIMIT <= value <= 2.0**LIMIT or math.frexp(value)[0] != 0.5:
        raise ValueError(f"must be a power of two from 2^-{LIMIT} to 2^{LIMIT}")
    return value


def _float32(value: float) -> float:
    """Return the nearest float32, so that tensors and exact arithmetic compare with the same number."""
    return float(struct.unpack("f", struct.pack("f", value))[0])


def _positive_float32(value: float) -> float:
    if not (nearest := _float32(value)):
        raise ValueError("must be greater than 0 as a float32")
    return nearest


Scale = Annotated[float, AfterValidator(_power_of_two)]
Threshold = Annotated[float, Field(allow_inf_nan=False, ge=-(2.0**LIMIT), le=2.0**LIMIT), AfterValidator(_float32)]
Magnitude = Annotated[float, Field(allow_inf_nan=False, gt=0, le=2.0**LIMIT), AfterValidator(_positive_float32)]


class DiscreteConfig(QuantizerConfig):
    """Base of the configs whose values all count the same bits."""

    @property
    @abstractmethod
    def bits(self) -> int:
        """Bits that EBOPs count for one element."""


class Binary(DiscreteConfig):
    """Two values: -scale below the threshold, scale from it on; 1 bit.

    Args:
        scale: the magnitude, a power of two.
        threshold: from which on the value is positive.
    """

    scale: Scale = 1.0
    threshold: Threshold = 0.0

    @override
    def build(self, slot: Slot | None = None) -> BinaryQuantizer:
        from hgq2_fixed_point.discrete import BinaryQuantizer

        return BinaryQuantizer(self, slot)

    @property
    @override
    def bits(self) -> int:
        """Bits that EBOPs count for one element."""
        return 1

    @override
    def values(self) -> list[float]:
        return [-self.scale, self.scale]


class Ternary(DiscreteConfig):
    """-scale, 0 or scale: with the sign where the magnitude is the threshold or more; 2 bits.

    Args:
        scale: the magnitude, a power of two.
        threshold: of magnitudes that are not 0; None for half the scale.
    """

    scale: Scale = 1.0
    threshold: Magnitude | None = None

    @override
    def build(self, slot: Slot | None = None) -> TernaryQuantizer:
        from hgq2_fixed_point.discrete import TernaryQuantizer

        return TernaryQuantizer(self, slot)

    @property
    @override
    def bits(self) -> int:
        """Bits that EBOPs count for one element."""
        return 2

    @override
    def values(self) -> list[float]:
        return [-self.scale, 0.0, self.scale]


class PowerOfTwo(DiscreteConfig):
    """0 or a power of two, so that a multiplication is a shift.

    Args:
        k: 1 signed; 0 unsigned, where a value below 0 becomes 0.
        lowest: smallest exponent; below half of that power a value becomes 0.
        highest: largest exponent; larger values saturate.
    """

    k: Literal[0, 1] = 1
    lowest: Exponent = -7
    highest: Exponent = 0

    @model_validator(mode="after")
    def _check_range(self) -> PowerOfTwo:
        if self.lowest > self.highest:
            raise ValueError(f"lowest must not exceed highest. Received: lowest={self.lowest}, highest={self.highest}")
        return self

    @override
    def build(self, slot: Slot | None = None) -> PowerOfTwoQuantizer:
        from hgq2_fixed_point.discrete import PowerOfTwoQuantizer

        return PowerOfTwoQuantizer(self, slot)

    @override
    def facts(self) -> dict[str, Any]:
        """Return the magnitudes, and the bits."""
        return {"magnitudes": [0.0, *(2.0**n for n in range(self.lowest, self.highest + 1))], "bits": self.bits}

    @override
    def values(self) -> list[float]:
        powers = [2.0**n for n in range(self.lowest, self.highest + 1)]
        return [*(-power for power in powers[::-1] if self.k), 0.0, *powers]

    @property
    @override
    def bits(self) -> int:
        """Bits that EBOPs count for one element: a sign if there is one, and a code for each exponent and for 0.

        See docs/numerics.md#6.
        """
        return self.k + math.ceil(math.log2(self.highest - self.lowest + 2))


class Identity(NoQuantizer):
    """No quantization: values pass as they are; 0 bits. The former kind of the core's `none`."""

    @override
    def build(self, slot: Slot | None = None) -> IdentityQuantizer:
        from hgq2_fixed_point.discrete import IdentityQuantizer

        return IdentityQuantizer(self, slot)
