"""The Keras side of binary, ternary, power-of-two, and no quantization: no state, on every backend.

Each states its values by comparisons alone, once for tensors and once for exact arithmetic.
"""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Mapping
from typing import Any, TypeVar

import numpy as np
from keras import ops

from hgq2_core.exact.arrays import Arrays
from hgq2_core.ops import Tensor
from hgq2_core.ops import value as tensor_of
from hgq2_core.quantizers.base import Quantizer
from hgq2_core.quantizers.pass_through import PassThrough
from hgq2_fixed_point.discrete_config import Binary, DiscreteConfig, PowerOfTwo, Ternary

A = TypeVar("A")
C = TypeVar("C", bound=DiscreteConfig)


class DiscreteQuantizer(Quantizer[C]):
    """What they share: as many bits for every element, and the gradient of a clipped identity.

    The surrogate gradient is 1 up to the largest value, and 0 beyond, where moving on would change nothing.
    """

    def build(self, input_shape: tuple[int | None, ...]) -> None:
        """Keep the shape of one sample's values, or of the weight.

        Args:
            input_shape: of the values, batch axis included for an activation.
        """
        self.value_shape = tuple(size or 1 for size in input_shape[1 if self.slot.batched else 0 :])
        super().build(input_shape)

    @property
    def largest(self) -> float:
        """The largest value."""
        return 1.0

    @abstractmethod
    def nearest(self, x: Tensor) -> Tensor:
        """Return the values that `x` becomes; not differentiable, and NaN may become anything."""

    def quantize(self, x: Tensor, training: bool = False) -> Tensor:
        """Quantize; NaN stays NaN."""
        return _straight_through(ops.convert_to_tensor(tensor_of(x)), self.nearest, self.largest)

    def bits(self, x: Tensor | None = None) -> Tensor:
        """Return the config's bits for every element."""
        return ops.full(self.value_shape, float(self.config.bits))

    def format(self, x: Tensor | None = None) -> Mapping[str, Any]:
        """Return the bits, and the largest value."""
        return {"bits": np.array(self.config.bits), "largest": np.array(self.largest)}


def _straight_through(x: Tensor, nearest: Any, largest: float) -> Tensor:
    @ops.custom_gradient  # type: ignore[untyped-decorator]
    def quantized(x: Tensor) -> Any:
        inside = ops.cast(ops.abs(x) <= largest, x.dtype)

        def gradient(*tensors: Tensor, upstream: Tensor = None) -> Tensor:
            return (tensors[-1] if upstream is None else upstream) * inside

        return ops.where(x == x, nearest(x), x), gradient

    return quantized(x)


class BinaryQuantizer(DiscreteQuantizer[Binary]):
    """-1 below zero, +1 from zero on."""

    def grid(self, most: int) -> np.ndarray:
        """Return both signs."""
        return np.array([-1.0, 1.0])

    @property
    def uniform_grid(self) -> bool:
        """True: one step of 2."""
        return True

    def nearest(self, x: Tensor) -> Tensor:
        """Return the sign, that of 0 being +1."""
        return ops.where(x < 0, -ops.ones_like(x), ops.ones_like(x))

    def exact(self, arrays: Arrays[A], x: A) -> A:
        """State the same comparison."""
        return arrays.select(arrays.less(x, arrays.constant(0.0)), arrays.constant(-1.0), arrays.constant(1.0))


class SymmetricQuantizer(DiscreteQuantizer[C]):
    """Values of either sign, given by their magnitudes, rising, and the threshold from which each applies."""

    @property
    @abstractmethod
    def steps(self) -> list[tuple[float, float]]:
        """Thresholds and magnitudes, rising; below the first is 0."""

    def grid(self, most: int) -> np.ndarray:
        """Return 0, and the magnitudes with both signs."""
        magnitudes = np.array([value for _, value in self.steps])
        return np.concatenate([-magnitudes[::-1], [0.0], magnitudes])

    def nearest(self, x: Tensor) -> Tensor:
        """Return the magnitude of the last threshold that is reached, with the sign."""
        size, magnitude = ops.abs(x), ops.zeros_like(x)
        for threshold, value in self.steps:
            magnitude = ops.where(size < threshold, magnitude, value)
        return ops.where(x < 0, -magnitude, magnitude)

    def exact(self, arrays: Arrays[A], x: A) -> A:
        """State the same comparisons."""
        zero = arrays.constant(0.0)
        size, magnitude = arrays.maximum(x, arrays.negate(x)), arrays.multiply(x, zero)
        for threshold, value in self.steps:
            below = arrays.less(size, arrays.constant(threshold))
            magnitude = arrays.select(below, magnitude, arrays.constant(value))
        return arrays.select(arrays.less(x, zero), arrays.negate(magnitude), magnitude)


class TernaryQuantizer(SymmetricQuantizer[Ternary]):
    """-1, 0 or +1."""

    @property
    def uniform_grid(self) -> bool:
        """True: steps of 1."""
        return True

    @property
    def steps(self) -> list[tuple[float, float]]:
        """One threshold, at 0.5."""
        return [(0.5, 1.0)]


class PowerOfTwoQuantizer(SymmetricQuantizer[PowerOfTwo]):
    """0, or the nearest power of two, halfway the larger."""

    @property
    def largest(self) -> float:
        """The largest power."""
        return 2.0**self.config.highest

    @property
    def steps(self) -> list[tuple[float, float]]:
        """Thresholds halfway between the values."""
        powers = [2.0**n for n in range(self.config.lowest, self.config.highest + 1)]
        return [(powers[0] / 2, powers[0]), *((0.75 * power, power) for power in powers[1:])]


class IdentityQuantizer(PassThrough):
    """Values pass as they are."""
