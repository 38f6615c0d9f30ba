"""The Keras side of KBI and KIF: bit variables, range tracking, cost, and exact arithmetic."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any, TypeAlias, TypeVar

import keras
import numpy as np

from hgq2_core.errors import ConfigError, ExactnessError
from hgq2_core.exact.arrays import Arrays
from hgq2_core.exact.integers import to_float
from hgq2_core.exact.rounding import limits
from hgq2_core.ops import assign, reshape
from hgq2_core.quantizers.base import Quantized, Quantizer, RangeCheck
from hgq2_core.quantizers.config import Slot
from hgq2_core.quantizers.phase import meets_again, mode
from hgq2_fixed_point.arithmetic import quantize
from hgq2_fixed_point.config import BITS_LIMIT, KBI, KIF, FitTo, FixedPoint
from hgq2_fixed_point.modes import DETERMINISTIC
from hgq2_fixed_point.ops import Options, backend

A = TypeVar("A")
C = TypeVar("C", bound=FixedPoint)
Tensor = Any
Seed: TypeAlias = keras.random.SeedGenerator

WRAPPING = ("WRAP", "WRAP_SM")
COUNTS_SIGN = ("SAT", "SAT_ZERO")
MIN_EXPONENT, MAX_EXPONENT = -126, 127
POWERS = np.ldexp(np.float32(1.0), np.arange(MIN_EXPONENT, MAX_EXPONENT + 1))


def _exp2(n: Tensor) -> Tensor:
    # Looked up: not every backend's own power is exact.
    place = keras.ops.clip(n, MIN_EXPONENT, MAX_EXPONENT) - MIN_EXPONENT
    return keras.ops.take(keras.ops.convert_to_tensor(POWERS), keras.ops.cast(place, "int32"))


class FixedPointQuantizer(Quantizer[C]):
    """What both parameterizations share.

    Where i comes from: a variable that gradients move, in the saturating modes; state that follows the range of the
    values, for activations that wrap; the present values themselves, for weights, biases and tables that wrap.
    """

    def __init__(self, config: C, slot: Slot | None = None, **kwargs: Any) -> None:
        super().__init__(config, slot, **kwargs)
        wraps = config.overflow_mode in WRAPPING
        self.tracks_range = wraps and self.slot.role == "activation"
        self.follows_values = wraps and not self.tracks_range
        self.counted_sign = float(config.k) if config.overflow_mode in COUNTS_SIGN else 0.0
        self.fits_range = config.fit_to is not None
        if self.follows_values and self.fits_range:
            raise ConfigError(
                f"{self.slot}: fit_to has nothing to set: i of a {self.slot.role} with overflow_mode="
                f"{config.overflow_mode!r} is what the present values need. Remove fit_to, or use a saturating mode."
            )
        # Inside its own range a value never wraps; beyond the bound on i it saturates.
        self.overflow_mode = "SAT" if self.follows_values else config.overflow_mode
        # Without a seed of its own it takes one from Python's generator, which a model's config has seeded by then.
        self.seed_generator = keras.random.SeedGenerator() if config.round_mode in DETERMINISTIC else None

    def build(self, input_shape: tuple[int | None, ...]) -> None:
        """Add the bit variables.

        Args:
            input_shape: of the values, batch axis included for an activation.
        """
        config = self.config
        self.value_shape = tuple(input_shape[1:] if self.slot.batched else input_shape)
        self.shared_shape = shape = self.bit_shape(tuple(input_shape))
        self.shared_axes = tuple(axis for axis, size in enumerate(shape) if size == 1 and input_shape[axis] != 1)
        self.i: Any = None
        if not self.follows_values:
            trained = config.trainable and not self.tracks_range
            self.i = self.add_bits("i", shape, config.i, config.i_bounds, config.i_regularizer, trained)
        self.sign: Any = None
        if self.tracks_range:
            self.sign = self.add_bits("k", shape, config.k, (0, 1), trainable=False)
        self.noise = None
        if config.noise < 1.0:
            self.noise = self.add_weight(
                name="noise",
                shape=(),
                initializer=keras.initializers.Constant(config.noise),
                dtype="float32",
                trainable=False,
                autocast=False,
            )
        sharing = math.prod(size or 1 for size in self.value_shape) // math.prod(shape)
        coefficients = {id(variable): coefficient for coefficient, variable in self.costs}
        self.options = Options(
            config.round_mode,
            config.overflow_mode,
            fixed_width=self.step_follows_range,
            signed=self.tracks_range or bool(config.k),  # an observed range takes a sign when it meets one
            axes=self.shared_axes,
            bounds=config.i_bounds,
            sign_bits=self.counted_sign,
            regularizers=(coefficients.get(id(self.i), 0.0), coefficients.get(id(self.precision), 0.0)),
            gradient_scale=sharing**-0.5 if config.scale_gradient else 1.0,
        )
        super().build(input_shape)

    @property
    def k(self) -> Tensor:
        """Whether a sign is present, 1 or 0."""
        return float(self.config.k) if self.sign is None else self.sign

    def quantize_with_cost(self, x: Tensor, training: bool = False) -> Quantized:
        """Quantize; an activation that wraps is only rounded in training and calibration, and its range follows."""
        present = mode()
        if present == "fit" and self.config.fit_to is not None:
            self.fit_range(x, self.config.fit_to)
        calibrating = present == "calibrate"
        seed = self.seed_generator if training and not calibrating else None
        if self.tracks_range and (training or calibrating):
            q, bits, penalty = self.quantize_observed(x, 0.0 if calibrating else self.config.i_decay, seed)
        elif self.follows_values:
            q, bits, penalty = backend().quantize_dynamic(x, self.precision, self.options, seed=seed)
        else:
            q, bits, penalty = backend().quantize(x, self.k, self.i, self.precision, self.options, seed=seed)
        values = q if self.noise is None or not training else self.noise * q + (1.0 - self.noise) * x
        return Quantized(values, bits, penalty)

    def quantize_observed(self, x: Tensor, decay: float, seed: Seed | None) -> tuple[Tensor, Tensor, Tensor]:
        """Update i and k by the values, and quantize with them: i sinks by `decay`, and grows at once to hold all."""
        q, bits, penalty, i, k = backend().quantize_observed(
            x, self.sign, self.i, self.precision, self.options, decay, seed=seed
        )
        assign(self.i, i)
        assign(self.sign, k)
        return q, bits, penalty

    def fit_range(self, x: Tensor, fit: FitTo) -> None:
        """Set i to what these values need, and those before in the same pass, but for the largest if so told."""
        values = keras.ops.convert_to_numpy(x)
        most = np.percentile(np.abs(values), fit.percentile, axis=self.shared_axes, keepdims=True)
        needed = keras.ops.clip(self.needed_bits(np.clip(values, -most, most)) + fit.margin, *self.config.i_bounds)
        self.i.assign(keras.ops.maximum(needed, self.i) if meets_again(self) else needed)

    def bits(self, x: Tensor | None = None) -> Tensor:
        """Return max(0, b), or max(0, i + f), plus the sign where the range saturates at its full width."""
        bits = self.step_cache.bits
        return self.per_element(self.counted(x) if bits is None else bits)

    def counted(self, x: Tensor | None) -> Tensor:
        """Count the bits that EBOPs count, of the shape of the bit variables."""
        raise NotImplementedError

    def integer_bits(self, x: Tensor) -> Tensor:
        """Return i: the variable, or what the present values need, within bounds."""
        return self.needed_bits(x) if self.i is None else self.i

    def needed_bits(self, x: Tensor) -> Tensor:
        """Return the smallest i that holds the values after rounding, within bounds."""
        return backend().min_integer_bits(x, self.precision, self.options)

    @property
    def precision(self) -> keras.Variable:
        """The variable beside i: f, or b."""
        raise NotImplementedError

    def per_element(self, bits: Tensor) -> Tensor:
        """Spread bits over the elements of one sample."""
        if self.slot.batched:
            bits = reshape(bits, tuple(bits.shape[1:]))
        shape = tuple(size or 1 for size in self.value_shape)
        return bits if tuple(bits.shape) == shape else keras.ops.broadcast_to(bits, shape)

    def reset_range(self) -> None:
        """Set i to its lower bound, and k to 0; sign-magnitude wrapping is defined with a sign only."""
        signed = self.config.overflow_mode == "WRAP_SM"
        self.i.assign(keras.ops.full(self.shared_shape, self.config.i_bounds[0]))
        self.sign.assign(keras.ops.full(self.shared_shape, float(signed)))

    def widen_range(self, margin: int) -> None:
        """Add `margin` to i, within its bounds."""
        self.i.assign(keras.ops.clip(self.i + float(margin), *self.config.i_bounds))

    def exact(self, arrays: Arrays[A], x: A) -> A:
        """State the arithmetic: round to 2^-f, then bring into the range of (k, i, f)."""
        bits = self.format()
        round_mode = self.config.round_mode
        twin = DETERMINISTIC.get(round_mode, round_mode)
        return arrays.quantize(x, bits["k"], bits["i"], bits["f"], twin, self.overflow_mode)

    def grid(self, most: int) -> np.ndarray:
        """Return the multiples of the finest step within the widest range."""
        bits = self.format()
        least, highest, _ = limits(bits["k"], bits["i"], bits["f"], self.overflow_mode)
        low, high = float(to_float(least).min()), float(to_float(highest).max())
        live = bits["k"] + bits["i"] + bits["f"] > 0
        step = math.ldexp(1.0, -int(bits["f"].max(where=live, initial=-BITS_LIMIT)))
        points = round((high - low) / step) + 1
        if points > most:
            raise ExactnessError(
                f"{self.slot}: a lookup table may have {most} entries. Received: {points}, from {low:g} to {high:g} in "
                f"steps of {step:g}. Give it fewer integer or fraction bits."
            )
        return low + step * np.arange(points, dtype=np.float64)

    def grid_part(self, first: Tensor, size: int) -> tuple[Tensor, Tensor] | None:
        """Return some of the multiples of the finest step within the widest range, as tensors."""
        if self.i is None:
            return None
        ops = keras.ops
        i = backend().round_bits(self.integer_bits(None))
        f = backend().round_bits(self.precision)
        f = f - i if self.step_follows_range else f
        k = ops.convert_to_tensor(self.k, dtype="float32") + ops.zeros_like(i)
        live = k + i + f > 0
        finest = ops.max(ops.where(live, f, -float(BITS_LIMIT)))
        step = _exp2(-finest)
        largest = ops.where(live, _exp2(i) - _exp2(-f), 0.0)
        least = largest if self.overflow_mode == "SAT_SYM" else _exp2(i)
        low = ops.max(ops.where(live, k * least, 0.0))
        count = (ops.max(largest) + low) / step + 1.0
        indices = ops.minimum(first + ops.arange(size, dtype="float32"), count - 1.0)
        return step * indices - low, count

    def check_range(self, x: np.ndarray) -> RangeCheck:
        """Round the values as `quantize` does, and hold them against the smallest and the largest of the format."""
        bits = self.format(keras.ops.convert_to_tensor(x))
        rounded = quantize(x.astype(np.float64), 1, BITS_LIMIT, bits["f"], self.config.round_mode, "SAT")
        least, most, _ = limits(bits["k"], bits["i"], bits["f"], self.overflow_mode)
        low, high = to_float(least), to_float(most)
        return RangeCheck((rounded < low) | (rounded > high), low, high)

    def rounded(self, bits: Tensor) -> np.ndarray:
        """Return a bit variable as integers."""
        values = np.asarray(keras.ops.convert_to_numpy(bits), dtype=np.float64)
        return np.broadcast_to(np.rint(values), self.shared_shape).astype(np.int64)


class KBIQuantizer(FixedPointQuantizer[KBI]):
    """Fixed point with width b and integer bits i; f = b - i."""

    step_follows_range = True

    def build(self, input_shape: tuple[int | None, ...]) -> None:
        """Add b, then what the range needs."""
        shape, config = self.bit_shape(tuple(input_shape)), self.config
        self.b = self.add_bits("b", shape, config.b, config.b_bounds, config.b_regularizer, config.trainable)
        super().build(input_shape)

    @property
    def precision(self) -> keras.Variable:
        """Return b."""
        return self.b

    def counted(self, x: Tensor | None) -> Tensor:
        """Return max(0, b), plus the sign where it counts."""
        return backend().clipped_bits(self.b, self.counted_sign)

    def format(self, x: Tensor | None = None) -> Mapping[str, Any]:
        """Return k, i and f."""
        i = self.rounded(self.integer_bits(x))
        return {"k": self.rounded(self.k), "i": i, "f": self.rounded(self.b) - i}


class KIFQuantizer(FixedPointQuantizer[KIF]):
    """Fixed point with integer bits i and fraction bits f."""

    def build(self, input_shape: tuple[int | None, ...]) -> None:
        """Add f, then what the range needs."""
        shape, config = self.bit_shape(tuple(input_shape)), self.config
        self.f = self.add_bits("f", shape, config.f, config.f_bounds, config.f_regularizer, config.trainable)
        super().build(input_shape)

    @property
    def precision(self) -> keras.Variable:
        """Return f."""
        return self.f

    def counted(self, x: Tensor | None) -> Tensor:
        """Return max(0, i + f), plus the sign where it counts."""
        return backend().clipped_bits(self.f, backend().round_bits(self.integer_bits(x)) + self.counted_sign)

    def format(self, x: Tensor | None = None) -> Mapping[str, Any]:
        """Return k, i and f."""
        return {"k": self.rounded(self.k), "i": self.rounded(self.integer_bits(x)), "f": self.rounded(self.f)}
