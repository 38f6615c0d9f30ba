"""Missing values in text files, and their replacement."""

from __future__ import annotations

from dataclasses import replace
from typing import Literal

import numpy as np

from hgq2_core.data.splits import Split, Splits
from hgq2_core.errors import DataError

Missing = Literal["error", "drop", "mean"]

TEXTS = frozenset({"", "?", "na", "n/a", "nan", "null", "none"})
"""Texts for a missing value, in lower case."""

REMEDY = "`missing: drop` leaves such lines out, `missing: mean` fills such cells."


def is_missing(text: str) -> bool:
    """Return True if a cell has no value."""
    return text.strip().lower() in TEXTS


def fill(splits: Splits, features: tuple[str, ...]) -> Splits:
    """Return the parts with the mean of the training part in place of each NaN among the inputs.

    Args:
        splits: inputs of shape `(samples, features)`.
        features: their names.

    Raises:
        DataError: a feature has no values in the training part.
    """
    known = ~np.isnan(splits.train.x)
    counts = known.sum(axis=0)
    if not counts.all():
        raise DataError(
            f"`missing: mean`: column {features[int(np.argmin(counts))]!r} has no value in the training part. "
            "Name it in `ignore`."
        )
    mean = np.where(known, splits.train.x, 0.0).sum(axis=0) / counts

    def filled(part: Split) -> Split:
        return Split(np.where(np.isnan(part.x), mean, part.x), part.y)

    validation = None if splits.validation is None else filled(splits.validation)
    return replace(splits, train=filled(splits.train), test=filled(splits.test), validation=validation)
