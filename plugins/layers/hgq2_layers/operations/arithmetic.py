"""Operations element by element: sums, products, comparisons, choices, bounds."""

from __future__ import annotations

from typing import Any, ClassVar, TypeVar

import keras
import numpy as np
import numpy.typing as npt
from typing_extensions import override

from hgq2_core import ExactnessError
from hgq2_core.exact.arrays import Arrays
from hgq2_core.exact.widths import Width, per_sample
from hgq2_core.layers.operations import OperationAdapter
from hgq2_core.ops import Tensor, total
from hgq2_layers.activations.rectify import rectify
from hgq2_layers.merging.elementwise import ADDER, adder_bits
from hgq2_layers.operations.settings import setting

A = TypeVar("A")

CONSTANT_BITS = 16
"""The most significant bits of a factor; with more, products of 8 bits would no longer fit into a float32."""


class ElementwiseOperation(OperationAdapter):
    """y = f(x_0, x_1, ...), element by element."""

    @override
    def check_call(self, operation: Any, *args: Any, **options: Any) -> None:
        """Refuse tensors of several ranks, of which Keras would broadcast the batch."""
        shapes = [tuple(each.shape) for each in args if isinstance(each, keras.KerasTensor)]
        if len({len(shape) for shape in shapes}) > 1:
            raise ExactnessError(
                f"{operation.name}: tensors are of one rank, as others would broadcast the batch. "
                f"Received: shapes {', '.join(map(str, shapes))}. Use keras.ops.expand_dims(x, axis) on one."
            )


class AddOperation(ElementwiseOperation):
    """y = x_0 + x_1."""

    @override
    def exact(self, arrays: Arrays[A], layer: Any, *inputs: A) -> A:
        return arrays.add(*inputs)

    @override
    def ebops(self, layer: Any, *inputs: Width, **options: Any) -> Tensor:
        """Return 0.65 (sum B - sum of the smaller B of each element)."""
        return ADDER * adder_bits(per_sample(*inputs))


class SubtractOperation(ElementwiseOperation):
    """y = x_0 - x_1."""

    @override
    def exact(self, arrays: Arrays[A], layer: Any, *inputs: A) -> A:
        return arrays.subtract(*inputs)

    @override
    def ebops(self, layer: Any, *inputs: Width, **options: Any) -> Tensor:
        """Return sum max(B0, B1)."""
        return total(keras.ops.maximum(*per_sample(*inputs)))


class NegativeOperation(ElementwiseOperation):
    """y = -x."""

    @override
    def exact(self, arrays: Arrays[A], layer: Any, *inputs: A) -> A:
        return arrays.negate(*inputs)


class MultiplyOperation(ElementwiseOperation):
    """y = x_0 x_1; by a power of two, a shift."""

    multiplies_tensors: ClassVar[bool] = True

    exact_where = f"a constant factor has at most {CONSTANT_BITS} significant bits"

    @override
    def check_call(self, operation: Any, *args: Any, **options: Any) -> None:
        """Refuse factors with which products would round in float32."""
        super().check_call(operation, *args)
        for value in args:
            if not isinstance(value, keras.KerasTensor):
                check_factor(operation, value)

    @override
    def exact(self, arrays: Arrays[A], layer: Any, *inputs: A) -> A:
        return arrays.multiply(*inputs)

    @override
    def ebops(self, layer: Any, *inputs: Width, **options: Any) -> Tensor:
        """Return sum B0 B1."""
        left, right = per_sample(*inputs, factor=True)
        return total(left * right)


def check_factor(operation: Any, value: Any) -> None:
    """Refuse a constant factor with too many significant bits.

    Raises:
        ExactnessError: products would round in float32.
    """
    values = np.asarray(keras.ops.convert_to_numpy(value), dtype=np.float64).astype(np.float32).ravel()
    mantissa = np.ldexp(np.frexp(values)[0], CONSTANT_BITS)
    if (odd := values[mantissa != np.rint(mantissa)]).size:
        number = float(odd[0])
        mantissa_, exponent = np.frexp(number)
        near = float(np.ldexp(np.rint(np.ldexp(mantissa_, 8)), exponent - 8))
        raise ExactnessError(
            f"{operation.name}: a constant factor has at most {CONSTANT_BITS} significant bits, with more a float32 "
            f"would round the products. Received: {number!r}. Use a number of fewer bits, such as {near!r}."
        )


