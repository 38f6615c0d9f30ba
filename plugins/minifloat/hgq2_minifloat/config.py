"""Configs of minifloat quantizers: their base, and the one whose bits are trained. Imports no backend."""

from __future__ import annotations

import math
from abc import abstractmethod
from typing import TYPE_CHECKING, Annotated, Any, ClassVar, Literal

from pydantic import Field, model_validator
from typing_extensions import override

from hgq2_core.quantizers.bit_options import BitRegularizer, FirstBits, extremes, is_number, nominal
from hgq2_core.quantizers.config import BlockGranularity, QuantizerConfig, Slot, check_bounds
from hgq2_core.schema.base import FromList, Interval, StrictModel
from hgq2_minifloat.formats import Format

if TYPE_CHECKING:
    from hgq2_minifloat.quantizers import MinifloatQuantizer

Bits = Literal["m", "e", "e0"]
ALL_BITS: tuple[Bits, ...] = ("m", "e", "e0")
LIMITS = {"m": (-2, 22), "e": (0, 8), "e0": (-126, 127)}
"""The limits of the bounds: within them, and with normal float32 numbers at both ends, all is exact in float32."""

EMIN, EMAX = -126, 127
"""The exponents of the smallest and of the largest normal float32 numbers."""

Share = Annotated[float, Field(gt=0, le=100)]


class FitTo(StrictModel):
    """How the exponents are set from values.

    Args:
        percentile: of the magnitudes that must fit; larger ones saturate.
        margin: binades added at the upper end.
        normal: percentile of the magnitudes that must be normal numbers, not subnormal: e too is set, to the smallest
            that reaches down to it. None sets e0 alone.
    """

    percentile: Share = 100.0
    margin: int = 0
    normal: Share | None = None


class Block(StrictModel):
    """A power of two that the elements of a block share, as in OCP MX: values are quantized in units of it.

    Args:
        size: elements of a block; the last of an axis may have fewer.
        axis: along which blocks lie.
    """

    size: Annotated[int, Field(gt=0)] = 32
    axis: int = 0


class MinifloatBase(QuantizerConfig):
    """Base of all minifloat configs.

    Args:
        round_mode: RND_CONV, to the nearest, ties to even; S_RND_CONV, in training up or down by chance, unbiased.
        overflow_gradient: gradient of a value that saturates, 0 or 1.
        block: a scale for each block of a weight, or of the input of a layer, which must then come from a quantizer of
            few bits; None for none.
        noise: share of the quantization that training sees, from 0, none, to 1, all; inference always quantizes. Less
            than 1 makes it a variable, for a schedule to move.
    """

    round_mode: Literal["RND_CONV", "S_RND_CONV"] = "RND_CONV"
    overflow_gradient: Literal[0, 1] = 0
    block: Block | None = None
    noise: Annotated[float, Field(ge=0, le=1)] = 1.0

    counts_sign: ClassVar[bool] = True
    """Whether EBOPs count the sign."""

    if TYPE_CHECKING:  # fields of `Minifloat`, and constants of the standard formats

        @property
        def m(self) -> Any:
            """Return the first number of mantissa bits."""

        @property
        def e(self) -> Any:
            """Return the first number of exponent bits."""

        @property
        def e0(self) -> Any:
            """Return the first exponent offset."""

        @property
        def max_value(self) -> float | None:
            """Return the largest value, where the codes above it are reserved."""

        @property
        def granularity(self) -> BlockGranularity:
            """Return which elements have bits of their own."""

        @property
        def fit_to(self) -> FitTo | None:
            """Return how the exponents are set from values."""

        @property
        def scale_gradient(self) -> bool:
            """Return whether the gradient of the bits is scaled."""

    @override
    def build(self, slot: Slot | None = None) -> MinifloatQuantizer:
        from hgq2_minifloat.quantizers import MinifloatQuantizer

        return MinifloatQuantizer(self, slot)

    @property
    @abstractmethod
    def trained(self) -> tuple[Bits, ...]:
        """Which of m, e and e0 gradients move."""

    @abstractmethod
    def bounds(self, name: Bits) -> tuple[float, float]:
        """Return the bounds of m, e or e0."""

    @abstractmethod
    def regularizer(self, name: Bits) -> BitRegularizer:
        """Return the cost of one bit in the loss, or the kind of a Keras regularizer."""

    @property
    def format(self) -> Format:
        """The first format."""
        max_value = math.inf if self.max_value is None else self.max_value
        m, e, e0 = (round(nominal(getattr(self, name), self.bounds(name))) for name in ALL_BITS)
        return Format(m, e, e0, max_value)

    def name_of(self, form: Format) -> str:
        """Return the name of a format that the first may have become; empty if it has none."""
        return form.name

    @override
    def facts(self) -> dict[str, Any]:
        """Return the first format, its ends, its steps, and the number of its values and codes."""
        form = self.format
        return {
            "format (m, e, e0)": [form.m, form.e, form.e0],
            "min": -form.largest,
            "max": form.largest,
            "smallest step": form.step,
            "smallest normal": math.ldexp(1.0, form.emin) if form.e else None,
            "bits": form.bits,
            "codes": 1 << form.bits,
            "values": 2 * int(form.code(form.largest)) + 1,
        }

    @override
    def values(self) -> list[float]:
        """Return every value of the first format, rising."""
        magnitudes = self.format.magnitudes()
        return [-value for value in magnitudes[:0:-1]] + magnitudes


