"""Operations over axes of one tensor: sums, means, largest and smallest."""

from __future__ import annotations

import math
from typing import Any, ClassVar, TypeVar

import keras
import numpy as np

from hgq2_core import ExactnessError
from hgq2_core.exact.arrays import Arrays
from hgq2_core.exact.widths import Width, per_sample
from hgq2_core.layers.operations import OperationAdapter
from hgq2_core.ops import Tensor, total
from hgq2_layers.merging.elementwise import ADDER
from hgq2_layers.operations.settings import axes_beside_batch, setting
from hgq2_layers.pooling.window_reduction import MAXIMUM, Reduction

A = TypeVar("A")


class ReductionOperation(OperationAdapter):
    """An operation over some axes, each kept with size 1 or left out."""

    weight: ClassVar[float] = 1.0
    """Cost of one bit."""

    def axes(self, operation: Any, rank: int) -> tuple[int, ...]:
        """Return the axes, counted from the front."""
        return axes_beside_batch(operation, setting(operation, "axis"), rank)

    def ebops(self, layer: Any, *inputs: Width, **options: Any) -> Tensor:
        """Return the weighted sum of B without that of the smallest B over the axes."""
        (x,) = inputs
        (bits,) = per_sample(x)
        fewest = keras.ops.min(bits, axis=tuple(axis - 1 for axis in self.axes(layer, len(x.shape))))
        return self.weight * (total(bits) - total(fewest))


class SumOperation(ReductionOperation):
    """y = sum of x over axes."""

    weight = ADDER

    def exact(self, arrays: Arrays[A], layer: Any, *inputs: A) -> A:
        """Add."""
        (x,) = inputs
        return arrays.sum(x, self.axes(layer, len(arrays.shape(x))), setting(layer, "keepdims"))


class MeanOperation(SumOperation):
    """y = mean of x over axes: a sum and a shift, where a power of two of terms is averaged.

    Of another number n of terms, the sum is multiplied by 2^p / n, quantized as a weight, and shifted by p.
    """

    exact_where = "it averages a power of two of values"

    def _terms(self, operation: Any, shape: Any) -> int:
        return math.prod(shape[axis] or 1 for axis in self.axes(operation, len(shape)))

    def reciprocal(self, operation: Any, shape: tuple[int | None, ...]) -> float | None:
        """Return 2^p / n, between 1/2 and 1; None for a power of two of terms."""
        mantissa, _ = math.frexp(1.0 / self._terms(operation, shape))
        return None if mantissa == 0.5 else mantissa

    def exact(self, arrays: Arrays[A], layer: Any, *inputs: A, reciprocal: A | None = None) -> A:
        """Add, multiply by the reciprocal where there is one, and shift."""
        (x,) = inputs
        sums = super().exact(arrays, layer, x)
        mantissa, exponent = math.frexp(1.0 / self._terms(layer, arrays.shape(x)))
        if mantissa == 0.5:
            return arrays.shift(sums, exponent - 1)
        if reciprocal is None:
            raise ExactnessError(
                f"{layer.name}: a mean is exact where it averages a power of two of values. "
                f"Received: {self._terms(layer, arrays.shape(x))} values. Make it a layer, whose reciprocal_quantizer "
                "quantizes the reciprocal: hgq2_core.with_operation_layers(model), or quantize_model."
            )
        return arrays.shift(arrays.multiply(sums, reciprocal), exponent)

    def call(self, operation: Any, *args: Any, reciprocal: Tensor = None, **options: Any) -> Any:
        """Average by shifting, or by the quantized reciprocal."""
        (x,) = args
        axes = self.axes(operation, len(x.shape))
        sums = keras.ops.sum(x, axis=axes, keepdims=setting(operation, "keepdims"))
        mantissa, exponent = math.frexp(1.0 / self._terms(operation, x.shape))
        return sums * np.ldexp(0.5, exponent) if mantissa == 0.5 else sums * reciprocal * np.ldexp(1.0, exponent)

    def ebops(self, layer: Any, *inputs: Width, reciprocal: Tensor = None, **options: Any) -> Tensor:
        """Return the bits of the adders, and of the products with the reciprocal."""
        cost = super().ebops(layer, *inputs)
        if reciprocal is None:
            return cost
        (bits,) = per_sample(*inputs)
        axes = tuple(axis - 1 for axis in self.axes(layer, len(inputs[0].shape)))
        sums = keras.ops.max(bits, axis=axes) + math.log2(self._terms(layer, inputs[0].shape))
        return cost + total(sums) * total(reciprocal)


class MaxOperation(ReductionOperation):
    """y = largest x over axes."""

    reduction: ClassVar[Reduction] = MAXIMUM

    def exact(self, arrays: Arrays[A], layer: Any, *inputs: A) -> A:
        """Take the largest."""
        (x,) = inputs
        return self.reduction.exact_axes(arrays, x, self.axes(layer, len(arrays.shape(x))), setting(layer, "keepdims"))


class AnyOperation(MaxOperation):
    """y = whether any of the conditions over axes holds, as in the masks of Keras' Masking."""


class MinOperation(MaxOperation):
    """y = smallest x over axes."""

    def exact(self, arrays: Arrays[A], layer: Any, *inputs: A) -> A:
        """Take the largest of what is negated, and negate."""
        (x,) = inputs
        return arrays.negate(super().exact(arrays, layer, arrays.negate(x)))