class SquareOperation(ElementwiseOperation):
    """y = x²."""

    multiplies_tensors: ClassVar[bool] = True

    @override
    def exact(self, arrays: Arrays[A], layer: Any, *inputs: A) -> A:
        (x,) = inputs
        return arrays.multiply(x, x)

    @override
    def ebops(self, layer: Any, *inputs: Width, **options: Any) -> Tensor:
        """Return sum B²."""
        (bits,) = per_sample(*inputs, factor=True)
        return total(bits * bits)


class DivideOperation(ElementwiseOperation):
    """y = x / c, c a power of two: a shift."""

    exact_where = "the divisor is a power of two"
    static: ClassVar[tuple[int, ...]] = (1,)

    @override
    def check_call(self, operation: Any, *args: Any, **options: Any) -> None:
        super().check_call(operation, *args)
        _powers(operation, args[1])

    @override
    def exact(self, arrays: Arrays[A], layer: Any, *inputs: Any) -> A:
        """Multiply by the reciprocal, which is a power of two."""
        x, divisor = inputs
        result: A = arrays.multiply(x, arrays.constant(1.0 / _powers(layer, divisor)))
        return result


def _powers(operation: Any, divisor: Any) -> npt.NDArray[np.float64]:
    constant = isinstance(divisor, int | float | list | np.ndarray | np.generic)
    values = np.asarray(divisor, dtype=np.float64) if constant else np.zeros(())
    if not (np.abs(np.frexp(values)[0]) == 0.5).all():
        received = repr(divisor) if constant else "a tensor"
        raise ExactnessError(
            f"{operation.name}: a quotient is exact where the divisor is a power of two. Received: {received}. "
            "Multiply by the reciprocal, rounded to a few bits, in its place."
        )
    return values


class MaximumOperation(ElementwiseOperation):
    """y = max(x_0, x_1)."""

    @override
    def exact(self, arrays: Arrays[A], layer: Any, *inputs: A) -> A:
        return arrays.maximum(*inputs)

    @override
    def ebops(self, layer: Any, *inputs: Width, **options: Any) -> Tensor:
        """Return sum B - sum of the smaller B of each element; with a constant, the cost of a bound."""
        constants = [each for each in inputs if each.values is not None]
        if len(constants) == 1:
            (x,) = (each for each in inputs if each.values is None)
            return bound_ebops(x, constants[0].values)
        return adder_bits(per_sample(*inputs))


class MinimumOperation(MaximumOperation):
    """y = min(x_0, x_1)."""

    @override
    def exact(self, arrays: Arrays[A], layer: Any, *inputs: A) -> A:
        return arrays.minimum(*inputs)


def bound_ebops(x: Width, bound: Any) -> Tensor:
    """Return the cost of a constant bound: the bits of what it bounds, and 0 for a bound that looks at few of them.

    Args:
        x: the width of what is bounded.
        bound: the constant: 0, a power of two, and one step less than a power of two are free.
    """
    mantissa = np.abs(np.frexp(np.asarray(bound, dtype=np.float32))[0])
    free = (mantissa == 0) | (mantissa == 0.5) | (np.frexp(1.0 - mantissa)[0] == 0.5)
    (bits,) = per_sample(x)
    paid = np.broadcast_to(~free, x.shape)[0].astype(np.float32)
    return total(bits * keras.ops.convert_to_tensor(paid))


class AbsoluteOperation(ElementwiseOperation):
    """y = |x|."""

    @override
    def exact(self, arrays: Arrays[A], layer: Any, *inputs: A) -> A:
        """Take the larger of x and -x."""
        (x,) = inputs
        return arrays.maximum(x, arrays.negate(x))

    @override
    def ebops(self, layer: Any, *inputs: Width, **options: Any) -> Tensor:
        """Return the sum of B where there is a sign."""
        (x,) = inputs
        return total(per_sample(x)[0]) if x.signed else keras.ops.zeros(())


class ReluOperation(ElementwiseOperation):
    """y = max(x, 0), which is free."""

    @override
    def exact(self, arrays: Arrays[A], layer: Any, *inputs: A) -> A:
        return rectify(arrays, *inputs)


class Relu6Operation(ElementwiseOperation):
    """y = min(max(x, 0), 6)."""

    @override
    def exact(self, arrays: Arrays[A], layer: Any, *inputs: A) -> A:
        return arrays.minimum(rectify(arrays, *inputs), arrays.constant(6.0))

    @override
    def ebops(self, layer: Any, *inputs: Width, **options: Any) -> Tensor:
        """Return the cost of the bound."""
        return bound_ebops(inputs[0], 6.0)


