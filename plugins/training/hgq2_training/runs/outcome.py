"""The outcome of a training: whether it diverged or learned nothing, and the findings of `doctor`."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import keras
import numpy as np
from numpy.typing import NDArray

from hgq2_core.data.splits import Split
from hgq2_core.diagnosis.recording import as_array, count_not_finite
from hgq2_core.diagnosis.report import SEVERITIES, Check, Finding
from hgq2_core.errors import listing
from hgq2_core.exporting.graph import output_names
from hgq2_core.model.number_format import format_metric

AT_CHANCE = Check(
    "at_chance",
    "error",
    "Train for more epochs, with a smaller learning rate, a smaller ebops_beta, or more bits to begin with.",
)
STILL_MOVING = Check(
    "bits_still_move",
    "warning",
    "Add `schedule: cosine` to the training, so that its last epochs settle, or train for more epochs.",
)
DIVERGED = Check("diverged", "warning", "Train again with a smaller learning rate, or with clipnorm.")
DEAD_OUTPUT = Check(
    "dead_output",
    "warning",
    "Weight the classes (class_weight: balanced), or train longer, with a smaller ebops_beta or with more bits.",
)
UNSUITABLE = Check("unsuitable_metric", "warning", "Measure it with mean_absolute_error or r2_score in place of it.")
LOGITS = Check("metric_of_logits", "warning", "Give the metric threshold: 0.0, or from_logits: true if it takes that.")
IMBALANCE = Check(
    "imbalance",
    "warning",
    "Weight the classes, or add a metric that counts each of them, such as the recall of the rare one.",
)
SETTLED = 0.1
"""Change of the EBOPs over the last tenth of the epochs up to which the bits count as settled."""
FEWEST_EPOCHS = 20
"""Epochs from which on the last ones can be told from the others."""
RISEN = 0.5
"""Share of the loss of the first epoch by which the last one is higher in a training that diverged."""
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
    model: keras.Model,
    test: Split,
    metrics: Mapping[str, float],
    history: Sequence[Mapping[str, Any]] = (),
    outputs: Mapping[str, Mapping[str, Any]] | None = None,
) -> list[Finding]:
    """Return the findings about a finished training, without those of `doctor` about the model.

    Args:
        model: a calibrated and compiled model.
        test: the test split.
        metrics: metrics of the model on the test split.
        history: the logs of each epoch.
        outputs: how the outputs predict the test part, see `hgq2_training.report.analysis`.
    """
    outputs = outputs or {}
    judged = list(_by_output(model, test, metrics))
    return [
        *(finding for each in judged for finding in _at_chance(*each)),
        *rising_loss(model, history),
        *dead_outputs(outputs),
        *unsuitable_metrics(model, metrics, outputs),
        *(finding for each in judged for finding in imbalance(*each)),
        *still_moving(model, history),
    ]


def worst_first(findings: Sequence[Finding]) -> list[Finding]:
    """Return findings by their severity, in the given order where it is the same."""
    severities = list(SEVERITIES)
    return sorted(findings, key=lambda finding: severities.index(finding.severity))


def _by_output(
    model: keras.Model, test: Split, metrics: Mapping[str, float]
) -> Iterator[tuple[str, Split, Mapping[str, float]]]:
    """Yield name, targets and metrics of each output, with the model's name if there is only one."""
    if not isinstance(test.y, list):
        yield model.name, test, metrics
        return
    for name, y in zip(output_names(model), test.y, strict=True):
        own = {metric: value for metric, value in metrics.items() if metric.startswith(f"{name}_")}
        yield name, Split(test.x, y), own


