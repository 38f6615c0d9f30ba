"""Splitting: seeded, stratified, exact in its sizes; standardizing: from the training part only."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from hgq2_core.data.splits import Split, Splits
from hgq2_core.errors import ConfigError, DataError
from hgq2_training.datasets.splitting import split, standardize

FIRST_TEST = [19, 2, 13, 4, 6]


def cut(labels: Any, **changes: Any) -> Splits:
    """Split samples whose input is their own index."""
    arguments = {"test_fraction": 0.25, "validation_fraction": 0.1, "seed": 0} | changes
    return split(np.arange(len(labels)), np.asarray(labels), **arguments)


def parts(splits: Splits) -> list[Split]:
    return [part for part in (splits.train, splits.validation, splits.test) if part is not None]


@given(
    labels=st.lists(st.integers(-3, 3), min_size=40, max_size=300),
    test=st.floats(0.1, 0.5),
    validation=st.floats(0.1, 0.4),
    seed=st.integers(0, 2**40),
)
def test_every_sample_is_in_exactly_one_part_with_its_own_label(
    labels: list[int], test: float, validation: float, seed: int
) -> None:
    splits = cut(labels, test_fraction=test, validation_fraction=validation, seed=seed)
    assert sorted(np.concatenate([part.x for part in parts(splits)])) == list(range(len(labels)))
    for part in parts(splits):
        np.testing.assert_array_equal(part.y, np.asarray(labels)[part.x])


@given(counts=st.lists(st.integers(10, 60), min_size=1, max_size=5), seed=st.integers(0, 99))
def test_sizes_are_the_rounded_fractions_and_classes_keep_their_share(counts: list[int], seed: int) -> None:
    labels = np.repeat(np.arange(len(counts)), counts)
    splits = cut(labels, seed=seed)
    assert splits.validation is not None
    for part, fraction in ((splits.test, 0.25), (splits.validation, 0.1)):
        assert len(part) == round(len(labels) * fraction)
        shares = np.bincount(part.y, minlength=len(counts))
        assert (np.abs(shares - np.asarray(counts) * fraction) < 1).all()


def test_the_fractions_are_of_the_whole() -> None:
    splits = cut([0, 1] * 100, test_fraction=0.5, validation_fraction=0.2)
    assert [len(part) for part in parts(splits)] == [60, 40, 100]
    assert np.bincount(splits.train.y).tolist() == [30, 30]


def test_the_same_seed_gives_the_same_parts_on_every_machine() -> None:
    first, again, other = cut([0, 1] * 10), cut([0, 1] * 10), cut([0, 1] * 10, seed=1)
    assert first.test.x.tolist() == again.test.x.tolist() == FIRST_TEST
    assert other.test.x.tolist() != FIRST_TEST


def test_parts_are_in_random_order_not_sorted_by_class() -> None:
    y = cut(np.repeat([0, 1], 100)).train.y
    assert (np.diff(y) != 0).sum() > 20


def test_a_class_of_two_keeps_a_sample_for_training() -> None:
    for seed in range(20):
        splits = cut([0] * 20 + [1, 1], test_fraction=0.5, validation_fraction=0.4, seed=seed)
        assert 1 in splits.train.y


def test_labels_that_are_all_different_are_split_like_any_other_numbers() -> None:
    splits = cut(np.arange(100), seed=3)
    assert [len(part) for part in parts(splits)] == [65, 10, 25]
    assert splits.test.y.max() > 50  # not the smallest labels only


def test_without_a_validation_fraction_there_is_no_validation_part() -> None:
    splits = cut([0, 1] * 10, validation_fraction=0)
    assert splits.validation is None
    assert (len(splits.train), len(splits.test)) == (15, 5)


def test_other_targets_are_split_without_stratifying() -> None:
    splits = cut(np.linspace(0, 1, 20), stratify=False)
    assert [len(part) for part in parts(splits)] == [13, 2, 5]
    with pytest.raises(DataError, match=r"stratify=False.*Received: y of shape \(20,\) and dtype float64"):
        cut(np.linspace(0, 1, 20))


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"test_fraction": 0.0}, r"`test_fraction` must lie strictly between 0 and 1. Received: test_fraction=0.0"),
        ({"test_fraction": 1.0}, "test_fraction=1.0"),
        ({"test_fraction": float("nan")}, "test_fraction=nan"),
        ({"validation_fraction": -0.1}, "validation_fraction=-0.1"),
        ({"validation_fraction": 1.0}, "validation_fraction=1.0"),
        ({"test_fraction": 0.5, "validation_fraction": 0.5}, "together must be less than 1"),
        ({"seed": -1}, "seed=-1"),
        ({"seed": True}, "seed=True"),
        ({"seed": 0.5}, "seed=0.5"),
    ],
)
def test_fractions_and_seeds_out_of_bounds_say_what_is_allowed(changes: dict[str, Any], message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        cut([0, 1] * 10, **changes)


def test_lengths_must_agree_and_every_part_must_have_samples() -> None:
    with pytest.raises(DataError, match=r"same length. Received: 3 and 2 samples"):
        split(np.zeros(3), np.zeros(2, int), test_fraction=0.5, validation_fraction=0, seed=0)
    with pytest.raises(DataError, match="Too few samples"):
        cut([0, 0, 0], test_fraction=0.1)


def test_standardizing_takes_its_statistics_from_the_training_part_only() -> None:
    train = Split(np.array([[0.0, 5.0], [2.0, 9.0]]), np.zeros(2))
    test = Split(np.array([[101.0, 7.0]]), np.zeros(1))
    splits = standardize(Splits(train, test, test))
    assert splits.train.x.tolist() == [[-1.0, -1.0], [1.0, 1.0]]
    assert splits.test.x.tolist() == [[100.0, 0.0]]
    assert splits.validation is not None
    assert {part.x.dtype for part in parts(splits)} == {np.dtype("float32")}


def test_a_constant_column_is_only_shifted_even_where_its_mean_is_not_exact() -> None:
    column = np.full((7, 1), 0.1)  # its float64 mean differs from 0.1
    splits = standardize(Splits(Split(column, np.zeros(7)), Split(np.array([[0.1], [1.1]]), np.zeros(2))))
    assert (splits.train.x == 0).all()
    assert splits.test.x.tolist() == [[0.0], [1.0]]


def test_large_offsets_are_removed_before_rounding_to_float32() -> None:
    seconds = 1.7e9 + np.array([[0.0], [1.0], [2.0], [3.0]])
    splits = standardize(Splits(Split(seconds, np.zeros(4)), Split(seconds, np.zeros(4))))
    np.testing.assert_allclose(np.diff(splits.train.x[:, 0]), 1 / np.std([0, 1, 2, 3]), rtol=1e-6)
