"""The configs of quantizers whose few values are given, not trained. Imports no backend."""

from __future__ import annotations

import math
from abc import abstractmethod
from typing import TYPE_CHECKING, Annotated, Any

from pydantic import Field, model_validator

from hgq2_core.quantizers.config import QuantizerConfig, Slot
from hgq2_core.quantizers.none import NoQuantizer

if TYPE_CHECKING:
    from hgq2_fixed_point.discrete import BinaryQuantizer, IdentityQuantizer, PowerOfTwoQuantizer, TernaryQuantizer

LIMIT = 60
"""Largest magnitude of an exponent: the powers are then normal float32 numbers, and so are their products."""

Exponent = Annotated[int, Field(ge=-LIMIT, le=LIMIT)]


class DiscreteConfig(QuantizerConfig):
    """Base of the configs whose values all count the same bits."""

    @property
    @abstractmethod
    def bits(self) -> int:
        """Bits that EBOPs count for one element."""


class Binary(DiscreteConfig):
    """The sign alone: -1 below zero, +1 from zero on; 1 bit."""

    def build(self, slot: Slot | None = None) -> BinaryQuantizer:
        """Make the Keras quantizer."""
        from hgq2_fixed_point.discrete import BinaryQuantizer

        return BinaryQuantizer(self, slot)

    @property
    def bits(self) -> int:
        """Bits that EBOPs count for one element."""
        return 1


class Ternary(DiscreteConfig):
    """-1, 0 or +1: the sign where the magnitude is 0.5 or more; 2 bits."""

    def build(self, slot: Slot | None = None) -> TernaryQuantizer:
        """Make the Keras quantizer."""
        from hgq2_fixed_point.discrete import TernaryQuantizer

        return TernaryQuantizer(self, slot)

    @property
    def bits(self) -> int:
        """Bits that EBOPs count for one element."""
        return 2


class PowerOfTwo(DiscreteConfig):
    """0 or a power of two with a sign, so that a multiplication is a shift.

    Args:
        lowest: smallest exponent; below half of that power a value becomes 0.
        highest: largest exponent; larger values saturate.
    """

    lowest: Exponent = -7
    highest: Exponent = 0

    @model_validator(mode="after")
    def _check_range(self) -> PowerOfTwo:
        if self.lowest > self.highest:
            raise ValueError(f"lowest must not exceed highest. Received: lowest={self.lowest}, highest={self.highest}")
        return self

    def build(self, slot: Slot | None = None) -> PowerOfTwoQuantizer:
        """Make the Keras quantizer."""
        from hgq2_fixed_point.discrete import PowerOfTwoQuantizer

        return PowerOfTwoQuantizer(self, slot)

    def facts(self) -> dict[str, Any]:
        """Return the magnitudes, and the bits."""
        return {"magnitudes": [0.0, *(2.0**n for n in range(self.lowest, self.highest + 1))], "bits": self.bits}

    @property
    def bits(self) -> int:
        """Bits that EBOPs count for one element: the sign, and a code for each exponent and for 0.

        See docs/numerics.md#6.
        """
        return 1 + math.ceil(math.log2(self.highest - self.lowest + 2))


class Identity(NoQuantizer):
    """No quantization: values pass as they are; 0 bits. The former kind of the core's `none`."""

    def build(self, slot: Slot | None = None) -> IdentityQuantizer:
        """Make the Keras quantizer."""
        from hgq2_fixed_point.discrete import IdentityQuantizer

        return IdentityQuantizer(self, slot)
