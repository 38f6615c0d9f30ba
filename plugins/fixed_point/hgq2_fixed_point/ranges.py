"""The ranges of fixed-point formats: where the integer bits come from (docs/numerics.md#3)."""

from __future__ import annotations

from abc import ABC, abstractmethod
from typing import Any, TypeAlias

import keras
import numpy as np
from typing_extensions import override

from hgq2_core.errors import ConfigError
from hgq2_core.ops import Tensor, assign
from hgq2_core.quantizers import ranges
from hgq2_core.quantizers.base import Quantizer
from hgq2_core.quantizers.config import Slot
from hgq2_core.quantizers.granularity import Sharing
from hgq2_core.quantizers.phase import already_fitted, phase
from hgq2_fixed_point.config import FitTo, FixedPoint
from hgq2_fixed_point.modes import OverflowMode
from hgq2_fixed_point.ops import Options, backend

Seed: TypeAlias = keras.random.SeedGenerator

WRAPPING = ("WRAP", "WRAP_SM")


def range_of(config: FixedPoint, slot: Slot) -> FixedPointRange:
    """Return the range of a quantizer: learned in the saturating modes; else observed or dynamic, by the slot's role.

    Args:
        config: of the quantizer.
        slot: where the quantizer sits.

    Raises:
        ConfigError: a range that no gradient moves, with `trainable` naming its field, or a dynamic one with `fit_to`.
    """
    if config.overflow_mode not in WRAPPING:
        return LearnedRange(config)
    if not isinstance(config.trainable, bool) and "i" in config.trainable:
        raise ConfigError(
            f"{slot}: trainable names i, which follows the values where they wrap, and no gradient. Received: "
            f"trainable={list(config.trainable)}, overflow_mode={config.overflow_mode!r}. Leave i out, or use a "
            "saturating mode."
        )
    if slot.role == "activation":
        return ObservedRange(config)
    if config.fit_to is not None:
        raise ConfigError(
            f"{slot}: fit_to has nothing to set: i of a {slot.role} with overflow_mode="
            f"{config.overflow_mode!r} is what the present values need. Remove fit_to, or use a saturating mode."
        )
    return DynamicRange(config)


class FixedPointRange(ranges.Range, ABC):
    """The integer bits and the sign of a fixed-point format, and quantization with them.

    Throughout, `precision` is f, or b with `options.fixed_width`.

    Args:
        config: of the quantizer.
    """

    def __init__(self, config: FixedPoint) -> None:
        super().__init__(fixed_width=config.fixed_width, fits_data=config.fit_to is not None)
        self.config = config
        self.i: Any = None
        """The variable of the integer bits, where there is one."""
        self.k: Any = float(config.k)
        """Whether there is a sign, 1 or 0: a number, or a variable."""
        self.signed = bool(config.k)
        """Whether there can be a sign."""
        self.overflow_mode: OverflowMode = config.overflow_mode
        """What happens in inference to values out of range."""

    @abstractmethod
    def build(self, quantizer: Quantizer[Any], sharing: Sharing) -> None:
        """Add the variables to the quantizer.

        Args:
            quantizer: the owner, as a Keras layer.
            sharing: of its bit variables.
        """

    @abstractmethod
    def quantize(
        self, x: Tensor, precision: Tensor, options: Options, *, training: bool, seed: Seed | None
    ) -> tuple[Tensor, Tensor, Tensor]:
        """Quantize.

        Args:
            x: values.
            precision: f or b.
            options: see `Options`.
            training: whether this is a training step.
            seed: for stochastic modes.

        Returns:
            The quantized values, the bits that EBOPs count, and the penalty, see `Backend`.
        """

    def integer_bits(self, x: Tensor, precision: Tensor, options: Options) -> Tensor:
        """Return i, within its bounds.

        Args:
            x: the present values; used by a dynamic range only.
            precision: f or b.
            options: see `Options`.
        """
        return self.i

    def fit(self, fit: FitTo, x: Tensor, precision: Tensor, options: Options) -> None:
        """Set i to the smallest that holds the values, clipped at the percentile of `fit_to`.

        Over the calls of one `fitting()` context, i becomes the largest that any of them needs.

        Args:
            fit: what must fit.
            x: values.
            precision: f or b.
            options: see `Options`.
        """
        values = keras.ops.convert_to_numpy(x)
        largest = np.percentile(np.abs(values), fit.percentile, axis=options.axes, keepdims=True)
        i = backend().min_integer_bits(np.clip(values, -largest, largest), precision, options) + fit.margin
        i = keras.ops.clip(i, *self.config.i_bounds)
        self.i.assign(keras.ops.maximum(i, self.i) if already_fitted(self) else i)


