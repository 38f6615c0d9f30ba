"""Quantization of backend tensors, differentiable in the values and in the bits; one module per backend."""

from __future__ import annotations

from importlib import import_module
from pkgutil import iter_modules
from types import ModuleType
from typing import Any

import keras

from hgq2_core.errors import ConfigError, listing

from ..modes import OverflowMode, RoundMode
from ..stochastic import Seed

Tensor = Any


def _load_backend() -> ModuleType:
    name = keras.backend.backend()
    supported = [module.name for module in iter_modules(__path__)]
    if name not in supported:
        raise ConfigError(
            f"Fixed-point quantizers do not support the Keras backend {name!r}; allowed: {listing(supported)}. "
            "Set KERAS_BACKEND before Keras is imported."
        )
    return import_module(f".{name}", __name__)


_backend = _load_backend()


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
    """Quantize to the fixed-point format (k, i, f), with the surrogate gradients of NUMERICS.md §2 for x, i and f.

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
    return _backend.quantize(x, k, i, f, round_mode, overflow_mode, training=training, seed=seed)


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
    return _backend.quantize_kbi(x, k, b, i, round_mode, overflow_mode, training=training, seed=seed)


def quantize_counted(
    x: Tensor,
    k: Tensor,
    i: Tensor,
    fraction: Tensor,
    round_mode: RoundMode,
    overflow_mode: OverflowMode,
    *,
    by_width: bool,
    offset: float,
    regularizers: tuple[float, float],
    gradient_scale: float = 1.0,
    seed: Seed | None = None,
) -> tuple[Tensor, Tensor, Tensor]:
    """Quantize for inference, or with a range that is not state, and count the bits in the same step.

    Args:
        x: as in `quantize`.
        k: as in `quantize`.
        i: as in `quantize`.
        fraction: f; or b where `by_width`.
        round_mode: one of `ROUND_MODES`, already checked.
        overflow_mode: one of `OVERFLOW_MODES`, already checked.
        by_width: which of the two `fraction` is.
        offset: bits counted on top, such as the sign.
        regularizers: coefficients of i and `fraction`; 0 for i where it is no variable.
        gradient_scale: factor of the quantized values' gradients for i and `fraction`.
        seed: with one, stochastic modes draw.

    Returns:
        The quantized values; max(0, i + f + offset) of the shape of the bits (NUMERICS.md §7); and the sum of i and
        `fraction` times their regularizers, a scalar. All have gradients.
    """
    return _backend.quantize_counted(
        x,
        k,
        i,
        fraction,
        round_mode,
        overflow_mode,
        by_width=by_width,
        offset=offset,
        regularizers=regularizers,
        gradient_scale=gradient_scale,
        seed=seed,
    )


def round_bits(v: Tensor) -> Tensor:
    """Round bits half to even, straight through: the gradient is that of the identity.

    Args:
        v: float tensor of any shape.

    Returns:
        Integer values in the shape and dtype of `v`.
    """
    return _backend.round_bits(v)


def clipped_bits(v: Tensor, offset: Tensor = 0.0) -> Tensor:
    """Compute max(0, round(v) + offset), with gradient 1 where that is positive and 0 elsewhere (NUMERICS.md §7).

    Args:
        v: float tensor of bits.
        offset: added integer bits, such as the sign; broadcasts against `v`, and gets the same gradient.

    Returns:
        A tensor of the broadcast shape.
    """
    return _backend.clipped_bits(v, offset)


def follow(
    x: Tensor,
    fraction: Tensor,
    *,
    by_width: bool,
    signed: bool,
    round_mode: RoundMode,
    axes: tuple[int, ...],
    bounds: tuple[float, float],
) -> Tensor:
    """Find the smallest i that holds the values after rounding (NUMERICS.md §3), without gradient.

    Args:
        x: values.
        fraction: f; or b where `by_width`, and then f = b - i for the i being tried.
        by_width: which of the two `fraction` is.
        signed: whether the format has a sign; without one, negative values do not count.
        round_mode: one of `ROUND_MODES`.
        axes: of x, along which bits are shared.
        bounds: of i; where nothing is nonzero, i is the lower one.

    Returns:
        i, float32, of the shape of the bits.
    """
    return _backend.follow(
        x, fraction, by_width=by_width, signed=signed, round_mode=round_mode, axes=axes, bounds=bounds
    )


def quantize_following(
    x: Tensor,
    fraction: Tensor,
    *,
    by_width: bool,
    signed: bool,
    round_mode: RoundMode,
    axes: tuple[int, ...],
    bounds: tuple[float, float],
    regularizer: float,
    gradient_scale: float = 1.0,
    seed: Seed | None = None,
) -> tuple[Tensor, Tensor, Tensor]:
    """Quantize with the smallest i that holds the present values (NUMERICS.md §3), and count the bits.

    Inside its own range a value never wraps; beyond the upper bound on i it saturates.

    Args:
        x: values.
        fraction: as in `follow`.
        by_width: as in `follow`.
        signed: as in `follow`.
        round_mode: as in `follow`.
        axes: as in `follow`.
        bounds: as in `follow`.
        regularizer: coefficient of `fraction`.
        gradient_scale: factor of the quantized values' gradient for `fraction`.
        seed: with one, stochastic modes draw, and i holds what they have drawn.

    Returns:
        The quantized values; max(0, i + f) of the shape of the bits; and the sum of `fraction` times its regularizer, a
        scalar. All have gradients for x and `fraction`; i is not trained.
    """
    return _backend.quantize_following(
        x,
        fraction,
        by_width=by_width,
        signed=signed,
        round_mode=round_mode,
        axes=axes,
        bounds=bounds,
        regularizer=regularizer,
        gradient_scale=gradient_scale,
        seed=seed,
    )


def quantize_tracking(
    x: Tensor,
    k: Tensor,
    i: Tensor,
    fraction: Tensor,
    round_mode: RoundMode,
    *,
    by_width: bool,
    axes: tuple[int, ...],
    decay: float,
    bounds: tuple[float, float],
    regularizer: float,
    gradient_scale: float = 1.0,
    seed: Seed | None = None,
) -> tuple[Tensor, Tensor, Tensor, Tensor, Tensor]:
    """Let a range follow the values (NUMERICS.md §3), and quantize with it: rounded, not wrapped.

    The new i is max(i - decay, what the values need after rounding) within bounds, the new k is k or any negative.

    Args:
        x: values.
        k: present sign, 1 or 0, of the shape of the bits.
        i: present integer bits.
        fraction: as in `follow`.
        round_mode: one of `ROUND_MODES`.
        by_width: as in `follow`.
        axes: of x, along which bits are shared.
        decay: how far i sinks.
        bounds: of i.
        regularizer: coefficient of `fraction`.
        gradient_scale: factor of the quantized values' gradient for `fraction`.
        seed: with one, stochastic modes draw, and i holds what they have drawn.

    Returns:
        The quantized values, the bits that the cost counts, and the sum of `fraction` times its regularizer, with
        gradients for x and `fraction`; the new i and k. Bits, i and k are float32, of the shape of the bits.
    """
    return _backend.quantize_tracking(
        x,
        k,
        i,
        fraction,
        round_mode,
        by_width=by_width,
        axes=axes,
        decay=decay,
        bounds=bounds,
        regularizer=regularizer,
        gradient_scale=gradient_scale,
        seed=seed,
    )
