"""Operations over axes of one tensor: sums, means, largest and smallest."""

from __future__ import annotations

import math
from typing import Any, ClassVar, TypeVar

import keras
import numpy as np
from typing_extensions import override

from hgq2_core import ExactnessError
from hgq2_core.exact.arrays import Arrays
from hgq2_core.exact.widths import Width, per_sample
from hgq2_core.layers.operations import OperationAdapter
from hgq2_core.ops import Tensor, total
from hgq2_layers.core.reciprocal import divisions, needs_product
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

    @override
    def ebops(self, layer: Any, *inputs: Width, **options: Any) -> Tensor:
        """Return the weighted sum of B without that of the smallest B over the axes."""
        (x,) = inputs
        (bits,) = per_sample(x)
        fewest = keras.ops.min(bits, axis=tuple(axis - 1 for axis in self.axes(layer, len(x.shape))))
        return self.weight * (total(bits) - total(fewest))


class SumOperation(ReductionOperation):
    """y = sum of x over axes."""

    weight = ADDER

    @override
    def exact(self, arrays: Arrays[A], layer: Any, *inputs: A) -> A:
        (x,) = inputs
        return arrays.sum(x, self.axes(layer, len(arrays.shape(x))), setting(layer, "keepdims"))


class MeanOperation(SumOperation):
    """y = mean of x over axes: a sum and a shift, where a power of two of terms is averaged.

    Of another number n of terms, the sum is multiplied by 2^p / n, quantized as a weight, and shifted by p.
    """

    exact_where = "it averages a power of two of values"

    @override
    def terms(self, operation: Any, shape: tuple[int | None, ...]) -> int:
        """Return the number of elements along the axes."""
        return math.prod(shape[axis] or 1 for axis in self.axes(operation, len(shape)))

    def _places(self, operation: Any, shape: tuple[int | None, ...]) -> int:
        places, _ = divisions(np.array(self.terms(operation, shape)))
        return int(places)

    @override
    def exact(self, arrays: Arrays[A], layer: Any, *inputs: A, reciprocal: A | None = None) -> A:
        """Add, multiply by the reciprocal where there is one, and shift."""
        (x,) = inputs
        sums = super().exact(arrays, layer, x)
        shape = arrays.shape(x)
        terms = self.terms(layer, shape)
        if reciprocal is not None:
            sums = arrays.multiply(sums, reciprocal)
        elif needs_product(np.array(terms)):
            raise ExactnessError(
                f"{layer.name}: a mean is exact where it averages a power of two of values. "
                f"Received: {terms} values. Make it a layer, whose reciprocal_quantizer "
                "quantizes the reciprocal: hgq2_core.with_operation_layers(model), or quantize_model."
            )
        return arrays.shift(sums, -self._places(layer, shape))

    @override
    def call(self, operation: Any, *args: Any, reciprocal: Tensor = None, **options: Any) -> Any:
        """Average by shifting, or by the quantized reciprocal."""
        (x,) = args
        axes = self.axes(operation, len(x.shape))
        sums = keras.ops.sum(x, axis=axes, keepdims=setting(operation, "keepdims"))
        if reciprocal is not None:
            sums = sums * reciprocal
        return sums * math.ldexp(1.0, -self._places(operation, x.shape))

    @override
    def ebops(self, layer: Any, *inputs: Width, reciprocal: Tensor = None, **options: Any) -> Tensor:
        """Return the bits of the adders, and of the products with the reciprocal."""
        cost = super().ebops(layer, *inputs)
        if reciprocal is None:
            return cost
        (bits,) = per_sample(*inputs)
        axes = tuple(axis - 1 for axis in self.axes(layer, len(inputs[0].shape)))
        sums = keras.ops.max(bits, axis=axes) + math.log2(self.terms(layer, inputs[0].shape))
        return cost + total(sums) * total(reciprocal)


class MaxOperation(ReductionOperation):
    """y = largest x over axes."""

    reduction: ClassVar[Reduction] = MAXIMUM

    @override
    def exact(self, arrays: Arrays[A], layer: Any, *inputs: A) -> A:
        (x,) = inputs
        return self.reduction.exact_axes(arrays, x, self.axes(layer, len(arrays.shape(x))), setting(layer, "keepdims"))


class AnyOperation(MaxOperation):
    """y = whether any of the conditions over axes holds, as in the masks of Keras' Masking."""


class MinOperation(MaxOperation):
    """y = smallest x over axes."""

    @override
    def exact(self, arrays: Arrays[A], layer: Any, *inputs: A) -> A:
        """Take the largest of what is negated, and negate."""
        (x,) = inputs
        return arrays.negate(super().exact(arrays, layer, arrays.negate(x)))
