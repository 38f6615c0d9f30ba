"""The operations of quantizers' formulas on tensorflow."""

from __future__ import annotations

from typing import Any

import keras
import tensorflow as tf
from tensorflow import Tensor

# Per dtype: the integer of its size, the bits of the mantissa, and the bias of the exponent.
_LAYOUTS: dict[str, tuple[Any, int, int]] = {"float32": (tf.int32, 23, 127), "float64": (tf.int64, 52, 1023)}


class _Operations:
    """See `hgq2_core.operations.Operations`."""

    floor, ceil, half_even = staticmethod(tf.floor), staticmethod(tf.math.ceil), staticmethod(tf.round)
    cast, minimum, maximum = staticmethod(tf.cast), staticmethod(tf.minimum), staticmethod(tf.maximum)
    sign, relu = staticmethod(tf.sign), staticmethod(tf.nn.relu)
    total, constant = staticmethod(tf.reduce_sum), staticmethod(tf.stop_gradient)

    def tensor(self, value: Any) -> Tensor:
        value = value.value if isinstance(value, keras.Variable) else value
        value = tf.convert_to_tensor(value, None if hasattr(value, "dtype") else "float32")
        return value if value.dtype.name in _LAYOUTS else tf.cast(value, "float32")

    def dtype(self, x: Tensor) -> str:
        return str(x.dtype.name)

    def where(self, condition: Tensor, a: Any, b: Any) -> Tensor:
        dtype = (b if isinstance(a, float) else a).dtype
        return tf.where(condition, tf.convert_to_tensor(a, dtype), tf.convert_to_tensor(b, dtype))

    def kept(self, x: Tensor) -> Tensor:
        return x

    def power(self, n: Tensor, dtype: str) -> Tensor:
        integer, mantissa_bits, bias = _LAYOUTS[dtype]
        shift = tf.constant(mantissa_bits, integer)
        return tf.bitcast(tf.bitwise.left_shift(tf.cast(n, integer) + bias, shift), dtype)

    def exponent(self, x: Tensor) -> Tensor:
        integer, mantissa_bits, bias = _LAYOUTS[x.dtype.name]
        shift = tf.constant(mantissa_bits, integer)
        return tf.cast(tf.bitwise.right_shift(tf.bitcast(x, integer), shift) - (bias - 1), x.dtype)

    def binade(self, x: Tensor) -> Tensor:
        integer, mantissa_bits, bias = _LAYOUTS[x.dtype.name]
        mask = tf.constant((2 * bias + 1) << mantissa_bits, integer)
        return tf.bitcast(tf.bitwise.bitwise_and(tf.bitcast(x, integer), mask), x.dtype)

    def least(self, x: Tensor, axes: tuple[int, ...]) -> Tensor:
        return tf.reduce_min(x, axes, keepdims=True)

    def largest(self, x: Tensor, axes: tuple[int, ...]) -> Tensor:
        return tf.reduce_max(x, axes, keepdims=True)

    def sum_to(self, x: Tensor, like: Tensor) -> Tensor:
        shape = tf.shape(like)
        _, shared = tf.raw_ops.BroadcastGradientArgs(s0=tf.shape(x), s1=shape)
        return tf.cast(tf.broadcast_to(tf.reshape(tf.reduce_sum(x, shared, keepdims=True), shape), shape), like.dtype)


OPERATIONS = _Operations()
