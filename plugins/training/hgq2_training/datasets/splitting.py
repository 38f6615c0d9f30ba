"""Reproducible splits of arrays into training, validation and test parts."""

from __future__ import annotations

from dataclasses import replace
from importlib.resources import files
from typing import Annotated, Any

import numpy as np
from numpy.typing import NDArray
from pydantic import Field

from hgq2_core.data.splits import Split, Splits
from hgq2_core.errors import ConfigError, DataError

Array = NDArray[Any]
TestFraction = Annotated[float, Field(gt=0, lt=1)]
ValidationFraction = Annotated[float, Field(ge=0, lt=1)]
Seed = Annotated[int, Field(ge=0)]


def check_fractions(test_fraction: float, validation_fraction: float, seed: int) -> None:
    """Refuse fractions that leave nothing for training or test.

    Args:
        test_fraction: strictly between 0 and 1.
        validation_fraction: at least 0; with `test_fraction` less than 1.
        seed: an integer, at least 0.

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
    if test_fraction + validation_fraction >= 1:
        raise ConfigError(
            "`test_fraction` and `validation_fraction` together must be less than 1, to leave something to train on. "
            f"Received: test_fraction={test_fraction}, validation_fraction={validation_fraction}"
        )
    if isinstance(seed, bool) or not isinstance(seed, int) or seed < 0:
        raise ConfigError(f"`seed` must be an integer that is at least 0. Received: seed={seed!r}")


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
    test, validation, train = partition(x, y, [test_fraction, validation_fraction], seed=seed, stratify=stratify)
    return Splits(train=train, test=test, validation=validation if validation_fraction else None)


def partition(x: Array, y: Array, fractions: list[float], *, seed: int, stratify: bool) -> list[Split]:
    """Return one part of the samples per fraction, and the rest.

    Args:
        x: inputs.
        y: targets.
        fractions: share of each part; a share of 0 gives an empty part.
        seed: seed of the random order.
        stratify: whether to keep the proportions of the labels in `y`.

    Returns:
        The parts in the order of `fractions`, then the rest.

    Raises:
        DataError: the lengths differ, there are no labels to stratify by, or too few samples for a part.
    """
    if len(x) != len(y):
        raise DataError(f"`x` and `y` must have the same length. Received: {len(x)} and {len(y)} samples")
    if stratify and not is_labels(y):
        raise DataError(
            "Stratifying needs one integer label per sample; pass stratify=False for other targets. "
            f"Received: y of shape {y.shape} and dtype {y.dtype}"
        )
    rng = np.random.default_rng(seed)
    label = np.unique(y, return_inverse=True)[1] if stratify else np.zeros(len(y), dtype=np.intp)
    counts = np.bincount(label)
    order = rng.permutation(len(y))
    order = order[np.argsort(label[order], kind="stable")]
    rank = np.arange(len(y)) - np.repeat(np.cumsum(counts) - counts, counts)  # position within the class
    part = np.zeros(len(y), dtype=np.intp)
    taken = np.zeros_like(counts)
    for fraction in fractions:
        taken += _allocate(counts, fraction, np.maximum(counts - 1, 1) - taken, rng)
        part += rank >= taken[label[order]]
    indices = [rng.permutation(order[part == p]) for p in range(len(fractions) + 1)]
    for fraction, chosen in zip([*fractions, 1.0], indices, strict=True):
        if fraction and not len(chosen):
            raise DataError(f"Too few samples for these fractions. Received: {len(y)} samples, fractions {fractions}")
    return [Split(x[chosen], y[chosen]) for chosen in indices]


def in_parts(
    whole: Split, test: Split | None, *, test_fraction: float, validation_fraction: float, seed: int
) -> Splits:
    """Return the parts of a file's data, stratified if the targets are labels.

    Args:
        whole: all samples, without a separate test part.
        test: the separate test part, if there is one.
        test_fraction: share of the test part, if there is no separate one.
        validation_fraction: share of the validation part in `whole`.
        seed: seed of the random split.
    """
    stratify = is_labels(whole.y)
    if test is None:
        fractions = {"test_fraction": test_fraction, "validation_fraction": validation_fraction}
        return split(whole.x, whole.y, **fractions, seed=seed, stratify=stratify)
    validation, train = partition(whole.x, whole.y, [validation_fraction], seed=seed, stratify=stratify)
    return Splits(train=train, test=test, validation=validation if validation_fraction else None)


def with_inputs_ready(
    splits: Splits, *, standardized: bool, features: tuple[str, ...] = (), notes: tuple[str, ...] = ()
) -> Splits:
    """Return the parts with float32 inputs.

    Args:
        splits: the parts.
        standardized: whether to standardize the inputs.
        features: names of the inputs.
        notes: see `Splits`.
    """
    return replace(splits.standardized(features) if standardized else as_float32(splits), notes=notes)


def is_labels(y: Array) -> bool:
    """Return True if targets are one integer label per sample."""
    return y.ndim == 1 and y.dtype.kind in "biu"


def standardize(splits: Splits) -> Splits:
    """Return the parts with each input shifted and scaled to mean 0 and deviation 1 on the training part.

    Args:
        splits: the parts; validation and test do not affect the statistics.

    Returns:
        The parts with float32 inputs; an input that is constant in training is only shifted.
    """
    return splits.standardized()


def as_float32(splits: Splits) -> Splits:
    """Return the parts with float32 inputs."""

    def apply(part: Split) -> Split:
        return Split(part.x.astype(np.float32), part.y)

    validation = None if splits.validation is None else apply(splits.validation)
    return replace(splits, train=apply(splits.train), test=apply(splits.test), validation=validation)


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
