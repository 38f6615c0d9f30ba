"""Minifloat quantization for jax: the formulas over `jax.numpy`, and their gradients by `custom_vjp`."""

from __future__ import annotations

from functools import partial
from typing import Any

import jax
import jax.numpy as jnp
import keras
from jax import Array, lax

from ..formulas import Formulas, Mode
from ..functional import Functions

# Per dtype: the integer of its size, the bits of the mantissa, and the bias of the exponent.
_LAYOUTS: dict[str, tuple[Any, int, int]] = {"float32": (jnp.int32, 23, 127), "float64": (jnp.int64, 52, 1023)}


class _Operations:
    """See `hgq2_minifloat.formulas.Operations`."""

    floor, half_even, sign = staticmethod(jnp.floor), staticmethod(jnp.round), staticmethod(jnp.sign)
    where, minimum, maximum = staticmethod(jnp.where), staticmethod(jnp.minimum), staticmethod(jnp.maximum)
    total, constant = staticmethod(jnp.sum), staticmethod(lax.stop_gradient)

    def tensor(self, value: Any) -> Array:
        value = value.value if isinstance(value, keras.Variable) else value
        value = jnp.asarray(value, None if hasattr(value, "dtype") else "float32")
        return value if value.dtype.name in _LAYOUTS else value.astype("float32")

    def dtype(self, x: Array) -> str:
        return str(x.dtype)

    def cast(self, x: Array, dtype: str) -> Array:
        return x.astype(dtype)

    def power(self, n: Array, dtype: str) -> Array:
        integer, mantissa_bits, bias = _LAYOUTS[dtype]
        return lax.bitcast_convert_type((n.astype(integer) + bias) << mantissa_bits, jnp.dtype(dtype))

    def binade(self, x: Array) -> Array:
        integer, mantissa_bits, bias = _LAYOUTS[str(x.dtype)]
        mask = jnp.asarray((2 * bias + 1) << mantissa_bits, integer)
        return lax.bitcast_convert_type(lax.bitcast_convert_type(x, integer) & mask, x.dtype)

    def sum_to(self, x: Array, like: Array) -> Array:
        leading = x.ndim - like.ndim
        shared = [leading + axis for axis, size in enumerate(like.shape) if size == 1 != x.shape[leading + axis]]
        total = jnp.sum(x, (*range(leading), *shared), keepdims=True)
        return jnp.broadcast_to(total.reshape(total.shape[leading:]), like.shape).astype(like.dtype)


_formulas = Formulas(_Operations())


@partial(jax.custom_vjp, nondiff_argnums=(5,))
def _quantize(x: Array, m: Array, e: Array, e0: Array, uniform: Array | None, mode: Mode) -> Array:
    return _formulas.quantize(x, m, e, e0, uniform, mode)


def _forward(
    x: Array, m: Array, e: Array, e0: Array, uniform: Array | None, mode: Mode
) -> tuple[Array, tuple[Any, ...]]:
    q = _quantize(x, m, e, e0, uniform, mode)
    return q, (x, q, m, e, e0)


def _backward(mode: Mode, saved: tuple[Array, ...], grad: Array) -> tuple[Any, ...]:
    return *_formulas.gradients(grad, *saved, mode), None


_quantize.defvjp(_forward, _backward)
_functions = Functions(_formulas, _quantize)

tensor, binade, quantize_counted = _formulas.xp.tensor, _formulas.xp.binade, _functions.quantize_counted
