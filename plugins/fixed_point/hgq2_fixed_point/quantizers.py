"""The Keras side of KBI and KIF: bit variables, cost, and exact arithmetic."""

from __future__ import annotations

import math
from abc import abstractmethod
from collections.abc import Mapping
from typing import Any, TypeVar

import keras
import numpy as np
from typing_extensions import override

from hgq2_core.errors import ExactnessError
from hgq2_core.exact.arrays import Arrays
from hgq2_core.exact.integers import to_float
from hgq2_core.exact.rounding import limits
from hgq2_core.ops import Tensor
from hgq2_core.quantizers.base import Quantizer
from hgq2_core.quantizers.config import Slot
from hgq2_core.quantizers.noise import add_noise, with_noise
from hgq2_core.quantizers.phase import phase
from hgq2_core.quantizers.results import Quantized, RangeCheck, Span
from hgq2_fixed_point.arithmetic import quantize
from hgq2_fixed_point.config import BITS_LIMIT, KBI, KIF, FixedPoint
from hgq2_fixed_point.modes import DETERMINISTIC
from hgq2_fixed_point.ops import Options, backend
from hgq2_fixed_point.ranges import DynamicRange, FixedPointRange, range_of
from hgq2_fixed_point.trimming import needed_bits

A = TypeVar("A")
C = TypeVar("C", bound=FixedPoint)

COUNTS_SIGN = ("SAT", "SAT_ZERO")
MIN_EXPONENT, MAX_EXPONENT = -126, 127
POWERS = np.ldexp(np.float32(1.0), np.arange(MIN_EXPONENT, MAX_EXPONENT + 1))


def _numpy(values: Any) -> np.ndarray:
    return np.asarray(keras.ops.convert_to_numpy(values))


def _exp2(n: Tensor) -> Tensor:
    # Looked up: not every backend's own power is exact.
    place = keras.ops.clip(n, MIN_EXPONENT, MAX_EXPONENT) - MIN_EXPONENT
    return keras.ops.take(keras.ops.convert_to_tensor(POWERS), keras.ops.cast(place, "int32"))


