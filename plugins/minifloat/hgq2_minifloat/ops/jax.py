"""Minifloat quantization for jax: the formulas over `jax.numpy`, and their gradients by `custom_vjp`."""

from __future__ import annotations

from functools import partial
from typing import Any

import jax
from jax import Array

from hgq2_core.operations.jax import OPERATIONS

from ..formulas import Formulas, Mode
from ..functional import Functions

_formulas = Formulas(OPERATIONS)


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
