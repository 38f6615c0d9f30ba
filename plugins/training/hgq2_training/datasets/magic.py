"""Gamma and hadron showers, seen by a Cherenkov telescope."""

from __future__ import annotations

from typing_extensions import override

from hgq2_core.data.splits import Dataset, Splits
from hgq2_training.datasets.splitting import (
    Seed,
    TestFraction,
    ValidationFraction,
    check_fractions,
    shipped,
    split,
    standardize,
)


class Magic(Dataset):
    """The 19020 simulated showers of the MAGIC telescope: ten image parameters, and 1 for gamma, 0 for hadron.

    Args:
        test_fraction: share of the test part.
        validation_fraction: share of the validation part; 0 for none.
        seed: seed of the random split.

    Raises:
        ConfigError: fractions or seed are not allowed.
    """

    def __init__(
        self, *, test_fraction: TestFraction = 0.25, validation_fraction: ValidationFraction = 0.1, seed: Seed = 0
    ) -> None:
        check_fractions(test_fraction, validation_fraction, seed)
        self.test_fraction = test_fraction
        self.validation_fraction = validation_fraction
        self.seed = seed

    @override
    def load(self) -> Splits:
        """Return the showers, split and standardized.

        Returns:
            float32 inputs of mean 0 and deviation 1 in the training part, and int64 labels, stratified.
        """
        x, y = shipped("magic_gamma")
        parts = split(
            x, y, test_fraction=self.test_fraction, validation_fraction=self.validation_fraction, seed=self.seed
        )
        return standardize(parts)
