"""The operations of quantizers' formulas in tensorflow, and the formulas as a differentiable function."""

from __future__ import annotations

from typing import Any

import keras
import tensorflow as tf
from tensorflow import Tensor
from typing_extensions import override

from hgq2_core.ops.layout import LAYOUTS
from hgq2_core.ops.protocol import Differentiable, Formulas
from hgq2_core.ops.step import StepOperations


class _Operations:
    """See `hgq2_core.ops.protocol.Operations`."""

    floor, ceil, half_even = staticmethod(tf.floor), staticmethod(tf.math.ceil), staticmethod(tf.round)
    cast, minimum, maximum = staticmethod(tf.cast), staticmethod(tf.minimum), staticmethod(tf.maximum)
    sign, relu = staticmethod(tf.sign), staticmethod(tf.nn.relu)
    sum, stop_gradient = staticmethod(tf.reduce_sum), staticmethod(tf.stop_gradient)

    def tensor(self, value: Any) -> Tensor:
        value = value.value if isinstance(value, keras.Variable) else value
        value = tf.convert_to_tensor(value, None if hasattr(value, "dtype") else "float32")
        return value if value.dtype.name in LAYOUTS else tf.cast(value, "float32")

    def dtype(self, x: Tensor) -> str:
        return str(x.dtype.name)

    def where(self, condition: Tensor, a: Any, b: Any) -> Tensor:
        dtype = (b if isinstance(a, float) else a).dtype
        return tf.where(condition, tf.convert_to_tensor(a, dtype), tf.convert_to_tensor(b, dtype))

    def materialize(self, x: Tensor) -> Tensor:
        return x

    def exp2(self, n: Tensor, dtype: str) -> Tensor:
        layout = LAYOUTS[dtype]
        shift = tf.constant(layout.mantissa_bits, layout.integer)
        return tf.bitcast(tf.bitwise.left_shift(tf.cast(n, layout.integer) + layout.bias, shift), dtype)

    def frexp_exponent(self, x: Tensor) -> Tensor:
        layout = LAYOUTS[x.dtype.name]
        shift = tf.constant(layout.mantissa_bits, layout.integer)
        return tf.cast(tf.bitwise.right_shift(tf.bitcast(x, layout.integer), shift) - (layout.bias - 1), x.dtype)

    def binade(self, x: Tensor) -> Tensor:
        layout = LAYOUTS[x.dtype.name]
        mask = tf.constant(layout.exponent_mask, layout.integer)
        return tf.bitcast(tf.bitwise.bitwise_and(tf.bitcast(x, layout.integer), mask), x.dtype)

    def amin(self, x: Tensor, axes: tuple[int, ...]) -> Tensor:
        return tf.reduce_min(x, axes, keepdims=True)

    def amax(self, x: Tensor, axes: tuple[int, ...]) -> Tensor:
        return tf.reduce_max(x, axes, keepdims=True)

    def sum_to(self, x: Tensor, like: Tensor) -> Tensor:
        shape = tf.shape(like)
        _, shared = tf.raw_ops.BroadcastGradientArgs(s0=tf.shape(x), s1=shape)
        return tf.cast(tf.broadcast_to(tf.reshape(tf.reduce_sum(x, shared, keepdims=True), shape), shape), like.dtype)


class _Step(StepOperations):
    @override
    def value(self, variable: Any) -> Tensor:
        # The value of a variable is a variable too, which a function with a custom gradient may not use.
        return tf.convert_to_tensor(variable.value) if isinstance(variable, keras.Variable) else variable


OPERATIONS = _Operations()
STEP = _Step()


def differentiable(formulas: Formulas) -> Differentiable:
    """Return `formulas.quantize` with the gradients of `formulas.gradients`."""

    def quantize(x: Tensor, a: Tensor, b: Tensor, c: Tensor, u: Tensor | None, options: Any) -> Tensor:
        @tf.custom_gradient  # type: ignore[untyped-decorator]
        def quantized(x: Tensor, a: Tensor, b: Tensor, c: Tensor) -> Any:
            q = formulas.quantize(x, a, b, c, u, options)
            return q, lambda grad: formulas.gradients(grad, x, q, a, b, c, options)

        return quantized(x, a, b, c)

    return quantize