def _at_chance(name: str, test: Split, metrics: Mapping[str, float]) -> list[Finding]:
    share = _most_frequent(test.y)
    if share is None:
        return []
    limit = share + DEVIATIONS * math.sqrt(share * (1 - share) / len(test.y))
    return [
        Finding(
            AT_CHANCE,
            name,
            None,
            f"test {metric} {format_metric(value)} "
            f"{'is no better than' if value <= share else f'cannot be told, by {len(test.y)} samples, from'} "
            f"always answering the most frequent class, {format_metric(share)}",
            {"value": value, "chance": share},
        )
        for metric, value in metrics.items()
        if _is_accuracy(metric) and not value > limit
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


def imbalance(name: str, test: Split, metrics: Mapping[str, float]) -> list[Finding]:
    """Return a finding if accuracy is the only metric of an output, and one of its classes is rare.

    Args:
        name: of the output, or of a model with one.
        test: the test split, with the targets of the output.
        metrics: those of the output, and losses.
    """
    counts = _class_counts(test.y)
    judged = [metric for metric in metrics if metric.rpartition("_")[2] != "loss"]
    if counts is None or len(counts) < 2 or not judged or not all(map(_is_accuracy, judged)):
        return []
    rarest, most = int(counts.min()), int(counts.max())
    if rarest >= RARE * most:
        return []
    seen = f"accuracy says little of the rarest class, which has {rarest} test samples; the most frequent has {most}"
    return [Finding(IMBALANCE, name, None, seen, {"rarest": rarest, "most_frequent": most})]


def rising_loss(model: keras.Model, history: Sequence[Mapping[str, Any]]) -> list[Finding]:
    """Return a finding if the loss ended far above that of the first epoch, or was not finite in between.

    The price of the bits, `ebops_beta` times the EBOPs, is taken off first, since it may rise on purpose.

    Args:
        model: the trained model.
        history: the logs of each epoch.
    """
    raw = [logs.get("loss", 0.0) for logs in history]
    lost = [index + 1 for index, loss in enumerate(raw) if loss is None or not math.isfinite(loss)]
    if lost:
        seen = f"the loss was not finite in {len(lost)} of {len(raw)} epochs, first in epoch {lost[0]}"
        return [Finding(DIVERGED, model.name, None, seen, {"epochs": len(lost), "first": lost[0]})]
    prices = [logs.get("ebops_beta", 0.0) * logs.get("ebops", 0.0) for logs in history]
    losses = [loss - price for loss, price in zip(raw, prices, strict=True)]
    # What the price of the bits was, on average over an epoch, is known only to within its change in the epoch.
    if len(losses) < 2 or losses[-1] - losses[0] <= RISEN * abs(losses[0]) + max(prices):
        return []
    best = min(range(len(losses)), key=losses.__getitem__)
    seen = (
        f"the loss ended at {format_metric(losses[-1])}, above the {format_metric(losses[0])} of the first epoch; "
        f"the smallest was {format_metric(losses[best])} in epoch {best + 1}"
    )
    return [Finding(DIVERGED, model.name, None, seen, {"first": losses[0], "last": losses[-1], "best": losses[best]})]


def dead_outputs(outputs: Mapping[str, Mapping[str, Any]]) -> list[Finding]:
    """Return a finding for each output that has numbers which never change, or classes which it never predicts.

    Args:
        outputs: how they predict the test part.
    """
    found = []
    for name, each in outputs.items():
        if each["constant"]:
            seen = f"{each['constant']} of its {each['of']} numbers are the same for all {each['samples']} test samples"
            found.append(Finding(DEAD_OUTPUT, name, None, seen, {"count": each["constant"], "of": each["of"]}))
            continue
        columns = list(zip(*each.get("confusion", ()), strict=True))
        never = [
            label
            for label, row, column in zip(each.get("classes", ()), each.get("confusion", ()), columns, strict=False)
            if sum(row) and not sum(column)
        ]
        if never:
            seen = f"{len(never)} of {len(columns)} classes are never predicted: {listing(never)}"
            found.append(Finding(DEAD_OUTPUT, name, None, seen, {"count": len(never), "of": len(columns)}))
    return found


def unsuitable_metrics(
    model: keras.Model, metrics: Mapping[str, float], outputs: Mapping[str, Mapping[str, Any]]
) -> list[Finding]:
    """Return a finding for each metric that does not measure what its name says, for the outputs and their targets.

    An accuracy of targets that are no classes, and a metric that compares logits with a threshold for probabilities.

    Args:
        model: the trained model.
        metrics: its metrics.
        outputs: how they predict the test part.
    """
    found = []
    for name, each in outputs.items():
        own = [metric for metric in metrics if len(outputs) == 1 or metric.startswith(f"{name}_")]
        accuracies = [metric for metric in own if _is_accuracy(metric)]
        if each.get("kind") == "values" and accuracies:
            seen = f"{listing(accuracies)} counts equal numbers, and the targets of this output are no classes"
            found.append(Finding(UNSUITABLE, name, None, seen))
        if each.get("low", 0.0) < 0 or each.get("high", 0.0) > 1:
            halves = [metric.name for metric in _metrics_of(model) if metric.name in own and _expects_shares(metric)]
            if halves and each.get("kind") in ("classes", "flags") and (each["of"] == 1 or each["kind"] == "flags"):
                seen = (
                    f"{listing(halves)} takes outputs for probabilities, and these are from {each['low']:.3g} to "
                    f"{each['high']:.3g}"
                )
                found.append(Finding(LOGITS, name, None, seen, {"low": each["low"], "high": each["high"]}))
    return found


def _metrics_of(model: keras.Model) -> list[keras.metrics.Metric]:
    """Return the metrics that a model is compiled with, those of each output included."""
    found, ahead = [], list(getattr(model, "metrics", ()))
    while ahead:
        each = ahead.pop()
        found.append(each)
        ahead += getattr(each, "metrics", ())
    return found


def _expects_shares(metric: keras.metrics.Metric) -> bool:
    """Return True for a metric that compares outputs with thresholds between 0 and 1."""
    config = metric.get_config()
    if isinstance(metric, keras.metrics.AUC):
        return not config["from_logits"]
    if not isinstance(metric, keras.metrics.BinaryAccuracy | keras.metrics.Precision | keras.metrics.Recall):
        return False
    thresholds = config.get("thresholds", config.get("threshold"))
    return bool((np.ravel(0.5 if thresholds is None else thresholds) > 0).all())


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
