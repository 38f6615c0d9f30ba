"""Reproducible splits of arrays into training, validation and test parts."""

from __future__ import annotations

from dataclasses import dataclass
from importlib.resources import files
from typing import Annotated, Any

import numpy as np
from numpy.typing import NDArray
from pydantic import Field

from hgq2_core.data.arrays import Rows, leaves
from hgq2_core.data.splits import Split, Splits
from hgq2_core.errors import ConfigError, DataError

Array = NDArray[Any]
TestFraction = Annotated[float, Field(gt=0, lt=1)]
ValidationFraction = Annotated[float, Field(ge=0, lt=1)]
Seed = Annotated[int, Field(ge=0)]
Folds = Annotated[int, Field(ge=2)]
Fold = Annotated[int, Field(ge=0)]
VALIDATION_FRACTION = 0.1
"""Share of the validation part where nothing sets it."""


def check_fractions(test_fraction: float, validation_fraction: float, seed: int, together: bool = True) -> None:
    """Refuse fractions that leave nothing for training or test.

    Args:
        test_fraction: strictly between 0 and 1.
        validation_fraction: at least 0; with `test_fraction` less than 1.
        seed: an integer, at least 0.
        together: whether both parts are split off the same samples.

    Raises:
        ConfigError: a fraction or the seed is not allowed.
    """
    if not 0 < test_fraction < 1:
        raise ConfigError(f"`test_fraction` must lie strictly between 0 and 1. Received: test_fraction={test_fraction}")
    if not 0 <= validation_fraction < 1:
        raise ConfigError(
            "`validation_fraction` must be at least 0 and less than 1. "
            f"Received: validation_fraction={validation_fraction}"
        )
    if together and test_fraction + validation_fraction >= 1:
        raise ConfigError(
            "`test_fraction` and `validation_fraction` together must be less than 1, to leave something to train on. "
            f"Received: test_fraction={test_fraction}, validation_fraction={validation_fraction}"
        )
    if isinstance(seed, bool) or not isinstance(seed, int) or seed < 0:
        raise ConfigError(f"`seed` must be an integer that is at least 0. Received: seed={seed!r}")


@dataclass(frozen=True)
class Splitting:
    """How samples are divided into parts.

    Args:
        test_fraction: share of the test part, strictly between 0 and 1, unless it is given.
        validation_fraction: share of the validation part, unless it is given; 0 for none.
        seed: seed of the random order.
        folds: number of equal parts of what is not for test, of which one is the validation part; None for
            `validation_fraction`.
        fold: which of them, counted from 0.
        test_given: whether the test part is given by itself.
        validation_given: whether the validation part is.

    Raises:
        ConfigError: a number is not allowed, or `folds` is given beside another validation part.
    """

    test_fraction: float
    validation_fraction: float
    seed: int
    folds: int | None = None
    fold: int = 0
    test_given: bool = False
    validation_given: bool = False

    def __post_init__(self) -> None:
        together = not (self.test_given or self.validation_given or self.folds)
        check_fractions(self.test_fraction, self.validation_fraction, self.seed, together)
        if self.folds is None:
            if self.fold:
                raise ConfigError(f"`fold` is one of `folds`, which are not given. Received: fold={self.fold}")
            return
        if self.folds < 2 or not 0 <= self.fold < self.folds:
            raise ConfigError(
                "`folds` is at least 2, and `fold` counts them from 0. "
                f"Received: folds={self.folds}, fold={self.fold}. Allowed: fold from 0 to {max(self.folds, 2) - 1}."
            )
        if self.validation_fraction != VALIDATION_FRACTION:
            raise ConfigError(
                "`folds` takes the place of `validation_fraction`. "
                f"Received: folds={self.folds}, validation_fraction={self.validation_fraction}. Leave one of them out."
            )
        if self.validation_given:
            raise ConfigError(
                "`folds` make the validation part, which is also given by itself. "
                f"Received: folds={self.folds}. Leave one of them out."
            )

    def parts(self, whole: Split, test: Split | None = None, validation: Split | None = None) -> Splits:
        """Return the parts, each in random order, with each class in the same proportions if targets are labels.

        The sizes are the rounded fractions of the whole. A class with two or more samples keeps one for training.

        Args:
            whole: all samples, without those of a part that is given.
            test: the test part, if it is given.
            validation: the validation part, if it is given.

        Raises:
            DataError: too few samples for a part.
        """
        fractions: dict[str, float] = {}
        if test is None:
            fractions["test"] = self.test_fraction
        if validation is None and self.folds is None:
            fractions["validation"] = self.validation_fraction
        *found, train = divided(whole, list(fractions.values()), self.seed)
        made = dict(zip(fractions, found, strict=True))
        if self.validation_fraction:
            validation = made.get("validation", validation)
        if self.folds is not None:
            every = stratified(train, [1 / self.folds] * (self.folds - 1), self.seed)
            validation = train.take(every.pop(self.fold))
            train = train.take(np.concatenate(every))
        return Splits(train=train, test=made["test"] if test is None else test, validation=validation)


