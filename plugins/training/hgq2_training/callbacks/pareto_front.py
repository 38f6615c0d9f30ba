"""A callback that saves the models on the Pareto front during training."""

from __future__ import annotations

import contextlib
import json
import os
import re
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import keras
import numpy as np
from pydantic import NonNegativeInt, PositiveInt

from hgq2_core import calibrate, ebops, trim_bits
from hgq2_core.data.splits import Split, Splits
from hgq2_core.errors import ConfigError, ModelFileError, listing, nearest
from hgq2_core.files import atomic_path, make_folder, remove, remove_leftovers, write_json
from hgq2_core.keras_graph.random_state import preserve_rng
from hgq2_training.callbacks.checkpoint import Array, state_variables
from hgq2_training.callbacks.front import Direction, Entry, Front
from hgq2_training.callbacks.throttle import Throttle
from hgq2_training.callbacks.values import assign, value_of

BATCH_SIZE = 256
MOST_WAITING = 1 << 28
"""Bytes of models that may wait in memory to be written."""
_FILE_NAME = re.compile(r"epoch_\d{4,}\.keras")


class ParetoFront(keras.callbacks.Callback):
    """Save the models that no other epoch equals or beats in every metric, trimmed and calibrated before.

    At the end of an epoch the model is trimmed (see `trim_bits`), calibrated on training data, measured and, if it is
    on the front, saved as `epoch_0012.keras` next to `front.json`. Then variables, metrics and random generators are
    restored, so that the training is not affected. Where epochs are too short for that, models wait in memory, and the
    files lag behind until `flush`, which the end of training and each checkpoint of `hgq2 train` call. The size of the
    front is added to the logs as `front`; so is what was measured on validation data, where `fit` has none. `hgq2
    train` passes directory and data by `bind`; in Python, pass them to the constructor.

    A run that starts at epoch 0 starts a new front, and replaces one in the directory. A run that starts later
    continues the front in the directory, with the entries from before its first epoch.

    Args:
        metrics: `ebops`; `val_<name>`, measured on the validation data; or any other name in the logs of an epoch.
        directory: directory of the models; None keeps the front in memory, without models.
        every: epochs between measurements.
        start_epoch: the first epoch to measure.
        keep: maximal number of models to keep.
        directions: `min` or `max` for metrics whose direction does not follow from the name.
        calibration_data: training inputs, as arrays; not a field of the config.
        validation_data: arrays `(x, y)` or `(x, y, sample_weight)`; not a field of the config.

    Raises:
        ConfigError: metrics, directions or numbers are not allowed.
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
        self.measured: Entry | None = None
        """The entry of the last epoch, on the front or not; None if it was not measured."""
        self._begun = False
        self._listed: list[Entry] = []
        self._waiting: dict[int, list[Array]] = {}
        self._throttle = Throttle()

    def bind(self, directory: str | os.PathLike[str], splits: Splits) -> None:
        """Set directory and data, unless the constructor got them.

        Args:
            directory: directory of the front.
            splits: the data: `train` for calibration, `validation` for measuring.
        """
        if self.directory is None:
            self.directory = os.fspath(directory)
        if self.calibration_data is None:
            self.calibration_data = splits.train.x
        if self.validation_data is None and splits.validation is not None:
            self.validation_data = with_weight(splits.validation)

    def on_train_begin(self, logs: dict[str, Any] | None = None) -> None:
        """Check before the first epoch that the data and the metrics on validation data exist.

        Raises:
            ConfigError: data are missing, or the model lacks a metric.
        """
        self._begun = False
        self._waiting = {}
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
        """Load the front of the directory before the first epoch of this run.

        Raises:
            ConfigError: the front in the directory has other metrics.
            ModelFileError: its `front.json` cannot be read.
        """
        if not self._begun:
            self._begun = True
            self._resume(epoch)

    def on_epoch_end(self, epoch: int, logs: dict[str, Any] | None = None) -> None:
        """Trim, calibrate, measure, keep the model if it is on the front, and restore it.

        Raises:
            ConfigError: this epoch lacks a metric.
        """
        logs = {} if logs is None else logs
        self.measured = None
        if epoch >= self.start_epoch and (epoch - self.start_epoch) % self.every == 0:
            with preserve_state(self.model):
                trim_bits(self.model)
                calibrate(self.model, self.calibration_data, margin=0)
                found = self._measure(logs)
                self.measured = Entry(epoch, {name: float(found[name]) for name in self.metrics})
                if self.front.offer(self.measured) and self.directory is not None:
                    self._keep(epoch)
            # A `fit` without validation data leaves them to this callback.
            logs |= {name: value for name, value in found.items() if name not in {*logs, "ebops"}}
            if self._throttle.ready() or self._waiting_bytes() > MOST_WAITING:
                self.flush()
        logs["front"] = len(self.front)

    def on_train_end(self, logs: dict[str, Any] | None = None) -> None:
        """Write what is not written yet."""
        self.flush()

    def flush(self) -> None:
        """Write the models that wait in memory, then the list, and remove those that were beaten.

        In this order the list names no missing file.
        """
        if self.directory is None or self._listed == self.front.entries:
            return
        with self._throttle.writing(), preserve_state(self.model, optimizer=True):
            for entry in self.front.entries:
                if entry.epoch in self._waiting:
                    assign(state_variables(self.model), self._waiting[entry.epoch])
                    with atomic_path(Path(self.directory, file_name(entry.epoch))) as temporary:
                        self.model.save(temporary)
            self._write(self._listed)
        self._waiting = {}

    def calibrated_cost(self) -> float:
        """Return the EBOPs that the model would have, trimmed and calibrated."""
        with preserve_state(self.model):
            trim_bits(self.model)
            calibrate(self.model, self.calibration_data, margin=0)
            return ebops(self.model)

    def reads_logs(self) -> tuple[str, ...]:
        """Return the names of the metrics."""
        return tuple(self.metrics)

    def adds_logs(self) -> tuple[str, ...]:
        """Return the name `front`."""
        return ("front",)

    def to_dict(self) -> dict[str, Any]:
        """Return the contents of `front.json`: the directions, and epoch, metrics and file of each entry."""
        found = self.front.to_dict()
        if self.directory is not None:
            named = [{**entry, "file": file_name(entry["epoch"])} for entry in found["entries"]]
            # After a resume, models that later epochs had beaten are gone; those epochs will beat them again.
            found["entries"] = [entry for entry in named if Path(self.directory, entry["file"]).is_file()]
        return found

    def _repr_html_(self) -> str:
        return self.front._repr_html_()

    def get_state(self) -> list[dict[str, Any]]:
        """Return the entries of the front."""
        entries: list[dict[str, Any]] = self.front.to_dict()["entries"]
        return entries

    def set_state(self, state: list[dict[str, Any]]) -> None:
        """Continue with these entries, and remove the models of all others."""
        self._begun, self._waiting = True, {}
        self.front.entries = [Entry(item["epoch"], item["metrics"]) for item in state]
        if self.directory is None:
            return
        folder = self._open(self.directory)
        write_json(folder / "front.json", self.to_dict())
        self._listed = list(self.front.entries)
        kept = {file_name(entry.epoch) for entry in self.front.entries}
        for path in folder.iterdir():
            if _FILE_NAME.fullmatch(path.name) and path.name not in kept:
                remove(path)

    def _measure(self, logs: Mapping[str, Any]) -> dict[str, Any]:
        values = {name: value for name, value in logs.items() if not name.startswith("val_")}
        values["ebops"] = ebops(self.model)
        if any(name.startswith("val_") for name in self.metrics):
            values |= self._evaluate(self.validation_data)
        _require(self.metrics, values)
        return values

    def _evaluate(self, data: Any) -> dict[str, float]:
        x, y, weight = keras.utils.unpack_x_y_sample_weight(tuple(data))
        found = self.model.evaluate(x, y, sample_weight=weight, batch_size=BATCH_SIZE, verbose=0, return_dict=True)
        return {f"val_{name}": value for name, value in found.items()}

    def _keep(self, epoch: int) -> None:
        """Keep the present model in memory, and of those that wait the ones that it has not beaten."""
        on_front = {entry.epoch for entry in self.front.entries}
        self._waiting = {each: values for each, values in self._waiting.items() if each in on_front}
        self._waiting[epoch] = [value_of(each) for each in state_variables(self.model)]

    def _waiting_bytes(self) -> int:
        return sum(array.nbytes for arrays in self._waiting.values() for array in arrays)

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
                f"{self.directory} holds a front of {directions}, which this run cannot continue. "
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
        """Rewrite the list, and delete the models of entries that were removed from it."""
        if self.directory is None:
            return
        folder = Path(self.directory)
        write_json(folder / "front.json", self.to_dict())
        # File names are made from the epoch, so that a manipulated list cannot delete other files.
        for name in {file_name(entry.epoch) for entry in before} - {file_name(e.epoch) for e in self.front.entries}:
            remove(folder / name)
        self._listed = list(self.front.entries)


def file_name(epoch: int) -> str:
    """Return the name of an epoch's model file."""
    return f"epoch_{epoch:04d}.keras"


@contextlib.contextmanager
def preserve_state(model: keras.Model, optimizer: bool = False) -> Iterator[None]:
    """Restore a model's variables and metrics and the global random generators at the end, also after an error.

    Args:
        model: a built model; variables that the body adds are not changed.
        optimizer: whether the body changes the optimizer's variables, too.
    """
    changed = [*(state_variables(model) if optimizer else model.variables), *model.metrics_variables]
    saved = [(variable, np.array(keras.ops.convert_to_numpy(variable.value))) for variable in changed]
    try:
        # torch's data loader draws a seed even without shuffling, which would change the order of later epochs.
        with preserve_rng():
            yield
    finally:
        for variable, value in saved:
            variable.assign(value)


def with_weight(part: Split) -> tuple[Any, ...]:
    """Return inputs, targets and, if there are any, weights of a part, so that losses are those of the history."""
    return (part.x, part.y) if part.weight is None else (part.x, part.y, part.weight)


def _require(names: list[str], available: Mapping[str, Any]) -> None:
    for name in names:
        if name not in available:
            raise ConfigError(
                f"There is no metric {name!r}; available: {listing(available)}.{nearest(name, available)}"
            )