class Minifloat(MinifloatBase):
    """Minifloat: a sign, e exponent bits and m mantissa bits; the bias is 2^(e-1) - e0.

    Args:
        m: first number of mantissa bits; below 0, the value is 0 and costs nothing. A list of the shape of the bits, or
            the kind of a Keras initializer, in place of one number.
        e: first number of exponent bits; 0 is fixed point. A list or the kind of a Keras initializer in place
            of one number.
        e0: first exponent offset, by which the exponents are shifted up. A list or the kind of a Keras initializer
            in place of one number.
        max_value: the largest value, where the codes above it are reserved; for fixed bits only.
        granularity: which elements have bits of their own; `{axis: -1, block: 4}`: each block of four channels.
        m_bounds: bounds of m.
        e_bounds: bounds of e.
        e0_bounds: bounds of e0.
        m_regularizer: cost of one mantissa bit in the loss, or the kind of a Keras regularizer; so the others.
        e_regularizer: cost of one exponent bit in the loss.
        e0_regularizer: cost of shifting the exponents up by one in the loss.
        trainable: whether gradients move the bits; or which of m, e and e0 they move.
        scale_gradient: whether the gradient that the bits get from the values is multiplied by sqrt(1 / elements that
            share them), the batch not counted.
        fit_to: how `hgq2_core.fit_ranges` sets e0, and e on request, from the values before training; None leaves them.
    """

    m: FirstBits = 3.0
    e: FirstBits = 4.0
    e0: FirstBits = 0.0
    max_value: Annotated[float, Field(gt=0)] | None = None
    granularity: BlockGranularity = "element"
    m_bounds: Interval = (-1.0, 10.0)
    e_bounds: Interval = (0.0, 5.0)
    e0_bounds: Interval = (-16.0, 16.0)
    m_regularizer: BitRegularizer = 0.0
    e_regularizer: BitRegularizer = 0.0
    e0_regularizer: BitRegularizer = 0.0
    trainable: bool | Annotated[tuple[Bits, ...], FromList] = True
    scale_gradient: bool = False
    fit_to: FitTo | None = None

    @property
    @override
    def trained(self) -> tuple[Bits, ...]:
        """Which of m, e and e0 gradients move."""
        if isinstance(self.trainable, bool):
            return ALL_BITS if self.trainable else ()
        return self.trainable

    @override
    def bounds(self, name: Bits) -> tuple[float, float]:
        """Return the bounds of m, e or e0."""
        found: tuple[float, float] = getattr(self, f"{name}_bounds")
        return found

    @override
    def regularizer(self, name: Bits) -> BitRegularizer:
        """Return the cost of one bit in the loss."""
        found: BitRegularizer = getattr(self, f"{name}_regularizer")
        return found

    @model_validator(mode="after")
    def _check_bounds(self) -> Minifloat:
        for name in ALL_BITS:
            for value in extremes(getattr(self, name), self.bounds(name)):
                check_bounds(name, value, self.bounds(name), LIMITS[name])
        return self

    @model_validator(mode="after")
    def _check_exponents(self) -> Minifloat:
        """Refuse what float32 does not hold, wherever the bits that may move would go."""
        moving = {
            *self.trained,
            *(("e0",) if self.fit_to else ()),
            *(("e",) if self.fit_to and self.fit_to.normal else ()),
        }
        ends: tuple[tuple[Bits, int], ...] = (("e", 1), ("e0", 0), ("e0", 1))
        e, low, high = (
            self.bounds(name)[end] if name in moving else extremes(getattr(self, name), self.bounds(name))[end]
            for name, end in ends
        )
        emin, emax = Format(0, round(e), round(low)).emin, Format(0, round(e), round(high)).emax
        top = math.frexp(self.max_value)[1] - 1 if self.max_value else emax
        if emin < EMIN or min(emax, top) > EMAX:
            raise ValueError(
                f"the exponents must lie within {EMIN} and {EMAX}, those of float32; with the bounds given they "
                f"reach from {emin} to {emax}. Narrow e_bounds or e0_bounds. "
                f"Received: e_bounds={list(self.e_bounds)}, e0_bounds={list(self.e0_bounds)}"
            )
        return self

    @model_validator(mode="after")
    def _check_fixed(self) -> Minifloat:
        alone = ALL_BITS if self.max_value is not None else ALL_BITS[1:] if self.block is not None else ()
        for name in alone:
            if not is_number(getattr(self, name)):
                raise ValueError(
                    f"with max_value or block, {name} is one number for all elements. Received: {name}="
                    f"{getattr(self, name)}"
                )
        if self.max_value is not None:
            if self.trained or self.fit_to:
                raise ValueError(
                    "max_value ends a format that does not move. Say trainable=False, and no fit_to. "
                    f"Received: max_value={self.max_value}, trainable={self.trainable}"
                )
            if not self.format._replace(max_value=math.inf).holds(self.max_value):
                raise ValueError(
                    f"max_value must be a value of the format (m, e, e0)={list(self.format[:3])}. "
                    f"Received: max_value={self.max_value}"
                )
        if self.block is not None and ({"e", "e0"} & {*self.trained} or self.fit_to):
            raise ValueError(
                "block sets the exponents from the values. Say trainable=False or trainable=['m'], and no fit_to. "
                f"Received: trainable={self.trainable}"
            )
        return self


class StandardFormat(MinifloatBase):
    """A standard format: nothing of it is trained."""

    standard: ClassVar[Format]
    max_value: ClassVar[float | None]
    m: ClassVar[float]
    e: ClassVar[float]
    e0: ClassVar[float]
    granularity: ClassVar[BlockGranularity] = "tensor"
    scale_gradient: ClassVar[bool] = False
    fit_to: ClassVar[FitTo | None] = None

    @override
    def __init_subclass__(cls, **kwargs: Any) -> None:
        super().__init_subclass__(**kwargs)
        form = cls.standard
        cls.m, cls.e, cls.e0 = float(form.m), float(form.e), float(form.e0)
        cls.max_value = None if math.isinf(form.max_value) else form.max_value

    @property
    @override
    def trained(self) -> tuple[Bits, ...]:
        return ()

    @override
    def bounds(self, name: Bits) -> tuple[float, float]:
        """Return the value twice."""
        value = getattr(self, name)
        return value, value

    @override
    def regularizer(self, name: Bits) -> BitRegularizer:
        return 0.0
