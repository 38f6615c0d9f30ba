"""The Keras side of the levels quantizer."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, TypeVar

import keras
import numpy as np
from keras import ops

from acme_quantizers.levels import Levels
from hgq2_core import Quantizer
from hgq2_core.exact.arrays import Arrays

A = TypeVar("A")
Tensor = Any

WIDE = 64
"""Integer bits that hold every value, where only the rounding is wanted."""


def rounded(x: Tensor) -> Tensor:
    """Round half to even, with the gradient of the identity; the sum is exact, for so is the difference."""
    return x + ops.stop_gradient(ops.round(x) - x)


class LevelsQuantizer(Quantizer[Levels]):
    """q = step * round(min(max(x / step, -n), n)), with n rounded too."""

    def build(self, input_shape: tuple[int | None, ...]) -> None:
        """Add n.

        Args:
            input_shape: of the values, batch axis included for an activation.
        """
        config = self.config
        self.value_shape = tuple(size or 1 for size in (input_shape[1:] if self.slot.batched else input_shape))
        shape = self.bit_shape(tuple(input_shape))
        self.n = self.add_bits("n", shape, config.n, (0.0, float(config.n_max)), trainable=config.trainable)
        super().build(input_shape)

    @property
    def step(self) -> float:
        """The distance of two levels, a power of two: multiplying by it rounds nothing."""
        return float(2.0**self.config.step_exponent)

    def quantize(self, x: Tensor, training: bool = False) -> Tensor:
        """Quantize: in range the gradient goes to x, beyond it to n.

        Args:
            x: values, float.
            training: without effect.
        """
        n = ops.cast(rounded(ops.convert_to_tensor(self.n)), x.dtype)
        return rounded(ops.maximum(ops.minimum(x / self.step, n), -n)) * self.step

    def bits(self, x: Tensor | None = None) -> Tensor:
        """Return log2(2n + 1), the bits that tell the levels apart, for each element."""
        bits = ops.log2(2.0 * rounded(ops.convert_to_tensor(self.n)) + 1.0)
        if self.slot.batched:
            bits = ops.squeeze(bits, 0)
        return ops.broadcast_to(bits, self.value_shape)

    def exact(self, arrays: Arrays[A], x: A) -> A:
        """State the arithmetic: the limits are levels themselves, so rounding may as well come first.

        Args:
            arrays: integers, intervals, or hardware.
            x: the values, as an operand of `arrays`.
        """
        fraction = -self.config.step_exponent
        nearest = arrays.quantize(x, 1, WIDE, fraction, "RND_CONV", "SAT_SYM")
        limit = arrays.constant(self.format()["n"] * self.step)
        return arrays.maximum(arrays.minimum(nearest, limit), arrays.negate(limit))

    def format(self, x: Tensor | None = None) -> Mapping[str, Any]:
        """Return n, and the exponent of the step."""
        return {"n": np.rint(keras.ops.convert_to_numpy(self.n)), "step_exponent": self.config.step_exponent}
