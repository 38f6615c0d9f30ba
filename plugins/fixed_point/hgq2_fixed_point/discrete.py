"""The Keras side of binary, ternary, power-of-two, and no quantization: no state, on every backend.

Each states its values by comparisons alone, once for tensors and once for exact arithmetic.
"""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Mapping
from typing import Any, TypeVar

import numpy as np
from keras import ops
from typing_extensions import override

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

    The surrogate gradient is 1 from the smallest value to the largest, and 0 beyond, where moving on would change
    nothing.
    """

    @override
    def build(self, input_shape: tuple[int | None, ...]) -> None:
        """Keep the shape of one sample's values, or of the weight.

        Args:
            input_shape: of the values, batch axis included for an activation.
        """
        self.value_shape = tuple(size or 1 for size in input_shape[1 if self.slot.batched else 0 :])
        super().build(input_shape)

    @property
    @abstractmethod
    def largest(self) -> float:
        """The largest value."""

    @property
    def smallest(self) -> float:
        """The smallest value."""
        return -self.largest

    @abstractmethod
    def nearest(self, x: Tensor) -> Tensor:
        """Return the values that `x` becomes; not differentiable, and NaN may become anything."""

    @override
    def quantize(self, x: Tensor, training: bool = False) -> Tensor:
        """Quantize; NaN stays NaN."""
        return _straight_through(ops.convert_to_tensor(tensor_of(x)), self.nearest, self.smallest, self.largest)

    @override
    def bits(self, x: Tensor | None = None) -> Tensor:
        """Return the config's bits for every element."""
        return ops.full(self.value_shape, float(self.config.bits))

    @override
    def format(self, x: Tensor | None = None) -> Mapping[str, Any]:
        """Return the bits, and the largest value."""
        return {"bits": np.array(self.config.bits), "largest": np.array(self.largest)}


def _straight_through(x: Tensor, nearest: Any, smallest: float, largest: float) -> Tensor:
    @ops.custom_gradient  # type: ignore[untyped-decorator]
    def quantized(x: Tensor) -> Any:
        inside = ops.cast(ops.logical_and(x >= smallest, x <= largest), x.dtype)

        def gradient(*tensors: Tensor, upstream: Tensor = None) -> Tensor:
            return (tensors[-1] if upstream is None else upstream) * inside

        return ops.where(x == x, nearest(x), x), gradient

    return quantized(x)


class BinaryQuantizer(DiscreteQuantizer[Binary]):
    """-scale below the threshold, scale from it on."""

    @property
    @override
    def largest(self) -> float:
        return self.config.scale

    @override
    def grid(self, most: int) -> np.ndarray:
        return np.array([-self.largest, self.largest])

    @property
    @override
    def uniform_grid(self) -> bool:
        """True: one step."""
        return True

    @override
    def nearest(self, x: Tensor) -> Tensor:
        """Return the larger value from the threshold on."""
        larger = ops.full_like(x, self.largest)
        return ops.where(x < self.config.threshold, -larger, larger)

    @override
    def exact(self, arrays: Arrays[A], x: A) -> A:
        below = arrays.less(x, arrays.constant(self.config.threshold))
        return arrays.select(below, arrays.constant(-self.largest), arrays.constant(self.largest))


class SymmetricQuantizer(DiscreteQuantizer[C]):
    """0 and values given by their magnitudes, rising, and the threshold from which each applies."""

    @property
    def signed(self) -> bool:
        """Whether values below 0 have magnitudes too; if not, they become 0."""
        return True

    @property
    @abstractmethod
    def steps(self) -> list[tuple[float, float]]:
        """Thresholds and magnitudes, rising; below the first is 0."""

    @override
    def grid(self, most: int) -> np.ndarray:
        """Return 0, and the magnitudes with each sign."""
        magnitudes = np.array([value for _, value in self.steps])
        return np.concatenate([-magnitudes[::-1] if self.signed else [], [0.0], magnitudes])

    @property
    @override
    def smallest(self) -> float:
        return -self.largest if self.signed else 0.0

    @override
    def nearest(self, x: Tensor) -> Tensor:
        """Return the magnitude of the last threshold that is reached, with the sign."""
        size, magnitude = ops.abs(x) if self.signed else x, ops.zeros_like(x)
        for threshold, value in self.steps:
            magnitude = ops.where(size < threshold, magnitude, value)
        return ops.where(x < 0, -magnitude, magnitude) if self.signed else magnitude

    @override
    def exact(self, arrays: Arrays[A], x: A) -> A:
        zero = arrays.constant(0.0)
        size, magnitude = arrays.maximum(x, arrays.negate(x)) if self.signed else x, arrays.multiply(x, zero)
        for threshold, value in self.steps:
            below = arrays.less(size, arrays.constant(threshold))
            magnitude = arrays.select(below, magnitude, arrays.constant(value))
        return arrays.select(arrays.less(x, zero), arrays.negate(magnitude), magnitude) if self.signed else magnitude


class TernaryQuantizer(SymmetricQuantizer[Ternary]):
    """-scale, 0 or scale."""

    @property
    @override
    def largest(self) -> float:
        return self.config.scale

    @property
    @override
    def uniform_grid(self) -> bool:
        """True: steps of the scale."""
        return True

    @property
    @override
    def steps(self) -> list[tuple[float, float]]:
        """One threshold, by default half the scale."""
        threshold = self.config.threshold
        return [(self.largest / 2 if threshold is None else threshold, self.largest)]


class PowerOfTwoQuantizer(SymmetricQuantizer[PowerOfTwo]):
    """0, or the nearest power of two, halfway the larger."""

    @property
    @override
    def signed(self) -> bool:
        """Whether there is a sign."""
        return self.config.k == 1

    @property
    @override
    def largest(self) -> float:
        return 2.0**self.config.highest

    @property
    @override
    def steps(self) -> list[tuple[float, float]]:
        """Thresholds halfway between the values."""
        powers = [2.0**n for n in range(self.config.lowest, self.config.highest + 1)]
        return [(powers[0] / 2, powers[0]), *((0.75 * power, power) for power in powers[1:])]


class IdentityQuantizer(PassThrough):
    """Values pass as they are."""
