"""Configs of the fixed-point quantizers: one set of formats, parametrized by width (KBI) or by fraction bits (KIF)."""

from __future__ import annotations

import math
from abc import abstractmethod
from typing import TYPE_CHECKING, Annotated, Any, ClassVar, Literal, Self

from pydantic import Field, model_validator
from typing_extensions import override

from hgq2_core.quantizers.bit_options import BitRegularizer, FirstBits, extremes, nominal
from hgq2_core.quantizers.config import BlockGranularity, QuantizerConfig, Role, Slot, check_bounds
from hgq2_core.schema.base import FromList, Interval, StrictModel
from hgq2_fixed_point.modes import OverflowMode, RoundMode

if TYPE_CHECKING:
    from hgq2_fixed_point.quantizers import KBIQuantizer, KIFQuantizer

BITS_LIMIT = 60
"""No bound on a bit variable reaches further: beyond it, a step is not a normal float32."""

MOST_VALUES = 2**16
"""Values of a format that are listed, at most."""


class FitTo(StrictModel):
    """How integer bits are set from values.

    Args:
        percentile: of the magnitudes that must fit; what lies beyond saturates or wraps.
        margin: bits added on top.
    """

    percentile: Annotated[float, Field(gt=0, le=100)] = 100.0
    margin: int = 0


class FixedPoint(QuantizerConfig):
    """Base of both parameterizations: a format (k, i, f), and how values are rounded and bounded to it.

    Args:
        k: 1 signed, 0 unsigned.
        i: first number of integer bits, the sign not counted; a list of the shape of the bits, or the kind of a Keras
            initializer, in place of one number.
        round_mode: onto the grid; S_RND and S_RND_CONV draw in training, and are RND and RND_CONV elsewhere.
        overflow_mode: what happens outside the range, decided on the rounded value.
        granularity: which elements have bits of their own; `{axis: -1, block: 4}`: each block of four channels.
        i_bounds: bounds of i.
        i_regularizer: cost of one integer bit in the loss, or the kind of a Keras regularizer.
        i_decay: how far i of a WRAP activation sinks per training step.
        trainable: whether gradients move the bits; or which of the two fields they move.
        scale_gradient: whether the gradient that the bits get from the values is multiplied by sqrt(1 / elements that
            share them), the batch not counted.
        noise: share of the quantization that training sees, from 0, none, to 1, all; inference always quantizes. Less
            than 1 makes it a variable, for a schedule to move.
        fit_to: how `hgq2_core.fit_ranges` sets i from the values before training; None leaves it.
    """

    k: Literal[0, 1] = 1
    i: FirstBits = 2.0
    round_mode: RoundMode = "RND"
    overflow_mode: OverflowMode = "SAT_SYM"
    granularity: BlockGranularity = "element"
    i_bounds: Interval = (-23.0, 23.0)
    i_regularizer: BitRegularizer = 0.0
    i_decay: Annotated[float, Field(ge=0)] = 0.01
    trainable: bool | Annotated[tuple[str, ...], FromList] = True
    scale_gradient: bool = False
    noise: Annotated[float, Field(ge=0, le=1)] = 1.0
    fit_to: FitTo | None = None

    bounded: ClassVar[tuple[str, ...]] = ("i",)
    """Fields that have `<field>_bounds`."""

    fixed_width: ClassVar[bool] = False
    """Whether a wider range makes the step coarser, because the width stays."""

    @model_validator(mode="after")
    def _check_bounds(self) -> FixedPoint:
        for field in self.bounded:
            bounds = getattr(self, f"{field}_bounds")
            for value in extremes(getattr(self, field), bounds):
                check_bounds(field, value, bounds, (-BITS_LIMIT, BITS_LIMIT))
        return self

    def trains(self, name: str) -> bool:
        """Return True if gradients move a field."""
        return self.trainable if isinstance(self.trainable, bool) else name in self.trainable

    @override
    def unsigned(self) -> Self:
        """Return the same format with k = 0; unchanged with WRAP_SM, which needs a sign."""
        return self if self.overflow_mode == "WRAP_SM" else self.changed(k=0)

    @override
    def saturating(self, end: float | None = None) -> Self:
        """Return the same format with SAT_SYM, or SAT without a sign; i is log2 of the end, if there is one."""
        integer_bits = {} if end is None else {"i": math.log2(end)}
        return self.changed(overflow_mode="SAT_SYM" if self.k else "SAT", **integer_bits)

    @override
    def fitted(self) -> Self:
        """Return the same format with `fit_to`."""
        return self.changed(fit_to=self.fit_to or FitTo())

    @override
    def indexing(self, bits: int, end: float) -> KBI:
        """Return an unsigned format of one width for all elements, which stays below that many bits in training too."""
        return KBI(
            k=0, b=bits, i=math.log2(end), b_bounds=(0, bits), overflow_mode="SAT", granularity="tensor", fit_to=FitTo()
        )

    @override
    def with_bits(self, bits: int, role: Role) -> KBI:
        """Return the format of that width that wraps, so that its range is dynamic or observed."""
        by_role: dict[Role, dict[str, Any]] = {
            "weight": {"granularity": "channel"},
            # What saturates all the same, such as the states of recurrent layers, is fitted.
            "activation": {"granularity": "tensor", "fit_to": FitTo()},
        }
        return KBI(b=bits - 1, overflow_mode="WRAP", **by_role.get(role, {}))

    @override
    def facts(self) -> dict[str, Any]:
        """Return the first format, its range, its step, and the number of its values."""
        i, f = round(nominal(self.i, self.i_bounds)), self.fraction_bits
        width, step = i + f, 2.0**-f
        above = (1 << max(width, 0)) - 1
        below = self.k * (above + (self.overflow_mode != "SAT_SYM")) if width >= 0 else 0  # pruned: exactly 0
        return {
            "format (k, i, f)": [self.k, i, f],
            "min": -below * step,
            "max": above * step,
            "step": step,
            "values": below + above + 1,
        }

    @override
    def values(self) -> list[float]:
        """Return every value of the first format, rising; none if there are more than a figure can show."""
        facts = self.facts()
        low, step, size = facts["min"], facts["step"], facts["values"]
        return [low + n * step for n in range(size)] if size <= MOST_VALUES else []

    @property
    @abstractmethod
    def fraction_bits(self) -> int:
        """First number of fraction bits."""

    @model_validator(mode="after")
    def _check_modes(self) -> FixedPoint:
        if self.overflow_mode == "WRAP_SM" and (self.k == 0 or self.round_mode not in ("RND", "RND_CONV")):
            raise ValueError(
                "overflow_mode WRAP_SM is defined for signed formats with round_mode RND or RND_CONV. "
                f"Received: k={self.k}, round_mode={self.round_mode!r}"
            )
        return self


