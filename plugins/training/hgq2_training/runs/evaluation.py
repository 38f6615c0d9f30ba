"""Loss and metrics of a model on a part of the data."""

from __future__ import annotations

import keras

from hgq2_core.data.feed import evaluation
from hgq2_core.data.splits import Split


def evaluate(model: keras.Model, split: Split) -> dict[str, float]:
    """Return loss and metrics on a split, which is in the order of the model."""
    results = model.evaluate(**evaluation(split), verbose=0, return_dict=True)
    return {name: float(value) for name, value in results.items()}
