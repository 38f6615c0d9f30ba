"""The outcome of a training: whether it diverged or learned nothing, and the findings of `doctor`."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any

import keras
import numpy as np
from numpy.typing import NDArray

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
STILL_MOVING = Check(
    "bits_still_move",
    "warning",
    "Add `schedule: cosine` to the training, so that its last epochs settle, or train for more epochs.",
)
IMBALANCE = Check(
    "imbalance",
    "warning",
    "Weight the classes, or add a metric that counts each of them, such as the recall of the rare one.",
)
SETTLED = 0.1
"""Change of the EBOPs over the last tenth of the epochs up to which the bits count as settled."""
FEWEST_EPOCHS = 20
"""Epochs from which on the last ones can be told from the others."""
RARE = 0.1
"""Size of the rarest class, relative to the most frequent, below which an accuracy says little of it."""
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


def outcome(
    model: keras.Model, test: Split, metrics: Mapping[str, float], history: Sequence[Mapping[str, Any]] = ()
) -> list[Finding]:
    """Return the findings about a finished training, worst first.

    Args:
        model: a calibrated and compiled model.
        test: the test split.
        metrics: metrics of the model on the test split.
        history: the logs of each epoch.
    """
    of_run = [*imbalance(model, test, metrics), *still_moving(model, history)]
    return [*_at_chance(model, test, metrics), *of_run, *doctor(model, test.x, test.y).findings]


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
        if _is_accuracy(name) and not value > limit
    ]


def still_moving(model: keras.Model, history: Sequence[Mapping[str, Any]]) -> list[Finding]:
    """Return a finding if the EBOPs before calibration still changed in the last tenth of the epochs.

    Args:
        model: the trained model.
        history: the logs of each epoch.
    """
    costs = [float(logs["ebops"]) for logs in history if logs.get("ebops")]
    if len(costs) < FEWEST_EPOCHS:
        return []
    last = len(costs) // 10
    before, after = costs[-1 - last], costs[-1]
    change = after / before - 1
    if abs(change) <= SETTLED:
        return []
    changed = f"EBOPs changed by {change:+.0%} in the last {last} of {len(costs)} epochs"
    seen = f"the last epochs still move the bits: {changed}"
    return [Finding(STILL_MOVING, model.name, None, seen, {"before": before, "after": after})]


def imbalance(model: keras.Model, test: Split, metrics: Mapping[str, float]) -> list[Finding]:
    """Return a finding if accuracy is the only metric, and one of the classes is rare.

    Args:
        model: the trained model.
        test: the test split.
        metrics: its metrics.
    """
    counts = _class_counts(test.y)
    judged = [name for name in metrics if name != "loss"]
    if counts is None or len(counts) < 2 or not judged or not all(map(_is_accuracy, judged)):
        return []
    rarest, most = int(counts.min()), int(counts.max())
    if rarest >= RARE * most:
        return []
    seen = f"accuracy says little of the rarest class, which has {rarest} test samples; the most frequent has {most}"
    return [Finding(IMBALANCE, model.name, None, seen, {"rarest": rarest, "most_frequent": most})]


def _is_accuracy(name: str) -> bool:
    """Return True for a share of right answers; `sparse_categorical_accuracy` is one, too."""
    return name == "acc" or (name.endswith("accuracy") and not any(word in name for word in ("top_k", "balanced")))


def _most_frequent(y: Any) -> float | None:
    """Return the share of the most frequent class; None if the targets are not classes."""
    counts = _class_counts(y)
    return None if counts is None else float(counts.max() / len(y))


def _class_counts(y: Any) -> NDArray[np.intp] | None:
    """Return the number of samples of each class that occurs; None if the targets are not classes."""
    if not isinstance(y, np.ndarray):
        return None
    labels = y.reshape(len(y), -1)
    if labels.shape[1] > 1:
        one_hot = np.isin(labels, (0, 1)).all() and (labels.sum(axis=1) == 1).all()
        if not one_hot:
            return None
        labels = labels.argmax(axis=1)
    counts: NDArray[np.intp] = np.unique(labels, return_counts=True)[1]
    return counts
