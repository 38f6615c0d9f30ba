"""Utterances of different lengths, by masks: both examples learn, and their integers are exact."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from selection import nightly, slow

from hgq2_core.config.model import load_config
from hgq2_training.datasets.vowels import Vowels
from hgq2_training.runs.train import train

EXAMPLES = Path(__file__).parents[2] / "examples" / "sequences"
NAMES = ("vowels_rnn", "vowels_attention")


def test_only_steps_behind_the_end_are_masked() -> None:
    splits = Vowels().load()
    assert splits.validation is not None
    assert (len(splits.train), len(splits.validation), len(splits.test)) == (243, 27, 370)
    for part in (splits.train, splits.validation, splits.test):
        spoken = (part.x != 0).any(axis=-1)
        assert (np.diff(spoken.astype(int), axis=1) <= 0).all()
        assert spoken.sum(axis=1).min() >= 7


SEEDS = [(name, seed) for name in NAMES for seed in range(3)]


@pytest.mark.parametrize(
    ("name", "seed"), [slow(*each) if each == ("vowels_attention", 0) else nightly(*each) for each in SEEDS]
)
def test_it_learns_with_masks_and_exactly(
    tmp_path: Path, claims: dict[str, tuple[float, float]], name: str, seed: int
) -> None:
    run = train(load_config(EXAMPLES / f"{name}.yaml", [f"seed={seed}"]), tmp_path / "run")
    least, most = claims[name]
    assert run.metrics["test"]["accuracy"] >= least
    assert run.metrics["ebops"] <= most
    assert (run.verification.mismatches, run.verification.samples) == (0, 370)
