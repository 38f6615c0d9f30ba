"""The Keras side of minifloats: bit variables, block scales, cost, and exact arithmetic."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any, TypeVar

import keras
import numpy as np

from hgq2_core.errors import ConfigError, ExactnessError
from hgq2_core.exact.arrays import Arrays
from hgq2_core.ops import Tensor, reshape, value
from hgq2_core.quantizers.base import Quantizer
from hgq2_core.quantizers.config import Slot
from hgq2_core.quantizers.noise import add_noise, with_noise
from hgq2_core.quantizers.phase import already_fitted, phase
from hgq2_core.quantizers.ranges import Range
from hgq2_core.quantizers.results import Quantized, RangeCheck
from hgq2_minifloat.arithmetic import limits
from hgq2_minifloat.blocks import block_scales
from hgq2_minifloat.config import ALL_BITS, FitTo, MinifloatBase
from hgq2_minifloat.exact import exact_quantize
from hgq2_minifloat.fitting import fitted, wider
from hgq2_minifloat.formats import Format
from hgq2_minifloat.ops import Options, backend

A = TypeVar("A")


class MinifloatQuantizer(Quantizer[MinifloatBase]):
    """Every format (m, e, e0), trained or not."""

    def __init__(self, config: MinifloatBase, slot: Slot | None = None, **kwargs: Any) -> None:
        super().__init__(config, slot, **kwargs)
        self.range = Range(fits_data=config.fit_to is not None)
        self.max_value = config.format.max_value
        if config.block is not None and self.slot.role != "weight":
            raise ConfigError(
                f"{self.slot}: block scales weights, whose values are known before they are used. "
                f"Received: block of the role {self.slot.role!r}. Leave it out here."
            )
        self.random = None
        if config.round_mode == "S_RND_CONV":
            self.random = keras.random.SeedGenerator()

    def build(self, input_shape: tuple[int | None, ...]) -> None:
        """Add the bit variables.

        Args:
            input_shape: of the values, batch axis included for an activation.
        """
        config = self.config
        self.value_shape = tuple(input_shape[1:] if self.slot.batched else input_shape)
        self.shared_shape = shape = self.bit_shape(tuple(input_shape))
        self.shared_axes = tuple(axis for axis, size in enumerate(shape) if size == 1 and input_shape[axis] != 1)
        if config.block is not None and not -len(shape) <= config.block.axis < len(shape):
            raise ConfigError(
                f"{self.slot}: no such axis. Received: block.axis={config.block.axis}. "
                f"Allowed: {-len(shape)} to {len(shape) - 1} for shape {tuple(input_shape)}."
            )
        self.m, self.e, self.e0 = (
            self.add_bits(
                name,
                shape,
                getattr(config, name),
                config.bounds(name),
                config.regularizer(name),
                name in config.trained,
            )
            for name in ALL_BITS
        )
        self.noise = add_noise(self, config.noise)
        sharing = math.prod(size or 1 for size in self.value_shape) // math.prod(shape)
        m, e, e0 = (config.regularizer(name) if name in config.trained else 0.0 for name in ALL_BITS)
        self.options = Options(
            self.max_value, config.overflow_gradient, (m, e, e0), sharing**-0.5 if config.scale_gradient else 1.0
        )
        super().build(input_shape)

    def quantize_with_cost(self, x: Tensor, training: bool = False) -> Quantized:
        """Quantize, in units of a scale for each block where the config says so."""
        if phase() == "fit" and self.config.fit_to is not None:
            self.fit_range(x, self.config.fit_to)
        if self.config.block is None:
            quantized = self._quantize(x, training)
        else:
            x = value(x)
            scale = block_scales(x, self.config.block, self.config.format.largest)
            quantized = self._quantize(x / scale, training)
            quantized = quantized._replace(values=quantized.values * scale)
        return quantized._replace(values=with_noise(self.noise, quantized.values, x, training))

    def _quantize(self, x: Tensor, training: bool) -> Quantized:
        uniform = None
        if training and self.random is not None:
            uniform = keras.random.uniform(keras.ops.shape(x), seed=self.random)
        return self._counted(Quantized(*backend().quantize(x, self.m, self.e, self.e0, self.options, uniform)))

    def _counted(self, quantized: Quantized) -> Quantized:
        return quantized if self.config.counts_sign else quantized._replace(bits=quantized.bits - 1.0)

    def fit_range(self, x: Tensor, fit: FitTo) -> None:
        """Set e0, and e if `fit` says so, to what the values need.

        Over the calls of one `fitting()` context, the range grows to hold the values of them all.
        """
        m, *present = self.formats()
        values = keras.ops.convert_to_numpy(x).astype(np.float64)
        e, e0 = fitted(np.abs(values), self.shared_axes, m, present[0], fit, self.config.bounds("e"))
        if already_fitted(self):
            e, e0 = wider((e, e0), (present[0], present[1]))
        self.e.assign(np.clip(e, *self.config.bounds("e")).astype(np.float32))
        self.e0.assign(np.clip(e0, *self.config.bounds("e0")).astype(np.float32))

    def bits(self, x: Tensor | None = None) -> Tensor:
        """Return 1 + e + m for each element, 0 where m is below 0; the scale of a block counts nothing.

        Integers do not count the sign.
        """
        cost = self.cost_in_call
        bits = self._quantize(0.0, False).bits if cost is None else cost.bits
        if self.slot.batched:
            bits = reshape(bits, tuple(bits.shape[1:]))
        shape = tuple(size or 1 for size in self.value_shape)
        return bits if tuple(bits.shape) == shape else keras.ops.broadcast_to(bits, shape)

    def exact(self, arrays: Arrays[A], x: A) -> A:
        """State the arithmetic, see `hgq2_minifloat.exact`."""
        if self.config.block is not None:
            raise ExactnessError(
                f"{self.slot}: the scale of a block is computed from its values, so only constants have one."
            )
        return exact_quantize(arrays, x, np.stack(self.formats(), axis=-1), self.max_value)

    def format(self, x: Tensor | None = None) -> Mapping[str, Any]:
        """Return m, e, e0 and the largest value; with blocks, in units of their scales."""
        m, e, e0 = self.formats()
        return {"m": m, "e": e, "e0": e0, "max": limits(m, e, e0, self.max_value).largest}

    def format_name(self) -> str:
        """Return the standard's name, where all elements have one format and it is a standard."""
        first, *others = np.unique(np.stack(self.formats(), axis=-1).reshape(-1, 3), axis=0).tolist()
        name = "" if others else self.config.name_of(Format(first[0], first[1], first[2], self.max_value))
        return f"{name}, blocks of {self.config.block.size}" if name and self.config.block is not None else name

    def check_range(self, x: np.ndarray) -> RangeCheck | None:
        """Round the values with the largest step, and hold them against the largest value."""
        if self.config.block is not None:
            return None
        m, e, e0 = self.formats()
        bounds = limits(m, e, e0, self.max_value)
        step = np.ldexp(1.0, np.maximum(np.frexp(bounds.largest)[1] - 1, bounds.emin) - m)
        rounded = np.rint(np.abs(x.astype(np.float64)) / step) * step
        largest = bounds.largest.astype(np.float64)
        return RangeCheck(rounded > largest, -largest, largest)

    def formats(self) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """Return m, e and e0 as integers."""
        return self.rounded(self.m), self.rounded(self.e), self.rounded(self.e0)

    def rounded(self, bits: Tensor) -> np.ndarray:
        """Return a bit variable as integers."""
        values = np.asarray(keras.ops.convert_to_numpy(bits), dtype=np.float64)
        return np.broadcast_to(np.rint(values), self.shared_shape).astype(np.int64)