class ClipOperation(ElementwiseOperation):
    """y = min(max(x, x_min), x_max)."""

    @override
    def exact(self, arrays: Arrays[A], layer: Any, *inputs: A) -> A:
        """Bound from below, then from above."""
        (x,) = inputs
        low, high = _bounds(layer)
        return arrays.minimum(arrays.maximum(x, arrays.constant(low)), arrays.constant(high))

    @override
    def ebops(self, layer: Any, *inputs: Width, **options: Any) -> Tensor:
        """Return the cost of both bounds."""
        return sum((bound_ebops(inputs[0], bound) for bound in _bounds(layer)), keras.ops.zeros(()))


def _bounds(operation: Any) -> list[Any]:
    return [np.float32(setting(operation, name)) for name in ("x_min", "x_max")]


class LessOperation(ElementwiseOperation):
    """y = x_0 < x_1."""

    @override
    def exact(self, arrays: Arrays[A], layer: Any, *inputs: A) -> A:
        a, b = inputs
        return arrays.less(a, b)

    @override
    def ebops(self, layer: Any, *inputs: Width, **options: Any) -> Tensor:
        """Return sum max(B0, B1); 0 where one side is 0."""
        if any(each.values is not None and not each.values.any() for each in inputs):
            return keras.ops.zeros(())
        return total(keras.ops.maximum(*per_sample(*inputs)))


class GreaterOperation(LessOperation):
    """y = x_0 > x_1."""

    @override
    def exact(self, arrays: Arrays[A], layer: Any, *inputs: A) -> A:
        a, b = inputs
        return arrays.less(b, a)


class LessEqualOperation(LessOperation):
    """y = x_0 <= x_1."""

    @override
    def exact(self, arrays: Arrays[A], layer: Any, *inputs: A) -> A:
        a, b = inputs
        return inverted(arrays, arrays.less(b, a))


class GreaterEqualOperation(LessOperation):
    """y = x_0 >= x_1."""

    @override
    def exact(self, arrays: Arrays[A], layer: Any, *inputs: A) -> A:
        a, b = inputs
        return inverted(arrays, arrays.less(a, b))


class EqualOperation(LessOperation):
    """y = x_0 == x_1."""

    @override
    def exact(self, arrays: Arrays[A], layer: Any, *inputs: A) -> A:
        a, b = inputs
        return arrays.multiply(inverted(arrays, arrays.less(a, b)), inverted(arrays, arrays.less(b, a)))


class NotEqualOperation(LessOperation):
    """y = x_0 != x_1."""

    @override
    def exact(self, arrays: Arrays[A], layer: Any, *inputs: A) -> A:
        a, b = inputs
        return arrays.maximum(arrays.less(a, b), arrays.less(b, a))


def inverted(arrays: Arrays[A], condition: A) -> A:
    """Return 1 where a condition is 0, and 0 where it is 1."""
    return arrays.subtract(arrays.constant(1.0), condition)


class LogicalAndOperation(ElementwiseOperation):
    """y = c_0 and c_1, of conditions."""

    @override
    def exact(self, arrays: Arrays[A], layer: Any, *inputs: A) -> A:
        return arrays.multiply(*inputs)


class LogicalOrOperation(ElementwiseOperation):
    """y = c_0 or c_1, of conditions."""

    @override
    def exact(self, arrays: Arrays[A], layer: Any, *inputs: A) -> A:
        return arrays.maximum(*inputs)


class LogicalNotOperation(ElementwiseOperation):
    """y = not c, of a condition."""

    @override
    def exact(self, arrays: Arrays[A], layer: Any, *inputs: A) -> A:
        return inverted(arrays, *inputs)


class WhereOperation(ElementwiseOperation):
    """y = x_0 where a condition holds, else x_1; choosing is free, its comparison pays."""

    @override
    def exact(self, arrays: Arrays[A], layer: Any, *inputs: A) -> A:
        condition, a, b = inputs
        return arrays.select(condition, a, b)


class IdentityOperation(OperationAdapter):
    """y = x."""

    @override
    def exact(self, arrays: Arrays[A], layer: Any, *inputs: A) -> A:
        """Hand the input on."""
        return inputs[0]


class CastOperation(IdentityOperation):
    """y = x in another dtype of floats."""

    exact_where = "the dtype is float32 or float64"

    @override
    def check_call(self, operation: Any, *args: Any, **options: Any) -> None:
        """Refuse dtypes that round."""
        dtype = setting(operation, "dtype")
        if dtype not in ("float32", "float64"):
            raise ExactnessError(
                f"{operation.name}: a cast is exact to float32 and float64. Received: dtype={dtype!r}. "
                "Use a quantizer, quantize (QQuantize), in its place."
            )
