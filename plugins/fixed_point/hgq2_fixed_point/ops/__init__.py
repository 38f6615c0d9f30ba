"""Quantization of backend tensors, differentiable in the values and in the bits.

`backend` declares the operations, and holds those of the running backend under `backend()`: `torch/` has fused passes
written by hand; `jax` and `tensorflow` compile the formulas of `hgq2_fixed_point.formulas`.
"""

from __future__ import annotations

import functools
from typing import Any

from hgq2_core.ops import Tensor
from hgq2_core.ops.backend import backend_module
from hgq2_fixed_point.modes import OverflowMode, RoundMode, check_modes
from hgq2_fixed_point.ops.backend import Backend
from hgq2_fixed_point.ops.options import Options
from hgq2_fixed_point.stochastic import Seed, training_seed


@functools.cache
def backend() -> Backend:
    """Return the operations of the running backend.

    Raises:
        PluginError: Keras runs on another backend than torch, jax and tensorflow.
    """
    return backend_module(__name__).BACKEND  # type: ignore[no-any-return]


def quantize(
    x: Tensor,
    k: Tensor,
    i: Tensor,
    f: Tensor,
    round_mode: RoundMode = "RND",
    overflow_mode: OverflowMode = "WRAP",
    *,
    training: bool = False,
    seed: Seed | None = None,
) -> Tensor:
    """Quantize to the fixed-point format (k, i, f), with the surrogate gradients of docs/numerics.md#2 for x, i and f.

    Args:
        x: float tensor of any shape; narrower than float32 is computed in float32.
        k: 1 with a sign bit, else 0; broadcasts against `x`, like `i` and `f`: size 1 on shared axes. No gradient.
        i: integer bits without the sign; used rounded half to even, straight through. i, f and i + f lie within ±120,
            where powers of two are normal float32 numbers; outside, the result is undefined (configs allow ±60).
        f: fraction bits; used rounded half to even, straight through.
        round_mode: one of `ROUND_MODES`.
        overflow_mode: one of `OVERFLOW_MODES`. WRAP and WRAP_SM give no gradient for `i`.
        training: WRAP and WRAP_SM round only, without wrapping; S_RND and S_RND_CONV draw, and are RND and RND_CONV
            otherwise.
        seed: what stochastic rounding draws from in training: a `keras.random.SeedGenerator`, or an integer, which
            draws the same numbers in every call.

    Returns:
        A tensor of the shape of `x`. It is exact for formats of at most 24 bits in float32 and 53 in float64.

    Raises:
        ConfigError: a mode is unknown, WRAP_SM is combined with a rounding it is not defined for, or a stochastic mode
            has no seed in training.
    """
    return _quantize(x, k, i, f, Options(round_mode, overflow_mode), training, seed)


def quantize_kbi(
    x: Tensor,
    k: Tensor,
    b: Tensor,
    i: Tensor,
    round_mode: RoundMode = "RND",
    overflow_mode: OverflowMode = "WRAP",
    *,
    training: bool = False,
    seed: Seed | None = None,
) -> Tensor:
    """Quantize to (k, i, f = b - i), with gradients for x, b and i: dq/db = dq/df and dq/di|b = dq/di|f - dq/df.

    Args:
        x: as in `quantize`.
        k: as in `quantize`.
        b: width without the sign; used rounded half to even, straight through.
        i: integer bits without the sign; used rounded half to even, straight through.
        round_mode: as in `quantize`.
        overflow_mode: as in `quantize`.
        training: as in `quantize`.
        seed: as in `quantize`.

    Returns:
        A tensor of the shape of `x`.

    Raises:
        ConfigError: as in `quantize`.
    """
    return _quantize(x, k, i, b, Options(round_mode, overflow_mode, fixed_width=True), training, seed)


def _quantize(x: Any, k: Any, i: Any, precision: Any, options: Options, training: bool, seed: Seed | None) -> Tensor:
    check_modes(options.round_mode, options.overflow_mode)
    seed = training_seed(options.round_mode, training, seed)
    return backend().quantize(x, k, i, precision, options, training=training, seed=seed)[0]


__all__ = ["Options", "backend", "quantize", "quantize_kbi"]
