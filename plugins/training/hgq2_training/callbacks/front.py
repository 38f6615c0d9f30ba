"""The Pareto front: the entries that no other entry beats in every metric."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal

from rich.table import Table
from rich.text import Text
from typing_extensions import override

from hgq2_core.commands.notebook import Shown
from hgq2_core.errors import ConfigError, listing, nearest
from hgq2_core.model.number_format import format_metric

Direction = Literal["min", "max"]
_SMALLER_IS_BETTER = ("ebops", "loss", "error", "crossentropy", "mse", "mae", "mape", "msle")


def direction_of(metric: str) -> Direction:
    """Return, by its name, whether a metric is minimized (costs, losses and errors) or maximized."""
    return "min" if any(word in metric.lower() for word in _SMALLER_IS_BETTER) else "max"


@dataclass(frozen=True)
class Entry:
    """A model on the front.

    Args:
        epoch: the epoch after which it was measured.
        metrics: its metrics by name.
    """

    epoch: int
    metrics: Mapping[str, float]


class Front(Shown):
    """The entries that no other entry equals or beats in every metric; prints as a table, and notebooks show it.

    Args:
        metrics: names of the metrics.
        directions: `min` or `max` by name; by default, costs, losses and errors are minimized.
        keep: maximal size; beyond it the entry with the closest neighbours is removed, never the best entry in a
            metric while there is another choice.

    Raises:
        ConfigError: there are no metrics, one is repeated, or a direction is unknown or of another name.
    """

    def __init__(
        self, metrics: Sequence[str], directions: Mapping[str, Direction] | None = None, keep: int | None = None
    ) -> None:
        if not metrics or len(set(metrics)) < len(metrics):
            raise ConfigError(f"`metrics` must name one metric or more, each once. Received: metrics={list(metrics)}")
        if keep is not None and keep < 1:
            raise ConfigError(f"`keep` must be at least 1. Received: keep={keep}")
        for name, direction in (directions or {}).items():
            if name not in metrics:
                raise ConfigError(
                    f"`directions` names {name!r}, which is not among the metrics: {listing(metrics)}."
                    f"{nearest(name, metrics)}"
                )
            if direction not in ("min", "max"):
                raise ConfigError(f"A direction is min or max. Received: {name}={direction!r}")
        self.directions = {name: (directions or {}).get(name) or direction_of(name) for name in metrics}
        self.keep = keep
        self.entries: list[Entry] = []

    def __len__(self) -> int:
        return len(self.entries)

    def offer(self, entry: Entry) -> bool:
        """Add an entry unless another one equals or beats it in every metric; remove the entries that it beats.

        Args:
            entry: an entry with a value for every metric; it is refused if one is not finite and cannot be ranked.

        Returns:
            Whether the entry is now on the front.

        Raises:
            ConfigError: the entry lacks a metric.
        """
        costs = self._costs(entry)
        if not all(math.isfinite(cost) for cost in costs):
            return False
        if any(_covers(self._costs(other), costs) for other in self.entries):
            return False
        self.entries = [other for other in self.entries if not _covers(costs, self._costs(other))]
        self.entries.append(entry)
        if self.keep is not None and len(self.entries) > self.keep:
            self.entries.remove(self._most_crowded())
        return entry in self.entries

    def to_dict(self) -> dict[str, Any]:
        """Return the directions, and the entries in the order in which they were added."""
        return {
            "directions": dict(self.directions),
            "entries": [{"epoch": entry.epoch, "metrics": dict(entry.metrics)} for entry in self.entries],
        }

    @override
    def __rich__(self) -> Table:
        table = front_table("epoch", self.directions)
        for entry in sorted(self.entries, key=self._costs, reverse=True):
            table.add_row(str(entry.epoch), *(format_metric(entry.metrics[name]) for name in self.directions))
        return table

    def _costs(self, entry: Entry) -> tuple[float, ...]:
        """Return the metrics in order, with signs such that smaller is better."""
        missing = self.directions.keys() - entry.metrics.keys()
        if missing:
            raise ConfigError(f"No value for {listing(missing)}. Received: {listing(entry.metrics)}")
        return tuple(
            entry.metrics[name] if direction == "min" else -entry.metrics[name]
            for name, direction in self.directions.items()
        )

    def _most_crowded(self) -> Entry:
        """Return the entry whose neighbours, summed over metrics, are closest; the latest of equal ones."""
        costs = [self._costs(entry) for entry in self.entries]
        distance = [0.0] * len(costs)
        for values in zip(*costs, strict=True):
            order = sorted(range(len(values)), key=values.__getitem__)
            span = values[order[-1]] - values[order[0]] or 1.0
            distance[order[0]] = distance[order[-1]] = math.inf
            for before, at, after in zip(order, order[1:], order[2:], strict=False):
                distance[at] += (values[after] - values[before]) / span
        return self.entries[min(range(len(costs)), key=lambda i: (distance[i], -i))]


def front_table(first: str, metrics: Iterable[str]) -> Table:
    """Return an empty table of a front.

    Args:
        first: heading of the column in front of the metrics.
        metrics: their names.
    """
    table = Table(first)
    for name in metrics:
        table.add_column(Text(name), justify="right")
    return table


def _covers(a: tuple[float, ...], b: tuple[float, ...]) -> bool:
    """Return True if `a` is at least as good as `b` in every metric."""
    return all(x <= y for x, y in zip(a, b, strict=True))
