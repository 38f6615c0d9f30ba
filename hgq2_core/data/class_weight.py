"""Sample weights that follow from factors of labels."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from hgq2_core.data.arrays import chunks, leaves
from hgq2_core.data.splits import Split
from hgq2_core.errors import ConfigError, listing, nearest

BALANCED = "balanced"
MOST_LABELS = 10_000
"""Limit on the length of one-hot rows."""


def is_of_labels(factors: Mapping[str, Any]) -> bool:
    """Return True if a mapping has a factor for each label, rather than mappings for each output."""
    return not any(each == BALANCED or isinstance(each, Mapping) for each in factors.values())


def with_class_weight(split: Split, class_weight: Any, outputs: list[str], classes: Any) -> Split:
    """Return a split with the factors of its labels in its sample weights.

    Args:
        split: in the order of a model.
        class_weight: as in a config; None for no factors.
        outputs: names of the model's outputs.
        classes: texts of the labels, see `Splits`.

    Raises:
        ConfigError: an output has no labels, or no such label.
    """
    if class_weight is None:
        return split
    shares = split.weight if isinstance(split.weight, list) else [split.weight] * len(outputs)
    weights = []
    one = not isinstance(class_weight, Mapping) or is_of_labels(class_weight)
    for y, share, name in zip(leaves(split.y), shares, outputs, strict=True):
        own = class_weight if one else class_weight.get(name)
        weight = np.ones(len(split), np.float32) if share is None else np.asarray(share)
        if own is not None:
            texts = classes.get(name) if isinstance(classes, Mapping) else classes
            place = "training.class_weight" if one else f"training.class_weight.{name}"
            weight = weight * _factors(y, weight, own, texts, place)
        weights.append(weight.astype(np.float32))
    return replace(split, weight=weights if len(weights) > 1 else weights[0])


def _factors(y: Any, weight: NDArray[Any], class_weight: Any, texts: Any, place: str) -> NDArray[np.float64]:
    labels = labels_of(y)
    if labels is None:
        raise ConfigError(
            f"{place}: needs targets that are labels. Received: targets of shape {list(np.shape(y)[1:])}, "
            f"dtype {y.dtype}."
        )
    known, index = np.unique(labels, return_inverse=True)
    if class_weight == BALANCED:
        totals = np.bincount(index, weight)
        factors = np.divide(weight.sum(), len(known) * totals, out=np.zeros_like(totals), where=totals > 0)
        balanced: NDArray[np.float64] = factors[index]
        return balanced
    numbers = {str(label): label for label in known.tolist()}
    names = numbers if texts is None else {text: label for label, text in enumerate(texts)}
    for label in class_weight:
        if label not in names:
            raise ConfigError(
                f"{place}.{label}: no such label. Received: {label!r}. "
                f"Allowed: {listing(names)}.{nearest(label, names)}"
            )
    by_label = {names[label]: factor for label, factor in class_weight.items()}
    return np.array([by_label.get(label, 1.0) for label in known.tolist()])[index]


def labels_of(y: Any) -> NDArray[np.int64] | None:
    """Return the label of each sample; None if targets are neither integers, one per sample, nor one-hot rows."""
    shape = np.shape(y)
    if len(shape) > 2 or (len(shape) == 2 and shape[1] > MOST_LABELS):
        return None
    found = []
    for rows in chunks(y):
        labels = _labels_of(rows)
        if labels is None:
            return None
        found.append(labels)
    return np.concatenate(found)


def _labels_of(targets: NDArray[Any]) -> NDArray[np.int64] | None:
    rows = targets.reshape(len(targets), -1)
    if rows.shape[1] > 1:
        one_hot = np.isin(rows, (0, 1)).all() and (rows.sum(axis=1) == 1).all()
        return rows.argmax(axis=1) if one_hot else None
    if targets.dtype.kind == "f" and (np.floor(rows) != rows).any():
        return None
    return rows[:, 0].astype(np.int64)