class LearnedRange(FixedPointRange):
    """i is a variable that gradients move; values out of range saturate."""

    @override
    def build(self, quantizer: Quantizer[Any], sharing: Sharing) -> None:
        config = self.config
        self.i = quantizer.add_bits(
            "i", sharing.bits, config.i, config.i_bounds, config.i_regularizer, config.trains("i"), sharing.compact_bits
        )

    @override
    def quantize(
        self, x: Tensor, precision: Tensor, options: Options, *, training: bool, seed: Seed | None
    ) -> tuple[Tensor, Tensor, Tensor]:
        """Quantize with the present i."""
        return backend().quantize(x, self.k, self.i, precision, options, seed=seed)


class ObservedRange(FixedPointRange, ranges.ObservedRange):
    """i and k are state: updated by the values in training and calibration, fixed in inference, where values wrap."""

    def __init__(self, config: FixedPoint) -> None:
        super().__init__(config)
        self.signed = True  # k becomes 1 with the first negative value

    @override
    def build(self, quantizer: Quantizer[Any], sharing: Sharing) -> None:
        """Add i and k."""
        config = self.config
        self.i = quantizer.add_bits(
            "i", sharing.bits, config.i, config.i_bounds, trainable=False, compact_shape=sharing.compact_bits
        )
        self.k = quantizer.add_bits("k", sharing.bits, config.k, (0, 1), trainable=False)

    @override
    def quantize(
        self, x: Tensor, precision: Tensor, options: Options, *, training: bool, seed: Seed | None
    ) -> tuple[Tensor, Tensor, Tensor]:
        """Quantize; in training and calibration update i and k first, and round without wrapping.

        i grows at once to hold all values; in training it sinks by `i_decay` where they need less.
        """
        calibrating = phase() == "calibrate"
        if not (training or calibrating):
            return backend().quantize(x, self.k, self.i, precision, options, seed=seed)
        decay = 0.0 if calibrating else self.config.i_decay
        q, bits, penalty, i, k = backend().quantize_observed(x, self.k, self.i, precision, options, decay, seed=seed)
        assign(self.i, i)
        assign(self.k, k)
        return q, bits, penalty

    @override
    def reset(self) -> None:
        """Set i to its lower bound, and k to 0; to 1 for WRAP_SM, which is defined with a sign only."""
        self.i.assign(keras.ops.full(self.i.shape, self.config.i_bounds[0]))
        self.k.assign(keras.ops.full(self.k.shape, float(self.config.overflow_mode == "WRAP_SM")))

    @override
    def widen(self, margin: int) -> None:
        """Add bits to i, within its bounds."""
        self.i.assign(keras.ops.clip(self.i + float(margin), *self.config.i_bounds))


class DynamicRange(FixedPointRange, ranges.DynamicRange):
    """i is the smallest that holds the present values, so none wraps; at the upper bound on i they saturate."""

    def __init__(self, config: FixedPoint) -> None:
        super().__init__(config)
        self.overflow_mode = "SAT"

    @override
    def build(self, quantizer: Quantizer[Any], sharing: Sharing) -> None:
        """Add nothing: there is no state."""

    @override
    def quantize(
        self, x: Tensor, precision: Tensor, options: Options, *, training: bool, seed: Seed | None
    ) -> tuple[Tensor, Tensor, Tensor]:
        """Quantize with the i that the values need."""
        return backend().quantize_dynamic(x, precision, options, seed=seed)

    @override
    def integer_bits(self, x: Tensor, precision: Tensor, options: Options) -> Tensor:
        """Return the smallest i that holds the values after rounding, within bounds."""
        return backend().min_integer_bits(x, precision, options)
