"""Keeping, while training goes on, every model that is the best at its cost."""

from __future__ import annotations

import contextlib
import copy
import json
import os
import re
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import keras
import numpy as np
from pydantic import NonNegativeInt, PositiveInt

from hgq2_core.data.splits import Splits
from hgq2_core.errors import ConfigError, ModelFileError, listing, nearest
from hgq2_core.files import atomic_path, make_folder, remove, remove_leftovers, write_json
from hgq2_core.keras_graph.random_state import preserve_rng
from hgq2_core.model.calibration import calibrate
from hgq2_core.model.cost import ebops
from hgq2_training.callbacks.front import Direction, Entry, Front

BATCH_SIZE = 256
_FILE_NAME = re.compile(r"epoch_\d{4,}\.keras")


class ParetoFront(keras.callbacks.Callback):
    """Save the models that no other epoch equals or beats in every metric, each calibrated before it is measured.

    At the end of an epoch the model is calibrated on training data, measured, and, where it belongs to the front, saved
    as `epoch_0012.keras` beside `front.json`. Training goes on as if nothing had happened: variables, metrics and
    random generators are put back. The size of the front is added to the logs as `front`. The runner of a configuration
    hands over directory and data by `bind`; in Python, pass them.

    A run that starts at epoch 0 begins a new front, and replaces one that is in the directory. A run that starts later
    goes on with what the directory holds from before its first epoch.

    Args:
        metrics: `ebops`; `val_<name>`, measured on the validation data; or any other name in the logs of an epoch.
        directory: where the models go; None keeps the front in memory, without models.
        every: epochs from one measurement to the next.
        start_epoch: the first epoch that is measured.
        keep: most models that are kept.
        directions: `min` or `max` for metrics whose name does not tell which is better.
        calibration_data: training inputs, as arrays; not part of the configuration.
        validation_data: arrays `(x, y)` or `(x, y, sample_weight)`; not part of the configuration.

    Raises:
        ConfigError: metrics, directions or numbers that are not allowed.
    """

    not_in_schema = ("calibration_data", "validation_data")

    def __init__(
        self,
        metrics: list[str] = ["val_accuracy", "ebops"],  # noqa: B006 - a schema default, never changed
        directory: str | None = None,
        every: PositiveInt = 1,
        start_epoch: NonNegativeInt = 0,
        keep: PositiveInt = 64,
        directions: dict[str, Direction] | None = None,
        *,
        calibration_data: Any = None,
        validation_data: Any = None,
    ) -> None:
        super().__init__()
        if every < 1 or start_epoch < 0:
            raise ConfigError(
                "`every` must be at least 1 and `start_epoch` at least 0. "
                f"Received: every={every}, start_epoch={start_epoch}"
            )
        self.front = Front(metrics, directions, keep)
        self.metrics = list(metrics)
        self.directory = directory
        self.every = every
        self.start_epoch = start_epoch
        self.keep = keep
        self.directions = directions
        self.calibration_data = calibration_data
        self.validation_data = validation_data
        self._begun = False

    def bind(self, directory: str | os.PathLike[str], splits: Splits) -> None:
        """Take directory and data from a runner, where the constructor was given none.

        Args:
            directory: the folder of the front itself.
            splits: calibrated on `train`, measured on `validation`.
        """
        if self.directory is None:
            self.directory = os.fspath(directory)
        if self.calibration_data is None:
            self.calibration_data = splits.train.x
        if self.validation_data is None and splits.validation is not None:
            self.validation_data = (splits.validation.x, splits.validation.y)

    def on_train_begin(self, logs: dict[str, Any] | None = None) -> None:
        """Check that the data and the metrics on the validation data are there, before the first epoch is spent.

        Raises:
            ConfigError: data that is missing, or a metric that the model does not have.
        """
        self._begun = False
        if self.calibration_data is None:
            raise ConfigError("ParetoFront calibrates each model before it measures it: pass `calibration_data`.")
        wanted = [name for name in self.metrics if name.startswith("val_")]
        if not wanted:
            return
        if self.validation_data is None:
            raise ConfigError(
                f"ParetoFront measures {listing(wanted)} on validation data: pass `validation_data`, "
                "or give the data set a `validation_fraction`."
            )
        first = keras.tree.map_structure(lambda array: array[:1], tuple(self.validation_data))
        with preserve_state(self.model):
            _require(wanted, self._evaluate(first))

    def on_epoch_begin(self, epoch: int, logs: dict[str, Any] | None = None) -> None:
        """Take up the front where the first epoch of this run finds it.

        Raises:
            ConfigError: a front of other metrics is in the directory.
            ModelFileError: its `front.json` cannot be read.
        """
        if not self._begun:
            self._begun = True
            self._resume(epoch)

    def on_epoch_end(self, epoch: int, logs: dict[str, Any] | None = None) -> None:
        """Calibrate, measure, and save what belongs to the front; then put the model back.

        Raises:
            ConfigError: a metric that this epoch does not have.
        """
        logs = {} if logs is None else logs
        if epoch >= self.start_epoch and (epoch - self.start_epoch) % self.every == 0:
            with preserve_state(self.model):
                calibrate(self.model, self.calibration_data, margin=0)
                self._offer(Entry(epoch, self._measure(logs)))
        logs["front"] = len(self.front)

    def reads_logs(self) -> tuple[str, ...]:
        """Return the names of the metrics."""
        return tuple(self.metrics)

    def adds_logs(self) -> tuple[str, ...]:
        """Return the name under which the size of the front is logged."""
        return ("front",)

    def to_dict(self) -> dict[str, Any]:
        """Return what `front.json` holds: the directions, and per entry its epoch, metrics and file."""
        found = self.front.to_dict()
        if self.directory is not None:
            named = [{**entry, "file": file_name(entry["epoch"])} for entry in found["entries"]]
            # A resumed run has lost the models that epochs after its checkpoint had beaten, and will beat again.
            found["entries"] = [entry for entry in named if Path(self.directory, entry["file"]).is_file()]
        return found

    def get_state(self) -> list[dict[str, Any]]:
        """Return the entries of the front."""
        entries: list[dict[str, Any]] = self.front.to_dict()["entries"]
        return entries

    def set_state(self, state: list[dict[str, Any]]) -> None:
        """Go on with these entries, and remove the models of all others."""
        self._begun = True
        self.front.entries = [Entry(item["epoch"], item["metrics"]) for item in state]
        if self.directory is None:
            return
        folder = self._open(self.directory)
        write_json(folder / "front.json", self.to_dict())
        kept = {file_name(entry.epoch) for entry in self.front.entries}
        for path in folder.iterdir():
            if _FILE_NAME.fullmatch(path.name) and path.name not in kept:
                remove(path)

    def _measure(self, logs: Mapping[str, Any]) -> dict[str, float]:
        values = {name: value for name, value in logs.items() if not name.startswith("val_")}
        values["ebops"] = ebops(self.model)
        if any(name.startswith("val_") for name in self.metrics):
            values |= self._evaluate(self.validation_data)
        _require(self.metrics, values)
        return {name: float(values[name]) for name in self.metrics}

    def _evaluate(self, data: Any) -> dict[str, float]:
        x, y, weight = keras.utils.unpack_x_y_sample_weight(tuple(data))
        found = self.model.evaluate(x, y, sample_weight=weight, batch_size=BATCH_SIZE, verbose=0, return_dict=True)
        return {f"val_{name}": value for name, value in found.items()}

    def _offer(self, entry: Entry) -> None:
        """Model first, then the list, then the removals: the list never names a file that is not there."""
        before = self.front
        after = copy.copy(before)
        if not after.offer(entry):
            return
        if self.directory is not None:
            with atomic_path(Path(self.directory, file_name(entry.epoch))) as temporary:
                self.model.save(temporary)
        self.front = after
        self._write(before.entries)

    def _resume(self, epoch: int) -> None:
        self.front = Front(self.metrics, self.directions, self.keep)
        if self.directory is None:
            return
        self._open(self.directory)
        found = self._read()
        if found is None:
            return
        directions, entries = found
        if epoch and directions != self.front.directions:
            raise ConfigError(
                f"{self.directory} holds a front of {directions}, which this run cannot go on with. "
                f"Received: {self.front.directions}"
            )
        for entry in entries:
            if entry.epoch < epoch and Path(self.directory, file_name(entry.epoch)).is_file():
                self.front.offer(entry)
        self._write(entries)

    @staticmethod
    def _open(directory: str | os.PathLike[str]) -> Path:
        folder = make_folder(directory)
        remove_leftovers(folder)
        return folder

    def _read(self) -> tuple[dict[str, str], list[Entry]] | None:
        path = Path(str(self.directory), "front.json")
        try:
            found = json.loads(path.read_text(encoding="utf-8"))
            entries = [Entry(int(item["epoch"]), dict(item["metrics"])) for item in found["entries"]]
            return dict(found["directions"]), entries
        except FileNotFoundError:
            return None
        except (OSError, ValueError, TypeError, KeyError) as error:
            raise ModelFileError(f"{path} cannot be read as a Pareto front: {error!r}. Move it away.") from error

    def _write(self, before: list[Entry]) -> None:
        """Rewrite the list, and delete the models of entries that are no longer in it."""
        if self.directory is None:
            return
        folder = Path(self.directory)
        write_json(folder / "front.json", self.to_dict())
        # Names come from the epoch, not from the file: a list that was tampered with deletes nothing else.
        for name in {file_name(entry.epoch) for entry in before} - {file_name(e.epoch) for e in self.front.entries}:
            remove(folder / name)


def file_name(epoch: int) -> str:
    """Name the model file of an epoch."""
    return f"epoch_{epoch:04d}.keras"


@contextlib.contextmanager
def preserve_state(model: keras.Model) -> Iterator[None]:
    """Put back, at the end or on an error, a model's variables and metrics and the global random generators.

    Args:
        model: built; variables that the body adds are left alone.
    """
    saved = [
        (variable, np.array(keras.ops.convert_to_numpy(variable.value)))
        for variable in [*model.variables, *model.metrics_variables]
    ]
    try:
        # torch's data loader draws a seed even where it does not shuffle, which would reorder the epochs to come.
        with preserve_rng():
            yield
    finally:
        for variable, value in saved:
            variable.assign(value)


def _require(names: list[str], available: Mapping[str, Any]) -> None:
    for name in names:
        if name not in available:
            raise ConfigError(
                f"There is no metric {name!r}; available: {listing(available)}.{nearest(name, available)}"
            )
