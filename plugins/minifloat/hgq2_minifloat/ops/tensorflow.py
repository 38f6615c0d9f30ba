"""Minifloat quantization for tensorflow: the formulas over its operations, gradients by `custom_gradient`."""

from __future__ import annotations

from typing import Any

import keras
import tensorflow as tf
from tensorflow import Tensor

from ..formulas import Formulas, Mode
from ..functional import Functions

# Per dtype: the integer of its size, the bits of the mantissa, and the bias of the exponent.
_LAYOUTS: dict[str, tuple[Any, int, int]] = {"float32": (tf.int32, 23, 127), "float64": (tf.int64, 52, 1023)}


class _Operations:
    """See `hgq2_minifloat.formulas.Operations`."""

    floor, half_even, sign = staticmethod(tf.floor), staticmethod(tf.round), staticmethod(tf.sign)
    cast, minimum, maximum = staticmethod(tf.cast), staticmethod(tf.minimum), staticmethod(tf.maximum)
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

    def power(self, n: Tensor, dtype: str) -> Tensor:
        integer, mantissa_bits, bias = _LAYOUTS[dtype]
        shift = tf.constant(mantissa_bits, integer)
        return tf.bitcast(tf.bitwise.left_shift(tf.cast(n, integer) + bias, shift), dtype)

    def binade(self, x: Tensor) -> Tensor:
        integer, mantissa_bits, bias = _LAYOUTS[x.dtype.name]
        mask = tf.constant((2 * bias + 1) << mantissa_bits, integer)
        return tf.bitcast(tf.bitwise.bitwise_and(tf.bitcast(x, integer), mask), x.dtype)

    def sum_to(self, x: Tensor, like: Tensor) -> Tensor:
        shape = tf.shape(like)
        _, shared = tf.raw_ops.BroadcastGradientArgs(s0=tf.shape(x), s1=shape)
        return tf.cast(tf.broadcast_to(tf.reshape(tf.reduce_sum(x, shared, keepdims=True), shape), shape), like.dtype)


_formulas = Formulas(_Operations())


def _quantize(x: Tensor, m: Tensor, e: Tensor, e0: Tensor, uniform: Tensor | None, mode: Mode) -> Tensor:
    @tf.custom_gradient
    def quantized(x: Tensor, m: Tensor, e: Tensor, e0: Tensor) -> Any:
        q = _formulas.quantize(x, m, e, e0, uniform, mode)
        return q, lambda grad: _formulas.gradients(grad, x, q, m, e, e0, mode)

    return quantized(x, m, e, e0)


_functions = Functions(_formulas, _quantize)

tensor, binade, quantize_counted = _formulas.xp.tensor, _formulas.xp.binade, _functions.quantize_counted
