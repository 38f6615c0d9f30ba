"""Classes that a part of the data lacks are told with the data's other notes."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from hgq2_core import ModelConfig
from hgq2_core.data import Split, Splits
from hgq2_core.data.absent_classes import notes_on_classes


def splits(train: list[int], test: list[int], classes: tuple[str, ...] | None = ("muon", "tau", "pion")) -> Splits:
    parts = [Split(np.zeros((len(y), 1), np.float32), np.array(y)) for y in (train, test)]
    return Splits(*parts, classes=classes)


@pytest.mark.parametrize(
    "train, test, notes",
    [
        ([0, 1, 2], [2, 1, 0], []),
        ([0, 1, 0], [0, 1, 2], ["no training sample has the class 'pion'."]),
        ([0, 1, 2], [1], ["no test sample has the class 'muon', 'pion'."]),
        ([1, 1], [1, 1], ["all training samples have one label, 'tau'; there is nothing to tell apart."]),
    ],
)
def test_each_class_that_is_missing_is_named(train: list[int], test: list[int], notes: list[str]) -> None:
    assert list(notes_on_classes(splits(train, test))) == notes


def test_of_labels_without_names_only_a_single_one_is_told() -> None:
    assert list(notes_on_classes(splits([0, 5], [3], None))) == []
    (note,) = notes_on_classes(splits([7, 7], [3], None))
    assert note == "all training samples have one label, 7; there is nothing to tell apart."


def test_numbers_are_no_classes() -> None:
    part = Split(np.zeros((2, 1), np.float32), np.ones((2, 1), np.float32))
    assert list(notes_on_classes(Splits(part, part))) == []


def test_several_outputs_are_named(tmp_path: Path) -> None:
    np.savez(tmp_path / "d.npz", x=np.zeros((20, 1)), a=np.zeros(20, int), b=np.arange(20) % 2)
    config = ModelConfig.parse(
        {
            "model": {"inputs": {"x": {"shape": [1]}}, "layers": [{"kind": "dense", "units": 1}]},
            "data": {"kind": "npz", "path": str(tmp_path / "d.npz"), "y": {"one": "a", "two": "b"}},
        }
    )
    assert config.load_data().notes == ("one: all training samples have one label, 0; there is nothing to tell apart.",)