class KBI(FixedPoint):
    """Fixed point parametrized by its width b = i + f (the sign not counted) and its integer bits i; f = b - i.

    Args:
        b: first width, the sign not counted: a number, a list of the shape of the bits, or the kind of a Keras
            initializer.
        b_bounds: bounds of b.
        b_regularizer: cost of one bit in the loss, or the kind of a Keras regularizer.
    """

    b: FirstBits = 8.0
    b_bounds: Interval = (0.0, 24.0)
    b_regularizer: BitRegularizer = 0.0
    trainable: bool | Annotated[tuple[Literal["b", "i"], ...], FromList] = True

    bounded = ("b", "i")
    fixed_width = True

    @property
    @override
    def fraction_bits(self) -> int:
        """First number of fraction bits."""
        return round(nominal(self.b, self.b_bounds)) - round(nominal(self.i, self.i_bounds))

    @override
    def build(self, slot: Slot | None = None) -> KBIQuantizer:
        from hgq2_fixed_point.quantizers import KBIQuantizer

        return KBIQuantizer(self, slot)


class KIF(FixedPoint):
    """Fixed point parametrized by its integer bits i and its fraction bits f.

    Args:
        f: first number of fraction bits: a number, a list of the shape of the bits, or the kind of a Keras initializer.
        f_bounds: bounds of f.
        f_regularizer: cost of one fraction bit in the loss, or the kind of a Keras regularizer.
    """

    f: FirstBits = 6.0
    f_bounds: Interval = (-24.0, 24.0)
    f_regularizer: BitRegularizer = 0.0
    trainable: bool | Annotated[tuple[Literal["i", "f"], ...], FromList] = True

    bounded = ("i", "f")

    @property
    @override
    def fraction_bits(self) -> int:
        """First number of fraction bits."""
        return round(nominal(self.f, self.f_bounds))

    @override
    def build(self, slot: Slot | None = None) -> KIFQuantizer:
        from hgq2_fixed_point.quantizers import KIFQuantizer

        return KIFQuantizer(self, slot)
