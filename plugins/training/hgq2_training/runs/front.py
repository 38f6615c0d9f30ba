"""The front of a run: its models in rising cost, and the one that is recommended."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from rich.table import Table
from typing_extensions import override

from hgq2_core.commands.notebook import Shown
from hgq2_core.config.reader import read_document
from hgq2_core.errors import ConfigError, ModelFileError, listing
from hgq2_core.files import read_json
from hgq2_core.model.number_format import format_count, format_metric
from hgq2_training.callbacks.front import Direction, front_table
from hgq2_training.runs.files import CONFIG, DATA, FRONT, FRONT_LIST

BEST = "best"
"""The word for the recommended model, in place of a number."""

NEAR_BEST = 0.05
"""Share of the front's span within which a metric that is no accuracy counts as equal to the best."""


@dataclass(frozen=True)
class FrontPoint:
    """A model on the front of a run.

    Args:
        number: its place in rising EBOPs, from 0.
        epoch: the epoch after which it was measured.
        metrics: its metrics by name; `ebops` are the calibrated ones.
        path: its file.
    """

    number: int
    epoch: int
    metrics: Mapping[str, float]
    path: Path

    @property
    def ebops(self) -> float:
        """The calibrated EBOPs."""
        return self.metrics["ebops"]


@dataclass(frozen=True)
class Recommendation:
    """The recommended model of a front.

    Args:
        point: the model.
        reason: why, on one line.
    """

    point: FrontPoint
    reason: str

    def to_dict(self) -> dict[str, Any]:
        """Return plain data."""
        return {
            "front": self.point.number,
            "file": self.point.path.name,
            "epoch": self.point.epoch,
            "metrics": dict(self.point.metrics),
            "reason": self.reason,
        }


class RunFront(tuple[FrontPoint, ...], Shown):
    """The models on the front of a run in rising calibrated EBOPs; prints as a table, and notebooks show it."""

    @override
    def __rich__(self) -> Table:
        names = list(self[0].metrics) if self else []
        table = front_table("front", ("epoch", *names))
        for point in self:
            table.add_row(str(point.number), str(point.epoch), *(format_metric(point.metrics[name]) for name in names))
        return table


def read_front(directory: str | Path) -> RunFront:
    """Return the models on the front of a run in rising calibrated EBOPs; empty if the run kept none.

    Raises:
        ConfigError: the front was kept by metrics without `ebops`, and has no such order.
        ModelFileError: its list is damaged.
    """
    folder = Path(directory) / FRONT
    found = _read(folder)
    if found and not _ordered(found):
        names = listing(found[0][1])
        raise ConfigError(
            f"{folder}: a front is ordered by EBOPs, and this one was kept by {names}. "
            "Give the callback pareto_front `ebops` among its metrics."
        )
    ordered = sorted(found, key=lambda entry: (entry[1]["ebops"], entry[0]))
    return RunFront(FrontPoint(number, *entry) for number, entry in enumerate(ordered))


def choose(directory: str | Path, choice: int | str) -> FrontPoint:
    """Return one model of a run's front.

    Args:
        directory: the run directory.
        choice: a number in rising calibrated EBOPs, from 0, or `best` for the recommended one.

    Raises:
        ConfigError: the run has no front, or no such model.
    """
    points = read_front(directory)
    if not points:
        raise ConfigError(
            f"{directory}: the run kept no front. Received: --front {choice}. "
            "The callback pareto_front in the config keeps one."
        )
    if choice == BEST:
        best = recommended(directory)
        if best is None:
            raise ConfigError(
                f"{directory}: no model on the front is within the budget of {format_count(_budget(directory))} EBOPs; "
                f"the cheapest has {format_count(points[0].ebops)}. Take one by its number: --front 0."
            )
        return best.point
    text = str(choice)
    if not text.isascii() or not text.isdigit() or int(text) >= len(points):
        raise ConfigError(
            f"{directory}: no such model on the front. Received: --front {choice}. "
            f"Allowed: 0 to {len(points) - 1}, in rising EBOPs, or {BEST}."
        )
    return points[int(text)]


def recommended(directory: str | Path, budget: float | None = None) -> Recommendation | None:
    """Return the cheapest model on a run's front that is about as good as the best one.

    About as good means, of an accuracy, within one standard error of the best, which is what the number of validation
    samples can tell apart; of any other metric, within a twentieth of the front's span.

    Args:
        directory: the directory of a run with a front.
        budget: the most EBOPs; by default those of the run, finished or not.

    Returns:
        The recommendation; None if the run kept no front or one without EBOPs, or no model is within the budget.
    """
    if not _ordered(_read(Path(directory) / FRONT)):
        return None
    points = read_front(directory)
    most = _budget(directory) if budget is None else budget
    within = [each for each in points if each.ebops <= most]
    if not within:
        return None
    directions = _directions(Path(directory) / FRONT)
    metric = next((name for name in directions if name != "ebops"), None)
    if metric is None:
        return Recommendation(within[0], f"{format_count(within[0].ebops)} EBOPs: the cheapest")
    values = [each.metrics[metric] for each in within]
    best = min(values) if directions[metric] == "min" else max(values)
    margin, words = _margin(metric, values, best, _validation_samples(directory))
    point = next(each for each, value in zip(within, values, strict=True) if abs(value - best) <= margin)
    value = format_metric(point.metrics[metric])
    why = (
        "the best"
        if point.metrics[metric] == best
        else f"the cheapest within {words} of the best, {format_metric(best)}"
    )
    return Recommendation(point, f"{metric} {value} at {format_count(point.ebops)} EBOPs: {why}")


def _budget(directory: str | Path) -> float:
    """Return the most EBOPs of a run by its config, infinite without a budget of EBOPs."""
    path = Path(directory) / CONFIG
    training = read_document(path).get("training") if path.is_file() else None
    budget = (training or {}).get("budget") or {}
    return float(budget.get("ebops") or math.inf)


def _margin(metric: str, values: Sequence[float], best: float, samples: int | None) -> tuple[float, str]:
    if "accuracy" in metric and samples and 0 <= best <= 1:
        error = math.sqrt(best * (1 - best) / samples)
        return error, f"one standard error ({error:.4f} on {format_count(samples)} samples)"
    span = NEAR_BEST * (max(values) - min(values))
    return span, f"{NEAR_BEST:.0%} of the front's span"


def _validation_samples(directory: str | Path) -> int | None:
    """Return the number of validation samples; None for a run from before it was recorded."""
    samples = read_json(Path(directory) / DATA, {}).get("samples", {})
    return int(samples["validation"]) if samples.get("validation") else None


_Entry = tuple[int, dict[str, float], Path]


def _ordered(entries: Sequence[_Entry]) -> bool:
    """Return True if there are entries, and all have EBOPs."""
    return bool(entries) and all("ebops" in metrics for _, metrics, _ in entries)


def _read(folder: Path) -> list[_Entry]:
    try:
        entries = read_json(folder / FRONT_LIST, {}).get("entries", [])
        return [
            (int(each["epoch"]), {name: float(value) for name, value in each["metrics"].items()}, folder / each["file"])
            for each in entries
        ]
    except (AttributeError, KeyError, TypeError, ValueError) as error:
        raise ModelFileError(f"{folder / FRONT_LIST}: is damaged. {error!r}") from error


def _directions(folder: Path) -> dict[str, Direction]:
    return dict(read_json(folder / FRONT_LIST, {}).get("directions", {}))
