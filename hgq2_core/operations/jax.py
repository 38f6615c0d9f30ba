"""The operations of quantizers' formulas on jax."""

from __future__ import annotations

from typing import Any

import jax
import jax.numpy as jnp
import keras
from jax import Array, lax

# Per dtype: the integer of its size, the bits of the mantissa, and the bias of the exponent.
_LAYOUTS: dict[str, tuple[Any, int, int]] = {"float32": (jnp.int32, 23, 127), "float64": (jnp.int64, 52, 1023)}


class _Operations:
    """See `hgq2_core.operations.Operations`."""

    floor, ceil, half_even = staticmethod(jnp.floor), staticmethod(jnp.ceil), staticmethod(jnp.round)
    where, minimum, maximum = staticmethod(jnp.where), staticmethod(jnp.minimum), staticmethod(jnp.maximum)
    sign, relu = staticmethod(jnp.sign), staticmethod(jax.nn.relu)
    total, constant = staticmethod(jnp.sum), staticmethod(lax.stop_gradient)

    def tensor(self, value: Any) -> Array:
        value = value.value if isinstance(value, keras.Variable) else value
        value = jnp.asarray(value, None if hasattr(value, "dtype") else "float32")
        return value if value.dtype.name in _LAYOUTS else value.astype("float32")

    def dtype(self, x: Array) -> str:
        return str(x.dtype)

    def cast(self, x: Array, dtype: str) -> Array:
        return x.astype(dtype)

    def kept(self, x: Array) -> Array:
        # XLA repeats cheap operations in all that uses them, for every element they are broadcast to, and on CPUs drops
        # an optimization barrier before; a quotient counts as expensive. x / 1 is x, and NaN / NaN is NaN.
        return x / jnp.where(x == x, 1.0, x)

    def power(self, n: Array, dtype: str) -> Array:
        integer, mantissa_bits, bias = _LAYOUTS[dtype]
        return lax.bitcast_convert_type((n.astype(integer) + bias) << mantissa_bits, jnp.dtype(dtype))

    def exponent(self, x: Array) -> Array:
        integer, mantissa_bits, bias = _LAYOUTS[str(x.dtype)]
        return ((lax.bitcast_convert_type(x, integer) >> mantissa_bits) - (bias - 1)).astype(x.dtype)

    def binade(self, x: Array) -> Array:
        integer, mantissa_bits, bias = _LAYOUTS[str(x.dtype)]
        mask = jnp.asarray((2 * bias + 1) << mantissa_bits, integer)
        return lax.bitcast_convert_type(lax.bitcast_convert_type(x, integer) & mask, x.dtype)

    def least(self, x: Array, axes: tuple[int, ...]) -> Array:
        return jnp.min(x, axes, keepdims=True)

    def largest(self, x: Array, axes: tuple[int, ...]) -> Array:
        return jnp.max(x, axes, keepdims=True)

    def sum_to(self, x: Array, like: Array) -> Array:
        leading = x.ndim - like.ndim
        shared = [leading + axis for axis, size in enumerate(like.shape) if size == 1 != x.shape[leading + axis]]
        total = jnp.sum(x, (*range(leading), *shared), keepdims=True)
        return jnp.broadcast_to(total.reshape(total.shape[leading:]), like.shape).astype(like.dtype)


OPERATIONS = _Operations()
