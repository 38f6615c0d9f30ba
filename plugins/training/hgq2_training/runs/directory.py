"""A run directory: its files, and how they are read and written."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any, TypeVar

import keras
from filelock import FileLock, Timeout

from hgq2_core import ModelConfig, freeze, load_config, load_model
from hgq2_core.data.preprocessing import Preprocessing
from hgq2_core.data.standardization import Standardization
from hgq2_core.errors import CalibrationError, ConfigError, DataError, ModelFileError
from hgq2_core.files import atomic_path, is_leftover, make_folder, read_json, remove, remove_leftovers
from hgq2_training.callbacks.checkpoint import Checkpoint
from hgq2_training.runs.files import (
    ANALYSIS,
    CHECKPOINT,
    CONFIG,
    DATA,
    FRONT,
    FROZEN,
    KERAS,
    LOCK,
    METRICS,
    MODEL,
    ORIGIN,
    PYTHON,
    REPORT,
    START,
    TRIAL,
)
from hgq2_training.runs.front import choose, recommended

T = TypeVar("T")


def save(model: keras.Model, path: Path) -> None:
    """Save a model atomically."""
    with atomic_path(path) as temporary:
        model.save(temporary)


def load(directory: str | Path, frozen: bool = False, front: int | str | None = None) -> keras.Model:
    """Load a model of a run directory.

    Args:
        directory: the run directory.
        frozen: whether to return the frozen model.
        front: a model of the front, by its number in rising EBOPs or as `best`; None for the model of the run.

    Raises:
        ModelFileError: there is no run, or a file is damaged.
        ConfigError: the front has no such model.
    """
    if front is not None:
        model = load_model(choose(directory, front).path, compile=True)
        return freeze(model) if frozen else model
    path = Path(directory) / (FROZEN if frozen else MODEL)
    if not path.is_file():
        where = "A run directory is what `hgq2 train FILE -o DIR` writes."
        if (Path(directory) / CONFIG).is_file():
            where = f"The training did not end. To resume: hgq2 train -o {directory} --resume."
        raise ModelFileError(f"{path}: no such file. {where}{_trials(Path(directory))} Received: {directory}")
    return load_model(path, compile=True)


def _trials(directory: Path) -> str:
    """Return where the runs are, if a directory is that of a sweep; else an empty text."""
    runs = sorted(each.parent for each in directory.glob(f"trial_*/{CONFIG}"))
    return f" This is one of a sweep, whose trials are runs, such as {runs[-1]}." if runs else ""


def remove_results(directory: Path) -> None:
    """Remove what tells of a run's model, before it changes; `metrics.json` first, which marks the run as finished."""
    for name in (METRICS, REPORT, ANALYSIS, FROZEN):
        remove(directory / name)


def take_recommended(model: keras.Model, directory: Path) -> None:
    """Assign the variables of the recommended model of a run's front, if there is one.

    Args:
        model: of the run's config.
        directory: the run directory.
    """
    if best := recommended(directory):
        values = load_model(best.point.path).variables
        for variable, value in zip(model.variables, values, strict=True):
            variable.assign(value)


@contextmanager
def calibration_of(directory: Path) -> Iterator[None]:
    """Add the command that calibrates a run to errors about its calibration."""
    try:
        yield
    except CalibrationError as error:
        if not directory.is_dir():  # a model file, which no command calibrates
            raise
        raise CalibrationError(f"{error} For this run: hgq2 calibrate {directory}") from error


def load_recorded(directory: str | Path) -> ModelConfig:
    """Load the config of a run directory.

    A run that does not say how fast its bits learn is of a time when they learned as fast as the weights.

    Raises:
        ModelFileError: there is no run.
        ConfigError: the config is damaged.
    """
    path = Path(directory) / CONFIG
    if not path.is_file():
        raise ModelFileError(f"{path}: no such file; {directory} is not a run directory.{_trials(Path(directory))}")
    config = load_config(path)
    if config.training is None or "bit_learning_rate_scale" in config.training.optimizer.arguments:
        return config
    optimizer = config.training.optimizer
    optimizer = replace(optimizer, arguments={**optimizer.arguments, "bit_learning_rate_scale": 1.0})
    return config.model_copy(update={"training": config.training.model_copy(update={"optimizer": optimizer})})


