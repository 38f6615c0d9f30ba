"""The best models of a sweep: those of its trials, and those on the front that each trial kept by itself."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from hgq2_core.errors import ConfigError, ModelFileError
from hgq2_training.callbacks.front import Entry
from hgq2_training.runs.front import read_front
from hgq2_training.sweeps.index import DONE, Index
from hgq2_training.sweeps.trial_directory import trial_directory


@dataclass(frozen=True)
class Model:
    """A model of a trial.

    Args:
        trial: number of the trial.
        directory: its run directory.
        front: number of the model on the front of the run, for `--front`; None for the model of the run.
        values: the objectives.
    """

    trial: int
    directory: str
    front: int | None
    values: Mapping[str, float]

    def to_dict(self) -> dict[str, Any]:
        """Return plain data."""
        return {**vars(self), "values": dict(self.values)}


def archive(index: Index) -> list[Model]:
    """Return the models within the constraints that no other equals or beats, by the values of the last objective."""
    front, models = index.section.front(), list(_models(index))
    for number, model in enumerate(models):
        front.offer(Entry(number, model.values))
    last = index.section.objectives[-1]
    return sorted((models[entry.epoch] for entry in front.entries), key=lambda model: model.values[last])


def _models(index: Index) -> Iterator[Model]:
    for row in index.rows():
        if row.state not in DONE:
            continue
        directory = trial_directory(index.directory, row.number).path
        if row.feasible:
            yield Model(row.number, str(directory), None, {name: row.values[name] for name in index.section.objectives})
        with contextlib.suppress(ConfigError, ModelFileError):  # a front of other metrics, or a damaged one
            for point in read_front(directory):
                if point.metrics.keys() >= {*index.section.measured} and index.keeps(point.metrics):
                    values = {name: point.metrics[name] for name in index.section.objectives}
                    yield Model(row.number, str(directory), point.number, values)
