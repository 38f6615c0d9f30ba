"""Functions of one number for lookup tables, besides Keras' activations."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import keras

from hgq2_core.ops import Tensor

Function = Callable[[Any], Any]

EDGE = 2.0**-8
"""Where a function with a pole ends: nearer to the pole it is what it is there."""


def log(x: Tensor) -> Tensor:
    """Return log(max(x, 2^-8))."""
    return keras.ops.log(keras.ops.maximum(x, EDGE))


def log1p(x: Tensor) -> Tensor:
    """Return log(max(1 + x, 2^-8))."""
    return log(1.0 + x)


def reciprocal(x: Tensor) -> Tensor:
    """Return 1 / x, of what is less than 2^-8 in size 1 / 2^-8 with its sign."""
    size = keras.ops.maximum(keras.ops.absolute(x), EDGE)
    return keras.ops.where(x < 0, -1.0, 1.0) / size


def rsqrt(x: Tensor) -> Tensor:
    """Return 1 / sqrt(max(x, 2^-8))."""
    return keras.ops.rsqrt(keras.ops.maximum(x, EDGE))


def sqrt(x: Tensor) -> Tensor:
    """Return sqrt(x), and 0 below 0, also as its gradient there."""
    positive = x > 0
    return keras.ops.where(positive, keras.ops.sqrt(keras.ops.where(positive, x, 1.0)), 0.0)


def gelu_tanh(x: Tensor) -> Tensor:
    """Return the approximation of gelu that `keras.ops.gelu` computes by default."""
    return keras.ops.gelu(x, approximate=True)


STEEP = (keras.ops.exp, keras.ops.exp2, keras.ops.expm1, log, log1p, reciprocal, rsqrt)
"""Functions of which a few entries of a table would be far larger than what most data need."""

OF_POSITIVE = (log, rsqrt, sqrt)
"""Functions of numbers that are not negative."""

_WITHOUT_EDGE = ("arctan", "ceil", "cos", "erf", "exp", "exp2", "expm1", "floor", "round", "sign", "sin")

FUNCTIONS: dict[str, Function] = {
    **{name: getattr(keras.ops, name) for name in _WITHOUT_EDGE},
    **{function.__name__: function for function in (gelu_tanh, log, log1p, reciprocal, rsqrt, sqrt)},
}
"""By the names that `QUnaryFunction` takes."""


def of_operation(function: Any) -> str | None:
    """Return the name of the function here that stands for one of `keras.ops`; None for anything else."""
    names = {name: name for name in FUNCTIONS} | {"gelu": gelu_tanh.__name__}
    return next((ours for name, ours in names.items() if function is getattr(keras.ops, name, None)), None)
