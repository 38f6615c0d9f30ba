"""Fixed-point quantization for jax: the formulas over `jax.numpy`, and their gradients by `custom_vjp`."""

from __future__ import annotations

from functools import partial
from typing import Any

import jax
import jax.numpy as jnp
from jax import Array

from hgq2_core.operations.jax import OPERATIONS

from ..formulas import Formulas, Mode
from ..functional import Functions


class _Compiled(Formulas):
    """The formulas that are called outside of a compiled function too: each is compiled whole, not step by step."""

    needed = partial(jax.jit, static_argnames=("self", "axes", "signed", "mode"))(Formulas.needed)
    negative = partial(jax.jit, static_argnames=("self", "axes", "mode"))(Formulas.negative)


_formulas = _Compiled(OPERATIONS)


@partial(jax.custom_vjp, nondiff_argnums=(5,))
def _quantize(x: Array, k: Array, i: Array, fraction: Array, u: Array | None, mode: Mode) -> Array:
    return _formulas.quantize(x, k, i, fraction, u, mode)


def _forward(
    x: Array, k: Array, i: Array, fraction: Array, u: Array | None, mode: Mode
) -> tuple[Array, tuple[Array, ...]]:
    q = _formulas.xp.kept(_quantize(x, k, i, fraction, u, mode))
    return q, (x, q, k, i, fraction)


def _backward(mode: Mode, saved: tuple[Array, ...], grad: Array) -> tuple[Any, ...]:
    x, q, k, i, fraction = saved
    grad_x, grad_i, grad_fraction = _formulas.gradients(grad, x, q, k, i, fraction, mode)
    return _formulas.xp.sum_to(grad_x, x), jnp.zeros_like(k), grad_i, grad_fraction, None


_quantize.defvjp(_forward, _backward)
_functions = Functions(_formulas, jax.jit(_quantize, static_argnums=5))

quantize, quantize_kbi = _functions.quantize, _functions.quantize_kbi
quantize_counted, quantize_following = _functions.quantize_counted, _functions.quantize_following
quantize_tracking, follow = _functions.quantize_tracking, _functions.follow
round_bits, clipped_bits = _functions.round_bits, _functions.clipped_bits