def load_run(directory: str | Path, front: int | str | None = None) -> tuple[ModelConfig, keras.Model]:
    """Load config and model of a run directory; see `load`."""
    return load_recorded(directory), load(directory, front=front)


def load_checkpoint(directory: str | Path) -> Checkpoint | None:
    """Load the last checkpoint of a run directory; None if no epoch was finished.

    Raises:
        ModelFileError: the file is damaged.
    """
    path = Path(directory) / CHECKPOINT
    return Checkpoint.read(path) if path.is_file() else None


def read_metrics(directory: str | Path) -> dict[str, Any]:
    """Return the contents of `metrics.json`; empty if the run has none yet.

    Raises:
        ModelFileError: the file is damaged.
    """
    metrics: dict[str, Any] = read_json(Path(directory) / METRICS, {})
    return metrics


def read_data(directory: str | Path) -> dict[str, Any]:
    """Return the description of a run's data, see `Splits.to_dict`; empty for a run from before it was recorded.

    Raises:
        ModelFileError: the file is damaged.
    """
    description: dict[str, Any] = read_json(Path(directory) / DATA, {})
    return description


def read_standardization(directory: str | Path) -> Standardization | None:
    """Return the standardization of a run's only input; None if it is not standardized, or there are several.

    Raises:
        ModelFileError: the file is damaged.
    """
    stored = read_data(directory).get("standardization")
    if stored is None or ("mean" not in stored and "preprocessing" in read_data(directory)):
        return None
    return _described(directory, Standardization.from_dict, stored)


def read_preprocessing(directory: str | Path) -> Preprocessing | None:
    """Return the map from raw data to a run's inputs; None if they are raw data.

    Raises:
        ModelFileError: the file is damaged.
    """
    stored = read_data(directory).get("preprocessing")
    if stored is not None:
        return _described(directory, Preprocessing.from_dict, stored)
    standardization = read_standardization(directory)  # of a run from before the whole map was recorded
    return None if standardization is None else Preprocessing((standardization,))


def _described(directory: str | Path, read: Callable[[dict[str, Any]], T], stored: dict[str, Any]) -> T:
    try:
        return read(stored)
    except DataError as error:
        raise ModelFileError(f"{Path(directory) / DATA}: is damaged. {error}") from error


@contextmanager
def locked(directory: Path) -> Iterator[None]:
    """Lock a directory, which is created if necessary, against training by other processes.

    Raises:
        ConfigError: another process holds the lock; a killed process releases it.
    """
    lock = FileLock(make_folder(directory) / LOCK, blocking=False)
    try:
        lock.acquire()
    except Timeout:
        raise ConfigError(f"{directory}: another process trains here. Wait for its end, or stop it.") from None
    try:
        yield
    finally:
        lock.release()


def is_unbegun(directory: str | Path) -> bool:
    """Return True for a run directory in which no epoch was trained yet, so that its config may still change."""
    directory = Path(directory)
    # A config alone may be a user's file; only a run has a lock.
    if not ((directory / CONFIG).is_file() and (directory / LOCK).is_file()):
        return False
    front = directory / FRONT
    before = (CONFIG, DATA, ORIGIN, PYTHON, START, LOCK, KERAS, TRIAL)
    paths = [path for path in directory.iterdir() if path.name not in before and path != front]
    return all(map(is_leftover, [*paths, *(front.iterdir() if front.is_dir() else ())]))


def new_directory(directory: str | Path) -> Path:
    """Return a directory after checking that it is new, has only leftovers, or holds a run without a trained epoch.

    Raises:
        ConfigError: the directory has other contents.
    """
    directory = Path(directory)
    if is_unbegun(directory):
        return directory
    paths = list(directory.iterdir()) if directory.is_dir() else []
    if directory.is_file() or not all(is_leftover(path) or path.name in (LOCK, TRIAL) for path in paths):
        resume = f" To resume the run in it: hgq2 train -o {directory} --resume."
        raise ConfigError(
            f"{directory}: exists and is not empty; a run needs a new directory, nothing is overwritten."
            f"{resume if (directory / CONFIG).is_file() else ''}"
        )
    remove_leftovers(directory)
    return directory
