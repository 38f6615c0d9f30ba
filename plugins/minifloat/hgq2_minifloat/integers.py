"""Integers in blocks with a shared power of two, as OCP MX has them. Imports no backend."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, ClassVar, Literal

from pydantic import model_validator
from typing_extensions import override

from hgq2_core.quantizers.bit_options import BitRegularizer, FirstBits, extremes, shifted
from hgq2_core.quantizers.config import BlockGranularity, check_bounds
from hgq2_core.schema.base import Interval
from hgq2_minifloat.config import Bits, FitTo, MinifloatBase
from hgq2_minifloat.formats import Format

LIMITS = (2, 23)


class MXInt(MinifloatBase):
    """Integers of b bits with a sign: OCP MXInt8 with `block` and b = 8.

    Values are multiples of 2^(2 - b) up to 2 - 2^(2 - b), for 8 bits 1.984375, with both signs; with `block`, in units
    of its scale. EBOPs count b - 1 bits.

    Args:
        b: first width, the sign counted; or a list of the shape of the bits.
        overflow_gradient: gradient of a value that saturates, 0 or 1; in a block its largest alone may, by rounding.
        granularity: which elements have a width of their own.
        b_bounds: bounds of b.
        b_regularizer: cost of one bit in the loss, or the kind of a Keras regularizer.
        trainable: whether gradients move b.
        scale_gradient: whether the gradient that b gets from the values is multiplied by sqrt(1 / elements that share
            it).
    """

    b: FirstBits = 8.0
    overflow_gradient: Literal[0, 1] = 1
    granularity: BlockGranularity = "tensor"
    b_bounds: Interval = (2.0, 12.0)
    b_regularizer: BitRegularizer = 0.0
    trainable: bool = False
    scale_gradient: bool = False

    e: ClassVar[float] = 0.0
    e0: ClassVar[float] = 1.0
    max_value: ClassVar[float | None] = None
    fit_to: ClassVar[FitTo | None] = None
    counts_sign: ClassVar[bool] = False

    @property
    @override
    def m(self) -> Any:
        """The first number of bits without the sign."""
        return shifted(self.b, -1.0)

    @property
    @override
    def trained(self) -> tuple[Bits, ...]:
        """The width, or nothing."""
        return ("m",) if self.trainable else ()

    @override
    def bounds(self, name: Bits) -> tuple[float, float]:
        """Return the bounds of m, and of the others the value twice."""
        lower, upper = self.b_bounds
        value = getattr(self, name)
        return (lower - 1.0, upper - 1.0) if name == "m" else (value, value)

    @override
    def regularizer(self, name: Bits) -> BitRegularizer:
        """Return the cost of one bit in the loss."""
        return self.b_regularizer if name == "m" else 0.0

    @override
    def name_of(self, form: Format) -> str:
        """Return the name of the integers of that width."""
        return f"mxint{form.m + 1}"

    @model_validator(mode="after")
    def _check_bounds(self) -> MXInt:
        if isinstance(self.b, Mapping):
            raise ValueError(f"b is a number or a list of numbers. Received: b={self.b}")
        for value in extremes(self.b, self.b_bounds):
            check_bounds("b", value, self.b_bounds, LIMITS)
        return self
