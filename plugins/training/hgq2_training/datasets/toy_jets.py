"""Synthetic jets of one, two and three prongs."""

from __future__ import annotations

from dataclasses import replace
from typing import Annotated

import numpy as np
from pydantic import Field
from typing_extensions import override

from hgq2_core.data.splits import Dataset, Split, Splits
from hgq2_core.errors import ConfigError
from hgq2_training.datasets.jet_generator import MOST_PARTICLES, generate
from hgq2_training.datasets.splitting import Seed, TestFraction, ValidationFraction, check_fractions, split

CLASSES = ("one prong", "two prongs", "three prongs")
ANOMALY = ("usual", "anomaly")

Jets = Annotated[int, Field(ge=30)]
Particles = Annotated[int, Field(ge=1, le=MOST_PARTICLES)]


class ToyJets(Dataset):
    """Synthetic jets: their hardest particles, and whether they have one prong (quark, gluon), two (W) or three (top).

    Everything is generated, by the kinematics that `jet_generator` documents: for demonstrations and tests, not for
    physics. Equal arguments give equal jets.

    Args:
        jets: how many there are, a third of each class.
        particles: of each jet, in falling order of momentum, with zeros behind the last.
        anomalies: whether to train on jets of one prong alone. Label 1 then marks all other jets, which are in the
            validation and test parts only, and have no weight in the loss.
        test_fraction: share of the test part.
        validation_fraction: share of the validation part; 0 for none.
        seed: seed of the jets and of the random split.

    Raises:
        ConfigError: numbers, fractions or seed are not allowed.
    """

    def __init__(
        self,
        *,
        jets: Jets = 15_000,
        particles: Particles = 16,
        anomalies: bool = False,
        test_fraction: TestFraction = 0.25,
        validation_fraction: ValidationFraction = 0.1,
        seed: Seed = 0,
    ) -> None:
        check_fractions(test_fraction, validation_fraction, seed)
        if isinstance(jets, bool) or not isinstance(jets, int) or jets < 30:
            raise ConfigError(f"`jets` must be an integer that is at least 30. Received: jets={jets!r}")
        if isinstance(particles, bool) or not isinstance(particles, int) or not 1 <= particles <= MOST_PARTICLES:
            raise ConfigError(
                f"`particles` must be an integer from 1 to {MOST_PARTICLES}. Received: particles={particles!r}"
            )
        self.jets = jets
        self.particles = particles
        self.anomalies = anomalies
        self.test_fraction = test_fraction
        self.validation_fraction = validation_fraction
        self.seed = seed

    @override
    def load(self) -> Splits:
        """Generate the jets and split them.

        Returns:
            float32 inputs of shape (particles, 3): share of the jet's pT, and eta and phi from its axis, in units of
            its radius. int64 labels 0, 1, 2; or 0, 1 for `anomalies`.
        """
        prongs = 1 + np.arange(self.jets) % len(CLASSES)
        splits = split(
            generate(prongs, self.particles, self.seed),
            prongs - 1,
            test_fraction=self.test_fraction,
            validation_fraction=self.validation_fraction,
            seed=self.seed,
        )
        if not self.anomalies:
            return splits.noted((), CLASSES)
        usual = splits.train.take(np.flatnonzero(splits.train.y == 0))
        notes = ("Anomalies are in validation and test only, without weight in the loss.",)
        return replace(splits, train=usual).each(_marked).noted(notes, ANOMALY)


def _marked(part: Split) -> Split:
    """Return a part in which label 1 marks what has more than one prong, with no weight in the loss."""
    anomaly = np.asarray(part.y) > 0
    return Split(part.x, anomaly.astype(np.int64), (~anomaly).astype(np.float32))
