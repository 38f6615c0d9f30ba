"""Minifloat quantization of backend tensors, differentiable in values and bits; one module per backend."""

from __future__ import annotations

import math
from importlib import import_module
from pkgutil import iter_modules
from types import ModuleType
from typing import Any

import keras

from hgq2_core.errors import ConfigError, listing

Tensor = Any


def _load_backend() -> ModuleType:
    name = keras.backend.backend()
    supported = [module.name for module in iter_modules(__path__)]
    if name not in supported:
        raise ConfigError(
            f"Minifloat quantizers do not support the Keras backend {name!r}; allowed: {listing(supported)}. "
            "Set KERAS_BACKEND before Keras is imported."
        )
    return import_module(f".{name}", __name__)


_backend = _load_backend()


def tensor(x: Any) -> Tensor:
    """Give floats as they are, narrower ones as float32; numbers and variables as tensors.

    Args:
        x: a tensor, a variable, an array, or a number.
    """
    return _backend.tensor(x)


def binade(x: Tensor) -> Tensor:
    """Give the largest power of two within |x|, from the bits; 0 for what is below the normal numbers.

    Args:
        x: float tensor of any shape.
    """
    return _backend.binade(x)


def quantize(x: Tensor, m: Tensor, e: Tensor, e0: Tensor, *, training: bool = False, seed: Any = None) -> Tensor:
    """Quantize to the minifloat format (m, e, e0), with the surrogate gradients of NUMERICS.md §5 for all four.

    Args:
        x: float tensor of any shape; narrower than float32 is computed in float32.
        m: mantissa bits, at most 23 in float32; below 0, all becomes 0. Used rounded half to even, straight through,
            like `e` and `e0`; all broadcast against `x`: size 1 on shared axes.
        e: exponent bits, from 0, fixed point, to 8.
        e0: how far the exponents are moved up. The smallest normal value, 2^(1 - max(2^(e-1), 1) + e0), is at least
            2^-127; beyond it the result is undefined.
        training: with a seed, rounding is stochastic; otherwise ties go to even.
        seed: an integer or a `keras.random.SeedGenerator`.

    Returns:
        A tensor of the broadcast shape, exact in float32.
    """
    x = tensor(x)
    uniform = keras.random.uniform(keras.ops.shape(x), seed=seed) if training and seed is not None else None
    return quantize_counted(x, m, e, e0, uniform)[0]


def quantize_counted(
    x: Tensor,
    m: Tensor,
    e: Tensor,
    e0: Tensor,
    uniform: Tensor | None = None,
    *,
    max_value: float = math.inf,
    overflow_gradient: int = 0,
    regularizers: tuple[float, float, float] = (0.0, 0.0, 0.0),
    gradient_scale: float = 1.0,
) -> tuple[Tensor, Tensor, Tensor]:
    """Quantize, and count the bits in the same step.

    Args:
        x: as in `quantize`.
        m: as in `quantize`.
        e: as in `quantize`.
        e0: as in `quantize`.
        uniform: random numbers from [0, 1) of the shape of `x` for stochastic rounding; None for ties to even.
        max_value: the largest value where the top codes are reserved.
        overflow_gradient: gradient for x of what saturates, 0 or 1.
        regularizers: coefficients of m, e and e0.
        gradient_scale: factor of the quantized values' gradients for m, e and e0.

    Returns:
        The quantized values; 1 + e + m, or 0 where m is below 0, of the shape of the bits (NUMERICS.md §7); and the sum
        of m, e and e0 times their regularizers, a scalar. All have gradients.
    """
    return _backend.quantize_counted(
        x,
        m,
        e,
        e0,
        uniform,
        max_value=max_value,
        overflow_gradient=overflow_gradient,
        regularizers=regularizers,
        gradient_scale=gradient_scale,
    )