class FixedPointQuantizer(Quantizer[C]):
    """Base of both parameterizations: owns the precision, f or b; its range has the integer bits and the sign."""

    range: FixedPointRange

    def __init__(self, config: C, slot: Slot | None = None, **kwargs: Any) -> None:
        super().__init__(config, slot, **kwargs)
        self.range = range_of(config, self.slot)
        self.counted_sign = float(config.k) if config.overflow_mode in COUNTS_SIGN else 0.0
        # Without a seed of its own it takes one from Python's generator, which a model's config has seeded by then.
        self.seed_generator = keras.random.SeedGenerator() if config.round_mode in DETERMINISTIC else None

    @override
    def build(self, input_shape: tuple[int | None, ...]) -> None:
        """Add the bit variables.

        Args:
            input_shape: of the values, batch axis included for an activation.
        """
        config = self.config
        self.value_shape = tuple(input_shape[1:] if self.slot.batched else input_shape)
        self.shares = self.sharing(tuple(input_shape))
        self.range.build(self, self.shares)
        self.i = self.range.i
        self.noise = add_noise(self, config.noise)
        sharing = self.shares.elements_per_bit(self.value_shape)
        coefficients = {id(variable): coefficient for coefficient, variable in self.costs}
        self.options = Options(
            config.round_mode,
            config.overflow_mode,
            fixed_width=self.range.fixed_width,
            signed=self.range.signed,
            axes=self.shares.shared_axes,
            bounds=config.i_bounds,
            sign_bits=self.counted_sign,
            regularizers=(coefficients.get(id(self.i), 0.0), coefficients.get(id(self.precision), 0.0)),
            gradient_scale=sharing**-0.5 if config.scale_gradient else 1.0,
        )
        super().build(input_shape)

    @property
    def k(self) -> Any:
        """Whether there is a sign, 1 or 0: a variable if the range is observed, else a number."""
        return self.range.k

    @override
    def quantize_with_cost(self, x: Tensor, training: bool = False) -> Quantized:
        """Return the quantized values with their bits and penalty; in training, mixed with `x` by `noise`."""
        present, fit = phase(), self.config.fit_to
        cut = self.shares.cut(x)
        if present == "fit" and fit is not None:
            self.range.fit(fit, cut, self.precision, self.options)
        seed = self.seed_generator if training and present != "calibrate" else None
        q, bits, penalty = self.range.quantize(cut, self.precision, self.options, training=training, seed=seed)
        q = self.shares.joined(q, x)
        return Quantized(with_noise(self.noise, q, x, training), bits, self.with_regularizers(penalty))

    @override
    def bits(self, x: Tensor | None = None) -> Tensor:
        """Return max(0, b), or max(0, i + f), plus the sign where the range saturates at its full width."""
        cost = self.cost_in_call
        return self.per_element(self.counted(x) if cost is None else cost.bits)

    @abstractmethod
    def counted(self, x: Tensor | None) -> Tensor:
        """Count the bits that EBOPs count, of the shape of the bit variables."""

    def integer_bits(self, x: Tensor) -> Tensor:
        """Return i: the variable, or of a dynamic range what the values need, within bounds."""
        return self.range.integer_bits(None if x is None else self.shares.cut(x), self.precision, self.options)

    @property
    @abstractmethod
    def precision(self) -> keras.Variable:
        """The variable beside i: f, or b."""

    def per_element(self, bits: Tensor) -> Tensor:
        """Spread bits over the elements of one sample."""
        return self.shares.per_element(bits, self.value_shape)

    @override
    def exact(self, arrays: Arrays[A], x: A) -> A:
        """State the arithmetic: round to 2^-f, then bring into the range of (k, i, f)."""
        bits = self.format()
        round_mode = self.config.round_mode
        deterministic = DETERMINISTIC.get(round_mode, round_mode)
        return arrays.quantize(x, bits["k"], bits["i"], bits["f"], deterministic, self.range.overflow_mode)

    @override
    def grid(self, most: int) -> np.ndarray:
        """Return the multiples of the finest step within the widest range."""
        bits = self.format()
        minimum, maximum, _ = limits(bits["k"], bits["i"], bits["f"], self.range.overflow_mode)
        low, high = float(to_float(minimum).min()), float(to_float(maximum).max())
        nonempty = bits["k"] + bits["i"] + bits["f"] > 0
        step = math.ldexp(1.0, -int(bits["f"].max(where=nonempty, initial=-BITS_LIMIT)))
        points = round((high - low) / step) + 1
        if points > most:
            raise ExactnessError(
                f"{self.slot}: a lookup table may have {most} entries. Received: {points}, from {low:g} to {high:g} in "
                f"steps of {step:g}. Give it fewer integer or fraction bits."
            )
        return low + step * np.arange(points, dtype=np.float64)

    @override
    def span(self, x: Tensor | None = None) -> Span:
        """Return the largest magnitude and the step of each element's format."""
        f, largest, below = self._reach(x)
        reach = keras.ops.maximum(largest, below)
        step = keras.ops.where(reach > 0, _exp2(-f), math.inf)
        return Span(*(keras.ops.stop_gradient(self.per_element(each)) for each in (reach, step)))

    @property
    @override
    def shrinks(self) -> bool:
        """Whether values are rounded towards 0, and saturate."""
        return self.config.round_mode == "TRN_ZERO" and self.config.overflow_mode == "SAT_SYM"

    def _reach(self, x: Tensor | None) -> tuple[Tensor, Tensor, Tensor]:
        """Return, of the shape of the bit variables, f, the largest value, and the largest magnitude below 0.

        Where nothing is left, both are 0, and f is the lowest.
        """
        ops = keras.ops
        i = backend().round_bits(self.integer_bits(x))
        f = backend().round_bits(self.precision)
        f = f - i if self.range.fixed_width else f
        k = ops.convert_to_tensor(self.k, dtype="float32") + ops.zeros_like(i)
        nonempty = k + i + f > 0
        largest = ops.where(nonempty, _exp2(i) - _exp2(-f), 0.0)
        below = largest if self.range.overflow_mode == "SAT_SYM" else ops.where(nonempty, _exp2(i), 0.0)
        return ops.where(nonempty, f, -float(BITS_LIMIT)), largest, k * below

    @property
    @override
    def uniform_grid(self) -> bool:
        """True: all multiples of one step."""
        return True

    @override
    def grid_part(self, first: Tensor, size: int) -> tuple[Tensor, Tensor] | None:
        """Return some of the multiples of the finest step within the widest range, as tensors."""
        if isinstance(self.range, DynamicRange):
            return None
        ops = keras.ops
        f, largest, below = self._reach(None)
        step = _exp2(-ops.max(f))
        low = -ops.max(below)
        count = (ops.max(largest) - low) / step + 1.0
        indices = ops.minimum(first + ops.arange(size, dtype="float32"), count - 1.0)
        return low + step * indices, count

    @override
    def check_range(self, x: np.ndarray) -> RangeCheck:
        """Round the values as `quantize` does, and hold them against the smallest and the largest of the format."""
        bits = self.format(keras.ops.convert_to_tensor(x))
        rounded = quantize(x.astype(np.float64), 1, BITS_LIMIT, bits["f"], self.config.round_mode, "SAT")
        minimum, maximum = map(to_float, limits(bits["k"], bits["i"], bits["f"], self.range.overflow_mode)[:2])
        return RangeCheck((rounded < minimum) | (rounded > maximum), minimum, maximum)

    @override
    def trim(self, x: Tensor) -> None:
        """Leave the bits from the highest to the lowest that is set in the values which share them.

        Where that would change a value, as it can where i follows the values, the bits stay.
        """
        trained = [each for each in (self.precision, self.i) if each is not None and each.trainable]
        if not self.precision.trainable:
            return
        before, present = _numpy(self.quantize(x)), [_numpy(each) for each in trained]
        needed_i, needed_f = needed_bits(_numpy(self.shares.cut(before)), self.options.axes)
        i = needed_i
        if self.i is not None:
            lower = np.isfinite(needed_i) & self.i.trainable
            i = np.rint(_numpy(self.i))
            i = np.where(lower, np.minimum(i, needed_i), i)
        needed = [i + needed_f if self.range.fixed_width else needed_f, i]
        for variable, old, new in zip(trained, present, needed, strict=False):
            variable.assign(variable.constraint(keras.ops.convert_to_tensor(np.minimum(np.rint(old), new), "float32")))
        changed = _numpy(self.shares.cut(before != _numpy(self.quantize(x)))).any(self.options.axes, keepdims=True)
        for variable, old in zip(trained, present, strict=True):
            variable.assign(np.where(changed, old, _numpy(variable)))

    def rounded(self, bits: Tensor) -> np.ndarray:
        """Return a bit variable as integers."""
        values = np.asarray(keras.ops.convert_to_numpy(bits), dtype=np.float64)
        return self.shares.spread(np.broadcast_to(np.rint(values), self.shares.bits)).astype(np.int64)


