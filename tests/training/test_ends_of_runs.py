"""What the end of a run says of the training: bits that still move, and classes that an accuracy does not see."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest

from hgq2_core.data.splits import Split
from hgq2_training.runs.outcome import imbalance, still_moving

MODEL: Any = SimpleNamespace(name="model")


def history(*costs: float) -> list[dict[str, Any]]:
    return [{"epoch": epoch, "ebops": cost} for epoch, cost in enumerate(costs)]


def test_bits_that_the_last_epochs_still_move_are_told() -> None:
    (finding,) = still_moving(MODEL, history(*[200.0] * 18, 150.0, 100.0))
    assert finding.seen == "the last epochs still move the bits: EBOPs changed by -50% in the last 2 of 20 epochs"
    assert finding.numbers == {"before": 200.0, "after": 100.0}


def test_bits_that_have_settled_are_not_told_nor_is_a_short_training() -> None:
    assert still_moving(MODEL, history(*[1000] * 15, *[100.0] * 5)) == []
    assert still_moving(MODEL, history(*range(100, 90, -1))) == []
    assert still_moving(MODEL, []) == []


def split(*counts: int) -> Split:
    y = np.repeat(np.arange(len(counts)), counts)
    return Split(np.zeros((len(y), 1), np.float32), y)


@pytest.mark.parametrize("name", ["acc", "accuracy", "sparse_categorical_accuracy"])
def test_an_accuracy_on_a_rare_class_is_told(name: str) -> None:
    (finding,) = imbalance(MODEL, split(95, 5), {"loss": 0.1, name: 0.95})
    assert finding.seen == (
        "accuracy says little of the rarest class, which has 5 test samples; the most frequent has 95"
    )


def test_classes_of_like_size_and_other_metrics_are_not_told() -> None:
    assert imbalance(MODEL, split(60, 40), {"loss": 0.1, "accuracy": 0.9}) == []
    assert imbalance(MODEL, split(95, 5), {"loss": 0.1, "accuracy": 0.9, "recall": 0.2}) == []
    assert imbalance(MODEL, split(95, 5), {"loss": 0.1, "balanced_accuracy": 0.5}) == []
    assert imbalance(MODEL, split(95, 5), {"loss": 0.1}) == []
