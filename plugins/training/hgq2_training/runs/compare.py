"""The comparison of runs: metrics on test data, cost, and the settings in which they differ."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from rich.console import Group
from rich.table import Column, Table
from rich.text import Text
from typing_extensions import override

from hgq2_core.commands.notebook import Shown
from hgq2_core.errors import ConfigError
from hgq2_core.model.number_format import format_count, format_metric
from hgq2_core.quantizers.defaults import EBOPS_BETA
from hgq2_core.schema.base import as_yaml
from hgq2_training.runs.directory import load_recorded, read_metrics
from hgq2_training.runs.front import FrontPoint, read_front

PRICE = "defaults.ebops_beta"
"""The place of the price that a run's config repeats at each layer."""

ABSENT = ""
"""What a run has in place of a setting of another run."""


@dataclass(frozen=True)
class ComparedRun:
    """One run of a comparison.

    Args:
        directory: the run directory.
        test: its metrics on the test part.
        ebops: its calibrated EBOPs.
        seconds: duration of the training.
        settings: its whole config, by the place of each value.
        front: the models on its front, in rising EBOPs.
    """

    directory: Path
    test: Mapping[str, float]
    ebops: float
    seconds: float
    settings: Mapping[str, Any]
    front: tuple[FrontPoint, ...]

    @classmethod
    def read(cls, directory: str | Path) -> ComparedRun:
        """Read a run directory.

        Raises:
            ConfigError: the run is not finished.
            ModelFileError: there is no run, or a file is damaged.
        """
        config, metrics = load_recorded(directory), read_metrics(directory)
        if not metrics:
            raise ConfigError(
                f"{directory}: the training did not end, and has no metrics. To resume: hgq2 train -o {directory} "
                f"--resume. To finish it here: hgq2 calibrate {directory}"
            )
        test = {name: float("nan") if value is None else float(value) for name, value in metrics["test"].items()}
        try:
            front: tuple[FrontPoint, ...] = read_front(directory)
        except ConfigError:  # a front that was kept without EBOPs has no place among the others
            front = ()
        settings = dict(_leaves(config.to_dict()))
        return cls(Path(directory), test, float(metrics["ebops"]), float(metrics["seconds"]), settings, front)


@dataclass(frozen=True)
class Comparison(Shown):
    """Runs side by side; prints as tables, and notebooks show them.

    Args:
        runs: the runs, in the order given.
    """

    runs: tuple[ComparedRun, ...]

    @property
    def metrics(self) -> list[str]:
        """The names of the test metrics of any run."""
        return list(dict.fromkeys(name for run in self.runs for name in run.test))

    @property
    def plotted_metric(self) -> str:
        """The metric that a plot shows: the first besides the loss that all runs have.

        Raises:
            ConfigError: they have none in common.
        """
        shared = [name for name in self.metrics if all(name in run.test for run in self.runs)]
        if not shared:
            raise ConfigError("compare: the runs have no metric in common that could be drawn.")
        return next((name for name in shared if name != "loss"), shared[0])

    @property
    def names(self) -> list[str]:
        """What to call each run: the name of its directory, or its path if they are not all different."""
        names = [run.directory.resolve().name for run in self.runs]
        return names if len(set(names)) == len(names) else [str(run.directory) for run in self.runs]

    @property
    def differences(self) -> dict[str, list[Any]]:
        """The settings that differ: for each place in the config, the value of each run; None if it is absent.

        A layer's price that is that of `defaults` in every run is left out: it was changed there.
        """
        places = dict.fromkeys(place for run in self.runs for place in run.settings)
        values = {place: [run.settings.get(place) for run in self.runs] for place in places}
        price = [run.settings.get(PRICE, EBOPS_BETA) for run in self.runs]
        follow = {place for place in places if place != PRICE and place.endswith(".ebops_beta")}
        return {
            place: found
            for place, found in values.items()
            if any(each != found[0] for each in found) and not (place in follow and found == price)
        }

    def to_dict(self) -> dict[str, Any]:
        """Return plain data."""
        return {
            "runs": [
                {
                    "directory": str(run.directory),
                    "test": dict(run.test),
                    "ebops": run.ebops,
                    "seconds": run.seconds,
                    "front": [{"front": point.number, "epoch": point.epoch, **point.metrics} for point in run.front],
                }
                for run in self.runs
            ],
            "differences": self.differences,
        }

    @override
    def __rich__(self) -> Group:
        return Group(*self.tables())

    def tables(self) -> list[Table]:
        """Return the metrics, and the settings that differ, as tables."""
        results = Table("run", *self.metrics, "EBOPs", "seconds")
        for run in self.runs:
            values = [format_metric(run.test[name]) if name in run.test else ABSENT for name in self.metrics]
            results.add_row(*map(Text, (str(run.directory), *values, format_count(run.ebops), f"{run.seconds:.1f}")))
        settings = Table("setting", *(Column(Text(name)) for name in self.names))
        for place, found in self.differences.items():
            settings.add_row(*map(Text, (place, *(ABSENT if each is None else as_yaml(each) for each in found))))
        return [results, settings] if self.differences else [results]


def compare(*runs: str | Path) -> Comparison:
    """Compare finished runs: test metrics, calibrated EBOPs, and the settings that differ.

    Args:
        runs: their directories, two or more.

    Raises:
        ConfigError: there is one run only, one twice, or one that is not finished.
        ModelFileError: a directory holds no run, or a file is damaged.
    """
    paths = [Path(run).resolve() for run in runs]
    if len(paths) < 2 or len(set(paths)) < len(paths):
        raise ConfigError(
            f"compare: takes two runs or more, each once. Received: {', '.join(map(str, runs)) or 'none'}."
        )
    return Comparison(tuple(ComparedRun.read(run) for run in runs))


def _leaves(value: Any, place: str = "") -> Sequence[tuple[str, Any]]:
    """Return each value of a config by its place; a layer is placed by its name."""
    if isinstance(value, Mapping) and value:
        items = [(str(key), item) for key, item in value.items()]
    elif isinstance(value, list) and any(isinstance(item, Mapping) for item in value):
        items = [(_name(item, index), item) for index, item in enumerate(value)]
    else:
        return [(place, json.loads(json.dumps(value)))]
    return [leaf for name, item in items for leaf in _leaves(item, f"{place}.{name}" if place else name)]


def _name(item: Any, index: int) -> str:
    return str(item.get("name", index)) if isinstance(item, Mapping) else str(index)
