"""The outcome of a training: whether it diverged or learned nothing, and the findings of `doctor`."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any

import keras
import numpy as np

from hgq2_core import doctor
from hgq2_core.data.splits import Split
from hgq2_core.diagnosis.recording import as_array, count_not_finite
from hgq2_core.diagnosis.report import Check, Finding
from hgq2_core.model.number_format import format_metric

AT_CHANCE = Check(
    "at_chance",
    "error",
    "Train again with a smaller learning rate, a smaller ebops_beta, or more bits to begin with.",
)
DEVIATIONS = 2.0
"""Standard deviations above the share of the most frequent class up to which an accuracy counts as chance."""


def divergence(model: keras.Model, history: Sequence[Mapping[str, Any]]) -> str:
    """Return a message, with a remedy, if variables are NaN or infinite after training; empty otherwise.

    Args:
        model: the trained model.
        history: the logs of each epoch.
    """
    lost = [variable.path for variable in model.weights if count_not_finite(as_array(variable))]
    if not lost:
        return ""
    losses = {logs["epoch"] + 1: logs.get("loss", 0.0) for logs in history}
    epochs = [epoch for epoch, loss in losses.items() if loss is None or not math.isfinite(loss)]
    since = f" The loss is not finite from epoch {epochs[0]} on." if epochs else ""
    return (
        f"training: diverged. {len(lost)} variables hold NaN or infinite values, {lost[0]} first.{since} "
        "Train again with a smaller training.optimizer.learning_rate, or with clipnorm."
    )


def outcome(model: keras.Model, test: Split, metrics: Mapping[str, float]) -> list[Finding]:
    """Return the findings about a finished training, worst first.

    Args:
        model: a calibrated and compiled model.
        test: the test split.
        metrics: metrics of the model on the test split.
    """
    return [*_at_chance(model, test, metrics), *doctor(model, test.x, test.y).findings]


def _at_chance(model: keras.Model, test: Split, metrics: Mapping[str, float]) -> list[Finding]:
    share = _most_frequent(test.y)
    if share is None:
        return []
    limit = share + DEVIATIONS * math.sqrt(share * (1 - share) / len(test.y))
    return [
        Finding(
            AT_CHANCE,
            model.name,
            None,
            f"test {name} {format_metric(value)} is no better than always answering the most frequent class, "
            f"{format_metric(share)}",
            {"value": value, "chance": share},
        )
        for name, value in metrics.items()
        if (name == "acc" or name.endswith("accuracy")) and "top_k" not in name and not value > limit
    ]


def _most_frequent(y: Any) -> float | None:
    """Return the share of the most frequent class; None if the targets are not classes."""
    if not isinstance(y, np.ndarray):
        return None
    labels = y.reshape(len(y), -1)
    if labels.shape[1] > 1:
        one_hot = np.isin(labels, (0, 1)).all() and (labels.sum(axis=1) == 1).all()
        if not one_hot:
            return None
        labels = labels.argmax(axis=1)
    return float(np.unique(labels, return_counts=True)[1].max() / len(y))