class KBIQuantizer(FixedPointQuantizer[KBI]):
    """Fixed point with width b and integer bits i; f = b - i."""

    @override
    def build(self, input_shape: tuple[int | None, ...]) -> None:
        """Add b, then what the range needs."""
        sharing, config = self.sharing(tuple(input_shape)), self.config
        trained, shape = config.trains("b"), sharing.bits
        self.b = self.add_bits(
            "b", shape, config.b, config.b_bounds, config.b_regularizer, trained, sharing.compact_bits
        )
        super().build(input_shape)

    @property
    @override
    def precision(self) -> keras.Variable:
        return self.b

    @override
    def counted(self, x: Tensor | None) -> Tensor:
        """Return max(0, b), plus the sign where it counts."""
        return backend().clipped_bits(self.b, self.counted_sign)

    @override
    def format(self, x: Tensor | None = None) -> Mapping[str, Any]:
        """Return k, i and f."""
        i = self.rounded(self.integer_bits(x))
        return {"k": self.rounded(self.k), "i": i, "f": self.rounded(self.b) - i}


class KIFQuantizer(FixedPointQuantizer[KIF]):
    """Fixed point with integer bits i and fraction bits f."""

    @override
    def build(self, input_shape: tuple[int | None, ...]) -> None:
        """Add f, then what the range needs."""
        sharing, config = self.sharing(tuple(input_shape)), self.config
        trained, shape = config.trains("f"), sharing.bits
        self.f = self.add_bits(
            "f", shape, config.f, config.f_bounds, config.f_regularizer, trained, sharing.compact_bits
        )
        super().build(input_shape)

    @property
    @override
    def precision(self) -> keras.Variable:
        return self.f

    @override
    def counted(self, x: Tensor | None) -> Tensor:
        """Return max(0, i + f), plus the sign where it counts."""
        return backend().clipped_bits(self.f, backend().round_bits(self.integer_bits(x)) + self.counted_sign)

    @override
    def format(self, x: Tensor | None = None) -> Mapping[str, Any]:
        """Return k, i and f."""
        return {"k": self.rounded(self.k), "i": self.rounded(self.integer_bits(x)), "f": self.rounded(self.f)}
