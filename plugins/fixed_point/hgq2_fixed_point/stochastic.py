"""Stochastic rounding: what is drawn for it."""

from __future__ import annotations

from typing import TypeAlias

import keras

from hgq2_core.errors import ConfigError
from hgq2_core.ops import Tensor
from hgq2_fixed_point.modes import DETERMINISTIC, RoundMode

Seed: TypeAlias = "keras.random.SeedGenerator | int"


def draw(x: Tensor, round_mode: RoundMode, seed: Seed | None) -> Tensor | None:
    """Draw a number in [0, 1) for each value where the mode is stochastic and there is a seed; else None.

    Args:
        x: float32 or float64 tensor.
        round_mode: one of `ROUND_MODES`.
        seed: None wherever rounding is to be deterministic.
    """
    if seed is None or round_mode not in DETERMINISTIC:
        return None
    return keras.random.uniform(keras.ops.shape(x), dtype=keras.backend.standardize_dtype(x.dtype), seed=seed)


def training_seed(round_mode: RoundMode, training: bool, seed: Seed | None) -> Seed | None:
    """Return the seed in training, and None elsewhere.

    Args:
        round_mode: one of `ROUND_MODES`.
        training: whether randomness is on.
        seed: the one received.

    Raises:
        ConfigError: a stochastic mode has none in training.
    """
    if not training:
        return None
    if seed is None and round_mode in DETERMINISTIC:
        raise ConfigError(
            f"round_mode={round_mode!r} draws in training and needs a seed. Received: seed=None. "
            "Allowed: a keras.random.SeedGenerator, or an integer, which draws the same numbers in every call."
        )
    return seed
