"""Minifloat quantization of backend tensors, differentiable in the values and in the bits.

`backend` declares the operations, and `backend()` returns those of the running backend: `torch/` has a fused pass
written by hand; `jax` and `tensorflow` compile the formulas of `hgq2_minifloat.formulas`.
"""

from __future__ import annotations

import functools
from typing import Any

import keras

from hgq2_core.ops import Tensor
from hgq2_core.ops.backend import backend_module
from hgq2_minifloat.ops.backend import Backend
from hgq2_minifloat.ops.options import Options


@functools.cache
def backend() -> Backend:
    """Return the operations of the running backend.

    Raises:
        PluginError: Keras runs on another backend than torch, jax and tensorflow.
    """
    return backend_module(__name__).BACKEND  # type: ignore[no-any-return]


def quantize(x: Tensor, m: Tensor, e: Tensor, e0: Tensor, *, training: bool = False, seed: Any = None) -> Tensor:
    """Quantize to the minifloat format (m, e, e0), with the surrogate gradients of docs/numerics.md#5 for all four.

    Args:
        x: float tensor of any shape; narrower than float32 is computed in float32.
        m: mantissa bits, at most 23 in float32; below 0, all becomes 0. Used rounded half to even, straight through,
            like `e` and `e0`; all broadcast against `x`: size 1 on shared axes.
        e: exponent bits, from 0, fixed point, to 8.
        e0: exponent offset: how far the exponents are shifted up. The smallest normal value,
            2^(1 - max(2^(e-1), 1) + e0), is at least 2^-127; beyond it the result is undefined.
        training: with a seed, rounding is stochastic; otherwise ties go to even.
        seed: an integer or a `keras.random.SeedGenerator`.

    Returns:
        A tensor of the broadcast shape, exact in float32.
    """
    uniform = None
    if training and seed is not None:
        uniform = keras.random.uniform(keras.ops.shape(keras.ops.convert_to_tensor(x)), seed=seed)
    return backend().quantize(x, m, e, e0, Options(), uniform)[0]


__all__ = ["Options", "backend", "quantize"]
