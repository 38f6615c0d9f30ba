"""Which trials are stopped early: by Optuna's pruners, or because their front lies behind that of the others."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any

from hgq2_training.callbacks.front import Entry
from hgq2_training.sweeps.config import Prune, SweepSection

STAGES = (1 / 3, 2 / 3)
"""Shares of its epochs after which a trial's front is compared."""

Point = Mapping[str, float]


def lag(front: Sequence[Point], others: Sequence[Point], directions: Mapping[str, str]) -> float:
    """Return how far a front lies behind others: the share by which it would have to improve in every objective.

    For a point p and another a, that is the smallest of the relative differences of their objectives; for the front,
    that of its best point against the best other. It is negative if a point is ahead of all others.

    Args:
        front: values of the objectives by name.
        others: values of the objectives by name.
        directions: `min` or `max` of each objective.

    Returns:
        The lag; infinity if the front is empty, minus infinity if there are no others.
    """
    if not others:
        return -math.inf
    behind = (max(_relative(point, other, directions) for other in others) for point in front)
    return min(behind, default=math.inf)


def _relative(point: Point, other: Point, directions: Mapping[str, str]) -> float:
    def worse(name: str, direction: str) -> float:
        difference = point[name] - other[name] if direction == "min" else other[name] - point[name]
        return difference / abs(other[name]) if other[name] else math.copysign(math.inf, difference or -1.0)

    return min(worse(name, direction) for name, direction in directions.items())


def front_of(epochs: Sequence[Point], section: SweepSection) -> list[Point]:
    """Return the epochs that no other equals or beats in every objective; those without a finite value are left out."""
    front = section.front()
    for epoch, values in enumerate(epochs):
        if values.keys() >= front.directions.keys():
            front.offer(Entry(epoch, values))
    return [entry.metrics for entry in front.entries]


def hopeless(
    epochs: Sequence[Point], total: int, finished: Sequence[tuple[Sequence[Point], int]], section: SweepSection
) -> str:
    """Return why a trial is to stop after the epochs so far; empty if it is not.

    Args:
        epochs: its objectives after each epoch.
        total: its number of epochs.
        finished: the same two of the trials that are finished.
        section: of the sweep, with `prune.margin`.
    """
    prune = section.prune
    if prune is None or prune.margin is None or len(finished) < prune.startup_trials:
        return ""
    for share in STAGES:
        done = math.ceil(share * total)
        if not done <= len(epochs) < total:
            continue
        there = [point for each, its in finished for point in front_of(each[: math.ceil(share * its)], section)]
        found = lag(front_of(epochs[:done], section), there, section.front().directions)
        if found > prune.margin:
            return f"its front after {done} of {total} epochs was {found:.1%} behind"
    return ""


def optuna_pruner(prune: Prune | None, epochs: int, optuna: Any) -> Any:
    """Return Optuna's pruner for trials of this many epochs; one that stops none if `prune` names none."""
    makers = {
        None: optuna.pruners.NopPruner,
        "median": lambda: optuna.pruners.MedianPruner(prune.startup_trials, prune.warmup_epochs),  # type: ignore[union-attr]
        "hyperband": lambda: optuna.pruners.HyperbandPruner(max_resource=epochs),
        "successive_halving": optuna.pruners.SuccessiveHalvingPruner,
    }
    return makers[None if prune is None else prune.pruner]()