def split(
    x: Array, y: Array, *, test_fraction: float, validation_fraction: float, seed: int, stratify: bool = True
) -> Splits:
    """Return samples split at random, with each class in the same proportions.

    The sizes are the rounded fractions of the whole. A class with two or more samples keeps one for training.

    Args:
        x: inputs, shape `(samples, ...)`.
        y: targets, shape `(samples, ...)`; one integer label per sample with `stratify`.
        test_fraction: share of the test part, strictly between 0 and 1.
        validation_fraction: share of the validation part; 0 for none.
        seed: seed of the random order.
        stratify: whether to keep the proportions of the labels; False if `y` has no labels.

    Returns:
        The parts, each in random order.

    Raises:
        ConfigError: fractions or seed are out of bounds.
        DataError: the lengths differ, there are no labels to stratify by, or too few samples for a part.
    """
    check_fractions(test_fraction, validation_fraction, seed)
    if len(x) != len(y):
        raise DataError(f"`x` and `y` must have the same length. Received: {len(x)} and {len(y)} samples")
    if stratify and not is_labels(y):
        raise DataError(
            "Stratifying needs one integer label per sample; pass stratify=False for other targets. "
            f"Received: y of shape {y.shape} and dtype {y.dtype}"
        )
    fractions = [test_fraction, validation_fraction]
    test, validation, train = (
        Split(x[chosen], y[chosen])
        for chosen in partition(y if stratify else np.zeros(len(y), dtype=np.intp), fractions, seed)
    )
    return Splits(train=train, test=test, validation=validation if validation_fraction else None)


def divided(whole: Split, fractions: list[float], seed: int) -> list[Split]:
    """Return a part of the samples for each fraction, and the rest, stratified if targets are labels.

    Args:
        whole: see `stratified`.
        fractions: share of each part.
        seed: seed of the random order.
    """
    return [whole.take(chosen) for chosen in stratified(whole, fractions, seed)]


def stratified(whole: Split, fractions: list[float], seed: int) -> list[NDArray[np.intp]]:
    """Return the indices of the parts of `divided`.

    Args:
        whole: the samples; of several targets, those of the first that are labels count.
        fractions: share of each part.
        seed: seed of the random order.
    """
    labels = next((y for y in leaves(whole.y) if is_labels(y)), np.zeros(len(whole), dtype=np.intp))
    return partition(labels, fractions, seed)


def partition(labels: Array, fractions: list[float], seed: int) -> list[NDArray[np.intp]]:
    """Return the indices of a part of the samples for each fraction, and of the rest, each in random order.

    Args:
        labels: one per sample, whose proportions are kept.
        fractions: share of each part; a share of 0 gives an empty part.
        seed: seed of the random order.

    Raises:
        DataError: too few samples for a part.
    """
    rng = np.random.default_rng(seed)
    samples = len(labels)
    label = np.unique(labels, return_inverse=True)[1]
    counts = np.bincount(label)
    order = rng.permutation(samples)
    order = order[np.argsort(label[order], kind="stable")]
    rank = np.arange(samples) - np.repeat(np.cumsum(counts) - counts, counts)  # position within the class
    part = np.zeros(samples, dtype=np.intp)
    taken = np.zeros_like(counts)
    for fraction in fractions:
        taken += _allocate(counts, fraction, np.maximum(counts - 1, 1) - taken, rng)
        part += rank >= taken[label[order]]
    indices = [rng.permutation(order[part == p]) for p in range(len(fractions) + 1)]
    for fraction, chosen in zip([*fractions, 1.0], indices, strict=True):
        if fraction and not len(chosen):
            raise DataError(f"Too few samples for these fractions. Received: {samples} samples, fractions {fractions}")
    return indices


def is_labels(y: Any) -> bool:
    """Return True if targets are one integer label per sample."""
    return y.ndim == 1 and y.dtype.kind in "biu" and not isinstance(y, Rows)


def standardize(splits: Splits) -> Splits:
    """Return the parts with each input shifted and scaled to mean 0 and deviation 1 on the training part.

    Args:
        splits: the parts; validation and test do not affect the statistics.

    Returns:
        The parts with float32 inputs; an input that is constant in training is only shifted.
    """
    return splits.standardized()


def shipped(name: str, part: str = "") -> tuple[Array, Array]:
    """Return `x` and `y` of an archive that is included in this package.

    Args:
        name: of the archive.
        part: what their names in it end with, such as `_test`.
    """
    with (files("hgq2_training") / "data" / f"{name}.npz").open("rb") as file, np.load(file) as archive:
        return archive[f"x{part}"], archive[f"y{part}"].astype(np.int64)


def _allocate(counts: NDArray[np.intp], fraction: float, room: NDArray[np.intp], rng: np.random.Generator) -> Array:
    """Distribute `round(total · fraction)` samples over classes: whole parts of quotas, then largest remainders."""
    quota = counts * fraction
    take: Array = np.minimum(np.floor(quota).astype(np.intp), room)
    missing = max(round(int(counts.sum()) * fraction) - int(take.sum()), 0)
    ranking = np.lexsort((rng.random(len(counts)), take - quota))  # ties at random: no class is favoured
    take[ranking[room[ranking] > take[ranking]][:missing]] += 1
    return take
