"""Handwritten digits, 8 × 8 pixels."""

from __future__ import annotations

import numpy as np
from typing_extensions import override

from hgq2_core.data.splits import Dataset, Splits
from hgq2_core.errors import ConfigError
from hgq2_training.datasets.splitting import Seed, TestFraction, ValidationFraction, check_fractions, shipped, split

SHAPES = ([64], [8, 8], [8, 8, 1])


class Digits(Dataset):
    """The 1797 handwritten digits of scikit-learn: 64 grey values `n / 16`, exact in 5 bits, and ten classes.

    Args:
        test_fraction: share of the test part.
        validation_fraction: share of the validation part; 0 for none.
        seed: seed of the random split.
        shape: shape of one input: `[64]`, `[8, 8]` or `[8, 8, 1]`.

    Raises:
        ConfigError: fractions, seed or shape are not allowed.
    """

    def __init__(
        self,
        *,
        test_fraction: TestFraction = 0.25,
        validation_fraction: ValidationFraction = 0.1,
        seed: Seed = 0,
        shape: list[int] = [64],  # noqa: B006 - a schema default, never changed
    ) -> None:
        check_fractions(test_fraction, validation_fraction, seed)
        if list(shape) not in SHAPES:
            raise ConfigError(f"`shape` must be one of {', '.join(map(str, SHAPES))}. Received: shape={shape}")
        self.test_fraction = test_fraction
        self.validation_fraction = validation_fraction
        self.seed = seed
        self.shape = list(shape)

    @override
    def load(self) -> Splits:
        """Return the digits, split.

        Returns:
            float32 inputs from 0 to 1 and int64 labels from 0 to 9, stratified.
        """
        x, y = shipped("digits_8x8")
        return split(
            x.reshape(-1, *self.shape).astype(np.float32) / np.float32(16),
            y,
            test_fraction=self.test_fraction,
            validation_fraction=self.validation_fraction,
            seed=self.seed,
        )
