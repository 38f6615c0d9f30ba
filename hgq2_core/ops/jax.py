"""The operations of quantizers' formulas in jax, and the formulas as a differentiable function."""

from __future__ import annotations

from contextlib import AbstractContextManager
from functools import partial
from typing import Any

import jax
import jax.numpy as jnp
import keras
from jax import Array, lax
from typing_extensions import override

from hgq2_core.ops.layout import LAYOUTS
from hgq2_core.ops.protocol import Differentiable, Formulas
from hgq2_core.ops.step import StepOperations


class _Operations:
    """See `hgq2_core.ops.protocol.Operations`."""

    floor, ceil, half_even = staticmethod(jnp.floor), staticmethod(jnp.ceil), staticmethod(jnp.round)
    minimum, maximum = staticmethod(jnp.minimum), staticmethod(jnp.maximum)
    sign, sum, stop_gradient = staticmethod(jnp.sign), staticmethod(jnp.sum), staticmethod(lax.stop_gradient)

    def tensor(self, value: Any) -> Array:
        value = value.value if isinstance(value, keras.Variable) else value
        value = jnp.asarray(value, None if hasattr(value, "dtype") else "float32")
        return value if value.dtype.name in LAYOUTS else value.astype("float32")

    def dtype(self, x: Array) -> str:
        return str(x.dtype)

    def cast(self, x: Array, dtype: str) -> Array:
        return x.astype(dtype)

    def where(self, condition: Array, a: Any, b: Any) -> Array:
        return jnp.where(condition, a, b)

    def relu(self, x: Array) -> Array:
        # Of the zeros that jax.nn.relu compares with, XLA makes an array if a sum follows.
        return jnp.where(x <= 0, 0.0, x)

    def materialize(self, x: Array) -> Array:
        # XLA recomputes cheap operations in every consumer, for every element they are broadcast to, and removes an
        # optimization barrier before that on CPUs; a quotient counts as expensive. x / 1 is x, and NaN / NaN is NaN.
        return x / jnp.where(x == x, 1.0, x)

    def exp2(self, n: Array, dtype: str) -> Array:
        layout = LAYOUTS[dtype]
        bits = (n.astype(layout.integer) + layout.bias) << layout.mantissa_bits
        return lax.bitcast_convert_type(bits, jnp.dtype(dtype))

    def frexp_exponent(self, x: Array) -> Array:
        layout = LAYOUTS[str(x.dtype)]
        bits = lax.bitcast_convert_type(x, jnp.dtype(layout.integer)) >> layout.mantissa_bits
        return (bits - (layout.bias - 1)).astype(x.dtype)

    def binade(self, x: Array) -> Array:
        layout = LAYOUTS[str(x.dtype)]
        integer = jnp.dtype(layout.integer)
        mask = jnp.asarray(layout.exponent_mask, integer)
        return lax.bitcast_convert_type(lax.bitcast_convert_type(x, integer) & mask, x.dtype)

    def amin(self, x: Array, axes: tuple[int, ...]) -> Array:
        return jnp.min(x, axes, keepdims=True)

    def amax(self, x: Array, axes: tuple[int, ...]) -> Array:
        return jnp.max(x, axes, keepdims=True)

    def sum_to(self, x: Array, like: Array) -> Array:
        leading = x.ndim - like.ndim
        shared = [leading + axis for axis, size in enumerate(like.shape) if size == 1 != x.shape[leading + axis]]
        total = jnp.sum(x, (*range(leading), *shared), keepdims=True)
        return jnp.broadcast_to(total.reshape(total.shape[leading:]), like.shape).astype(like.dtype)


OPERATIONS = _Operations()


class _Step(StepOperations):
    @override
    def step_by_step(self) -> AbstractContextManager[None]:
        return jax.disable_jit()  # type: ignore[no-any-return]

    @override
    def divide_batch(self, inputs: Any) -> Any:
        distribution = keras.distribution.distribution()
        if not (isinstance(distribution, keras.distribution.DataParallel) and _in_compiled()):
            return inputs
        mesh, batch = distribution.device_mesh, distribution.batch_dim_name

        def divided(x: Any) -> Any:
            if not isinstance(x, jax.core.Tracer) or x.ndim == 0:
                return x
            layout = keras.distribution.TensorLayout([batch, *[None] * (x.ndim - 1)], mesh)
            return keras.distribution.distribute_tensor(x, layout)

        return keras.tree.map_structure(divided, inputs)

    @override
    def take_rows(self, table: Array, index: Array) -> Array:
        # XLA fuses the lookup with what computes the index, into a loop over single numbers which divides to find the
        # place of each in every array. Across a branch it fuses nothing; no index is negative, so this one is taken.
        index = lax.cond(index.ravel()[0] >= 0, lambda index: index, jnp.zeros_like, index) if index.size else index
        return table.at[index].get(mode="promise_in_bounds", wrap_negative_indices=False)


STEP = _Step()


def _in_compiled() -> bool:
    # Only what is compiled takes batches that the devices do not divide evenly. There new arrays are traced too, which
    # they are not where gradients are taken eagerly.
    return isinstance(jnp.zeros(()), jax.core.Tracer)


def differentiable(formulas: Formulas) -> Differentiable:
    """Return `formulas.quantize` with the gradients of `formulas.gradients`; compiled even when called eagerly."""

    @partial(jax.custom_vjp, nondiff_argnums=(5,))
    def quantize(x: Array, a: Array, b: Array, c: Array, u: Array | None, options: Any) -> Array:
        return formulas.quantize(x, a, b, c, u, options)

    def forward(
        x: Array, a: Array, b: Array, c: Array, u: Array | None, options: Any
    ) -> tuple[Array, tuple[Array, ...]]:
        q = OPERATIONS.materialize(quantize(x, a, b, c, u, options))
        return q, (x, q, a, b, c)

    def backward(options: Any, saved: tuple[Array, ...], grad: Array) -> tuple[Any, ...]:
        x, q, a, b, c = saved
        return *formulas.gradients(grad, x, q, a, b, c, options), None

    quantize.defvjp(forward, backward)
    return jax.jit(quantize, static_argnums=5)  # type: ignore[no-any-return]
