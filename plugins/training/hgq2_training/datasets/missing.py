"""Missing values in tables."""

from __future__ import annotations

from typing import Literal

import numpy as np

from hgq2_core.data.preprocessing import Fill
from hgq2_core.errors import DataError
from hgq2_training.datasets.splitting import Array

Missing = Literal["error", "drop", "mean"]

REMEDY = "`missing: drop` leaves such lines out, `missing: mean` fills such cells."


def fill(x: Array, elements: tuple[str, ...]) -> Fill:
    """Return the step that puts the mean of the training part in place of each NaN.

    Args:
        x: inputs of the training part, shape `(samples, elements)`.
        elements: their names.

    Raises:
        DataError: an element has no values in the training part.
    """
    known = ~np.isnan(x)
    counts = known.sum(axis=0)
    if not counts.all():
        raise DataError(
            f"`missing: mean`: column {elements[int(np.argmin(counts))]!r} has no value in the training part. "
            "Name it in `ignore`."
        )
    return Fill(np.where(known, x, 0.0).sum(axis=0) / counts)
