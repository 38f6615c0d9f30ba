"""Quantization of backend tensors, differentiable in the values and in the bits; one module per backend."""

from __future__ import annotations

from importlib import import_module
from pkgutil import iter_modules
from types import ModuleType
from typing import Any

import keras

from hgq2_core.errors import ConfigError, listing

from ..modes import OverflowMode, RoundMode

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
) -> Tensor:
    """Quantize to the fixed-point format (k, i, f), with the surrogate gradients of NUMERICS.md §2 for x, i and f.

    Args:
        x: float tensor of any shape; narrower than float32 is computed in float32.
        k: 1 with a sign bit, else 0; broadcasts against `x`, like `i` and `f`: size 1 on shared axes. No gradient.
        i: integer bits without the sign; used rounded half to even, straight through.
        f: fraction bits; used rounded half to even, straight through.
        round_mode: one of `ROUND_MODES`.
        overflow_mode: one of `OVERFLOW_MODES`. WRAP and WRAP_SM give no gradient for `i`.
        training: WRAP and WRAP_SM round only, without wrapping.

    Returns:
        A tensor of the shape of `x`. It is exact for formats of at most 24 bits in float32 and 53 in float64.

    Raises:
        ConfigError: a mode is unknown, or WRAP_SM is combined with a rounding it is not defined for.
    """
    return _backend.quantize(x, k, i, f, round_mode, overflow_mode, training=training)


def quantize_kbi(
    x: Tensor,
    k: Tensor,
    b: Tensor,
    i: Tensor,
    round_mode: RoundMode = "RND",
    overflow_mode: OverflowMode = "WRAP",
    *,
    training: bool = False,
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

    Returns:
        A tensor of the shape of `x`.

    Raises:
        ConfigError: as in `quantize`.
    """
    return _backend.quantize_kbi(x, k, b, i, round_mode, overflow_mode, training=training)


def round_to_grid(x: Tensor, f: Tensor, round_mode: RoundMode = "RND") -> Tensor:
    """Round to multiples of 2^-f without bounds and without gradient.

    Args:
        x: float tensor of any shape.
        f: fraction bits; broadcasts against `x`, and is used rounded half to even.
        round_mode: one of `ROUND_MODES`.

    Returns:
        A tensor of the broadcast shape.

    Raises:
        ConfigError: the mode is unknown.
    """
    return _backend.round_to_grid(x, f, round_mode)


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
        offset: added bits, such as the sign; broadcasts against `v`. No gradient.

    Returns:
        A tensor of the broadcast shape.
    """
    return _backend.clipped_bits(v, offset)


def minimal_integer_bits(lo: Tensor, hi: Tensor, k: Tensor, f: Tensor) -> Tensor:
    """Find the smallest i whose range holds rounded values: `arithmetic.minimal_integer_bits`, without gradient.

    Args:
        lo: smallest values, multiples of 2^-f; ignored where k = 0.
        hi: largest values, multiples of 2^-f.
        k: 1 with a sign bit, else 0.
        f: fraction bits.

    Returns:
        i as float32 of the broadcast shape; -inf where nothing is nonzero.
    """
    return _backend.minimal_integer_bits(lo, hi, k, f)


def minimal_integer_bits_for_width(
    lo: Tensor, hi: Tensor, k: Tensor, b: Tensor, round_mode: RoundMode = "RND"
) -> Tensor:
    """Find the smallest i that holds unrounded values rounded with f = b - i, without gradient.

    Args:
        lo: smallest values; ignored where k = 0.
        hi: largest values.
        k: 1 with a sign bit, else 0.
        b: width without the sign; used rounded half to even.
        round_mode: one of `ROUND_MODES`.

    Returns:
        i as float32 of the broadcast shape; -inf where nothing is nonzero or b + k <= 0.

    Raises:
        ConfigError: the mode is unknown.
    """
    return _backend.minimal_integer_bits_for_width(lo, hi, k, b, round_mode)
