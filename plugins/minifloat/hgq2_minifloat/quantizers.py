"""The Keras side of minifloats: bit variables, block scales, cost, and exact arithmetic."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from typing import Any, TypeVar

import keras
import numpy as np
from typing_extensions import override

from hgq2_core.errors import ConfigError
from hgq2_core.exact.arrays import Arrays
from hgq2_core.ops import Tensor, total, value
from hgq2_core.quantizers.base import Quantizer
from hgq2_core.quantizers.config import Slot
from hgq2_core.quantizers.noise import add_noise, with_noise
from hgq2_core.quantizers.phase import already_fitted, phase
from hgq2_core.quantizers.ranges import Range
from hgq2_core.quantizers.results import Quantized, RangeCheck
from hgq2_minifloat.arithmetic import limits
from hgq2_minifloat.blocks import block_scales, exact_blocks, over_blocks
from hgq2_minifloat.config import ALL_BITS, Block, FitTo, MinifloatBase
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
        self.input_bits: Callable[[], Tensor | None] | None = None
        """The derived bits of one sample of the input, which the layer of an input slot sets."""
        if config.block is not None and self.slot.role not in ("weight", "activation"):
            raise ConfigError(
                f"{self.slot}: block scales weights and the inputs of layers. "
                f"Received: block of the role {self.slot.role!r}. Leave it out here."
            )
        self.random = None
        if config.round_mode == "S_RND_CONV":
            self.random = keras.random.SeedGenerator()

    @override
    def build(self, input_shape: tuple[int | None, ...]) -> None:
        """Add the bit variables.

        Args:
            input_shape: of the values, batch axis included for an activation.
        """
        config = self.config
        self.value_shape = tuple(input_shape[1:] if self.slot.batched else input_shape)
        self.shares = self.sharing(tuple(input_shape))
        rank = len(input_shape)
        if config.block is not None and not -rank <= config.block.axis < rank:
            raise ConfigError(
                f"{self.slot}: no such axis. Received: block.axis={config.block.axis}. "
                f"Allowed: {-rank} to {rank - 1} for shape {tuple(input_shape)}."
            )
        self.m, self.e, self.e0 = (
            self.add_bits(
                name,
                self.shares.bits,
                getattr(config, name),
                config.bounds(name),
                config.regularizer(name),
                name in config.trained,
                self.shares.compact_bits,
            )
            for name in ALL_BITS
        )
        self.noise = add_noise(self, config.noise)
        sharing = self.shares.elements_per_bit(self.value_shape)
        coefficients = {id(variable): coefficient for coefficient, variable in self.costs}
        m, e, e0 = (coefficients.get(id(variable), 0.0) for variable in (self.m, self.e, self.e0))
        self.options = Options(
            self.max_value, config.overflow_gradient, (m, e, e0), sharing**-0.5 if config.scale_gradient else 1.0
        )
        if config.block is not None and self.slot.batched:
            self._check_block(tuple(input_shape), config.block)
        super().build(input_shape)

    def _check_block(self, shape: tuple[int | None, ...], block: Block) -> None:
        axis = block.axis % len(shape)
        if axis == 0 or shape[axis] is None:
            raise ConfigError(
                f"{self.slot}: blocks of activations lie along an axis besides the batch, of static size. "
                f"Received: block.axis={block.axis} for shape {shape}."
            )
        if self.slot.layer and self.input_bits is None:
            raise ConfigError(
                f"{self.slot}: blocks of activations are for the inputs of a layer, which a quantizer in front "
                "brings to a fixed grid. Leave it out here, or use quantize (QQuantize) on the outputs."
            )

    @override
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
            uniform = self.shares.cut(keras.random.uniform(keras.ops.shape(x), seed=self.random))
        quantized = self._counted(self._quantized(self.shares.cut(x), uniform))
        penalty = self.with_regularizers(quantized.penalty)
        return quantized._replace(values=self.shares.joined(quantized.values, x), penalty=penalty)

    def _quantized(self, x: Any, uniform: Tensor | None = None) -> Quantized:
        return Quantized(*backend().quantize(x, self.m, self.e, self.e0, self.options, uniform))

    def _counted(self, quantized: Quantized) -> Quantized:
        return quantized if self.config.counts_sign else quantized._replace(bits=quantized.bits - 1.0)

    def fit_range(self, x: Tensor, fit: FitTo) -> None:
        """Set e0, and e if `fit` says so, to what the values need.

        Over the calls of one `fitting()` context, the range grows to hold the values of them all.
        """
        m, *present = (self._whole(each) for each in (self.m, self.e, self.e0))
        values = keras.ops.convert_to_numpy(self.shares.cut(x)).astype(np.float64)
        e, e0 = fitted(np.abs(values), self.shares.shared_axes, m, present[0], fit, self.config.bounds("e"))
        if already_fitted(self):
            e, e0 = wider((e, e0), (present[0], present[1]))
        self.e.assign(np.clip(e, *self.config.bounds("e")).astype(np.float32))
        self.e0.assign(np.clip(e0, *self.config.bounds("e0")).astype(np.float32))

    @override
    def bits(self, x: Tensor | None = None) -> Tensor:
        """Return 1 + e + m for each element, 0 where m is below 0; the scale of a block counts nothing.

        Integers do not count the sign.
        """
        cost = self.cost_in_call
        bits = self._counted(self._quantized(0.0)).bits if cost is None else cost.bits
        return self.shares.per_element(bits, self.value_shape)

    @override
    def exact(self, arrays: Arrays[A], x: A) -> A:
        formats = np.stack(self.formats(), axis=-1)
        if self.config.block is None:
            return exact_quantize(arrays, x, formats, self.max_value)
        return exact_blocks(
            arrays,
            x,
            self.config.block,
            self.config.format.largest,
            lambda x: exact_quantize(arrays, x, formats, self.max_value),
            self.slot,
        )

    @override
    def own_ebops(self) -> Tensor | None:
        """Return the cost of choosing scales of activations: comparisons within blocks, and selections by exponent."""
        block = self.config.block
        if block is None or not self.slot.batched:
            return None
        bits = keras.ops.expand_dims(self.bits(), 0)
        first = keras.ops.cast(np.arange(bits.shape[block.axis]) % block.size == 0, "float32")
        axis = block.axis % len(bits.shape)
        first = keras.ops.reshape(first, [-1 if n == axis else 1 for n in range(len(bits.shape))])
        least = over_blocks(bits, block, keras.ops.min, padding=float("inf"))
        derived = None if self.input_bits is None else self.input_bits()
        exponents = 1.0 if derived is None else keras.ops.max(derived)
        scales = keras.ops.log(keras.ops.maximum(exponents, 1.0)) / math.log(2.0)
        return total(bits) - total(least * first) + total(bits) * scales

    @override
    def format(self, x: Tensor | None = None) -> Mapping[str, Any]:
        """Return m, e, e0 and the largest value; with blocks, in units of their scales."""
        m, e, e0 = self.formats()
        return {"m": m, "e": e, "e0": e0, "max": limits(m, e, e0, self.max_value).largest}

    @override
    def format_name(self) -> str:
        """Return the standard's name, where all elements have one format and it is a standard."""
        first, *others = np.unique(np.stack(self.formats(), axis=-1).reshape(-1, 3), axis=0).tolist()
        name = "" if others else self.config.name_of(Format(first[0], first[1], first[2], self.max_value))
        return f"{name}, blocks of {self.config.block.size}" if name and self.config.block is not None else name

    @override
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
        return self.shares.spread(self._whole(bits))

    def _whole(self, bits: Tensor) -> np.ndarray:
        values = np.asarray(keras.ops.convert_to_numpy(bits), dtype=np.float64)
        return np.broadcast_to(np.rint(values), self.shares.bits).astype(np.int64)
