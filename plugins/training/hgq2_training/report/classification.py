"""How a model tells classes apart: confusion matrix, recall, and the curve of signal over background."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

Array = NDArray[Any]

REJECTIONS = (10, 100, 1000)
"""Factors by which the background is reduced, at which the efficiency for the signal is told."""
MOST_CLASSES = 500
"""Classes, or flags, that are told apart, at most: a matrix grows as their square."""
CURVE_POINTS = 120
"""Points of a curve that are kept, at most."""


def labels_of(y: Array, outputs: Array) -> Array | None:
    """Return the label of each sample; None if the targets are not classes that these outputs could tell apart.

    Args:
        y: integers, of the outputs' shape without its last axis, or one-hot rows of the outputs' shape.
        outputs: the last axis has a number for each class, or a single one for two classes.
    """
    classes = outputs.shape[-1]
    if y.shape == outputs.shape and classes > 1:
        rows = y.reshape(-1, classes)
        return rows.argmax(axis=1) if _are_flags(rows) and (rows.sum(axis=1) == 1).all() else None
    if y.size * classes != outputs.size:
        return None
    labels = y.ravel()
    whole = labels.dtype.kind in "biu" or (labels == np.round(labels)).all()
    if not whole or labels.min() < 0 or labels.max() >= max(classes, 2):
        return None
    return labels.astype(np.int64)


def classification(
    y: Array, outputs: Array, from_logits: bool = False, names: Sequence[str] = ()
) -> dict[str, Any] | None:
    """Return how outputs tell classes apart, as plain data; None if the targets are not classes, or too many.

    Args:
        y: the targets, see `labels_of`; or flags of the outputs' shape, each a question of its own.
        outputs: of the model.
        from_logits: whether a single output, or a flag, is a logit rather than a probability.
        names: of the classes; by default their numbers.
    """
    count = outputs.shape[-1]
    if count > MOST_CLASSES or y.dtype.kind not in "biuf":
        return None
    labels = labels_of(y, outputs)
    threshold = 0.0 if from_logits else 0.5
    if labels is None:
        if y.shape != outputs.shape or count == 1 or not _are_flags(y):
            return None
        flags, scores = y.reshape(-1, count) == 1, outputs.reshape(-1, count)
        named = _named(names, count)
        recall = [_share(scores[flags[:, k], k] > threshold) for k in range(count)]
        curves = [_curve(named[k], flags[:, k], scores[:, k]) for k in range(count)]
        return {"kind": "flags", "classes": named, "recall": recall, "curves": curves}
    scores = outputs.reshape(-1, count)
    named = _named(names, max(count, 2))
    if count == 1:
        predicted = (scores[:, 0] > threshold).astype(np.int64)
        curves = [_curve(named[1], labels == 1, scores[:, 0])]
    else:
        predicted = scores.argmax(axis=1)
        shares = _probabilities(scores)
        curves = [_curve(name, labels == k, shares[:, k]) for k, name in enumerate(named)]
    size = len(named)
    confusion = np.bincount(labels * size + predicted, minlength=size * size).reshape(size, size)
    return {
        "kind": "classes",
        "classes": named,
        "confusion": confusion.tolist(),
        "recall": [_share(predicted[labels == k] == k) for k in range(size)],
        "precision": [_share(labels[predicted == k] == k) for k in range(size)],
        "curves": curves,
    }


def roc(signal: NDArray[np.bool_], score: Array) -> tuple[Array, Array]:
    """Return the shares of background and of signal above each threshold, both rising from 0 to 1.

    Args:
        signal: whether a sample is signal; there are some of both.
        score: higher for what looks more like signal; samples of the same score are above a threshold together.
    """
    order = np.argsort(-score, kind="stable")
    above = np.append(np.flatnonzero(np.diff(score[order])), len(score) - 1)
    hits = np.cumsum(signal[order])[above]
    false = above + 1 - hits
    return np.append(0.0, false / false[-1]), np.append(0.0, hits / hits[-1])


def _curve(name: str, signal: NDArray[np.bool_], score: Array) -> dict[str, Any]:
    """Return a curve and its numbers; without them where there is no signal, no background, or a NaN."""
    background = int((~signal).sum())
    if not signal.any() or not background or not np.isfinite(score).all():
        return {"class": name, "auc": None, "efficiency": {}, "points": []}
    x, y = roc(signal, score)
    return {
        "class": name,
        "auc": float(np.sum(np.diff(x) * (y[1:] + y[:-1]) / 2)),
        # Below one sample of background nothing is measured.
        "efficiency": {
            str(each): float(y[np.searchsorted(x, 1 / each + 1e-12, "right") - 1])
            for each in REJECTIONS
            if background >= each
        },
        "points": _corners(x, y),
    }


def _corners(x: Array, y: Array) -> list[list[float]]:
    """Return the points at which a staircase turns, thinned out evenly where they are many."""
    dx, dy = np.diff(x), np.diff(y)
    turns = np.append(np.append(True, dx[1:] * dy[:-1] != dx[:-1] * dy[1:]), True)
    (kept,) = np.nonzero(turns)
    kept = kept[np.unique(np.linspace(0, len(kept) - 1, CURVE_POINTS).astype(int))]
    return [[float(a), float(b)] for a, b in zip(x[kept], y[kept], strict=True)]


def _probabilities(scores: Array) -> Array:
    """Return shares that sum to 1, of logits by the softmax."""
    if (scores >= 0).all() and np.allclose(scores.sum(axis=1), 1, atol=1e-2):
        return scores
    powers = np.exp((scores - scores.max(axis=1, keepdims=True)).astype(np.float64))
    shares: Array = powers / powers.sum(axis=1, keepdims=True)
    return shares


def _are_flags(values: Array) -> bool:
    return bool(np.isin(values, (0, 1)).all())


def _named(names: Sequence[str], count: int) -> list[str]:
    return list(names) if len(names) == count else [str(k) for k in range(count)]


def _share(right: Array) -> float | None:
    return float(right.mean()) if right.size else None


def rows(found: Mapping[str, Any]) -> list[dict[str, Any]]:
    """Return the numbers of each class, as a table shows them; of two classes, the curve is that of the second."""
    curves = {curve["class"]: curve for curve in found["curves"]}
    return [
        {
            "class": name,
            "recall": found["recall"][k],
            "precision": found.get("precision", [None] * (k + 1))[k],
            "auc": curves.get(name, {}).get("auc"),
            "efficiency": curves.get(name, {}).get("efficiency", {}),
        }
        for k, name in enumerate(found["classes"])
    ]
