"""Two Japanese vowels, spoken by nine men: sequences of different lengths."""

from __future__ import annotations

from typing_extensions import override

from hgq2_core.data.splits import Dataset, Split, Splits
from hgq2_core.errors import ConfigError
from hgq2_training.datasets.splitting import Seed, ValidationFraction, divided, shipped


class Vowels(Dataset):
    """The 640 utterances of "Japanese Vowels": 7 to 29 steps of 12 coefficients, and which of nine men speaks.

    Steps behind the end of an utterance are 0, as `keras.Masking` takes them; no others are. 270 utterances are for
    training and validation, and the other 370, as published, are the test part.

    Args:
        validation_fraction: share of the validation part in the 270; 0 for none.
        seed: seed of the random split.

    Raises:
        ConfigError: the fraction or the seed is not allowed.
    """

    def __init__(self, *, validation_fraction: ValidationFraction = 0.1, seed: Seed = 0) -> None:
        if not 0 <= validation_fraction < 1:
            raise ConfigError(
                "`validation_fraction` must be at least 0 and less than 1. "
                f"Received: validation_fraction={validation_fraction}"
            )
        if isinstance(seed, bool) or not isinstance(seed, int) or seed < 0:
            raise ConfigError(f"`seed` must be an integer that is at least 0. Received: seed={seed!r}")
        self.validation_fraction = validation_fraction
        self.seed = seed

    @override
    def load(self) -> Splits:
        """Return the utterances, split.

        Returns:
            float32 inputs of shape (29, 12), mostly between -1 and 1, and int64 labels from 0 to 8, stratified.
        """
        whole, test = Split(*shipped("japanese_vowels")), Split(*shipped("japanese_vowels", "_test"))
        validation, train = divided(whole, [self.validation_fraction], self.seed)
        return Splits(train, test, validation if self.validation_fraction else None)
