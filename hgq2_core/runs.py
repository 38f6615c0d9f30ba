"""A training from a config file: everything a run directory holds, and how it comes about."""

from __future__ import annotations

import importlib.metadata
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import keras
import yaml

from hgq2_core.atomic import atomic_path, write_json, write_text
from hgq2_core.calibration import calibrate
from hgq2_core.callbacks import EbopsLog, EpochSeed
from hgq2_core.config.model import ModelConfig, load_config
from hgq2_core.config.resolved import resolved
from hgq2_core.cost import Summary, ebops, summary
from hgq2_core.data import Split, Splits
from hgq2_core.errors import ConfigError, DataError, ModelFileError, PluginError
from hgq2_core.freezing import freeze
from hgq2_core.history import HistoryLog, read_json
from hgq2_core.html_report import page
from hgq2_core.kinds import registry
from hgq2_core.loader import CORE
from hgq2_core.verification import VerifyReport, verify

CONFIG, MODEL, FROZEN, METRICS = "config.yaml", "model.keras", "frozen.keras", "metrics.json"
HISTORY, REPORT, FRONT = "history.json", "report.html", "front"


@dataclass(frozen=True)
class Run:
    """A finished run.

    Args:
        directory: where it is.
        metrics: what `metrics.json` holds.
        verification: the comparison on the test split.
    """

    directory: Path
    metrics: dict[str, Any]
    verification: VerifyReport


def train(
    config: ModelConfig,
    directory: str | Path,
    epochs: int | None = None,
    callbacks: Sequence[keras.callbacks.Callback] = (),
) -> Run:
    """Train a config, calibrate and verify the result, and save it all.

    Args:
        config: with `data` and `training`.
        directory: a new or empty one.
        epochs: in place of the config's.
        callbacks: further ones, such as a progress bar; they come last.

    Raises:
        ConfigError: the config names no data or training, or data and model do not fit.
        DataError: the data cannot be read.
    """
    if epochs is not None:
        config = replace_training(config, epochs=epochs)
    training = config.training
    if training is None:
        raise ConfigError("training: is missing; nothing says how to train.")
    directory = _new_directory(Path(directory))
    splits = config.load_data()
    model = config.build()
    _check_fit(model, splits)
    training.compile(model)
    own = training.make_callbacks()
    for callback in own:
        if hasattr(callback, "bind"):
            callback.bind(directory / FRONT, splits)
    directory.mkdir(parents=True, exist_ok=True)
    write_text(directory / CONFIG, yaml.safe_dump(resolved(config, model), sort_keys=False))
    started = time.monotonic()
    try:
        history = HistoryLog(directory / HISTORY)
        _fit(config, model, splits, [EpochSeed(config.seed), EbopsLog(), *own, history, *callbacks])
    finally:
        # Whatever stopped the training, its result is not lost.
        save(model, directory / MODEL)
    return finish(model, splits, directory, time.monotonic() - started)


def _fit(config: ModelConfig, model: keras.Model, splits: Splits, callbacks: list[Any]) -> None:
    training = config.training
    if training is None:
        raise ConfigError("training: is missing; nothing says how to train.")
    validation = splits.validation
    model.fit(
        splits.train.x,
        splits.train.y,
        validation_data=None if validation is None else (validation.x, validation.y),
        epochs=training.epochs,
        batch_size=training.batch_size,
        callbacks=callbacks,
        verbose=0,
    )


def finish(model: keras.Model, splits: Splits, directory: Path, seconds: float, margin: int = 0) -> Run:
    """Calibrate on the training split, measure and verify on the test split, freeze, and save.

    Args:
        model: trained and compiled.
        splits: the data.
        directory: of the run.
        seconds: that training took, for the record.
        margin: integer bits added on top of what the training split needs.
    """
    calibrate(model, splits.train.x, margin=margin)
    save(model, directory / MODEL)
    save(freeze(model), directory / FROZEN)
    verification = verify(model, splits.test.x)
    metrics = {
        "test": evaluate(model, splits.test),
        "ebops": ebops(model),
        "verify": {"mismatches": verification.mismatches, "samples": verification.samples},
        "seconds": round(seconds, 2),
        "versions": versions(),
    }
    write_json(directory / METRICS, metrics)
    write_text(directory / REPORT, html_report(directory, summary(model)))
    return Run(directory, metrics, verification)


def recalibrate(directory: str | Path, margin: int = 0) -> Run:
    """Calibrate a run's model again, on its training data, and renew what depends on it.

    Args:
        directory: of the run.
        margin: integer bits added on top.
    """
    config, model = load_run(directory)
    seconds = float(read_metrics(directory).get("seconds", 0.0))
    return finish(model, config.load_data(), Path(directory), seconds, margin)


def evaluate(model: keras.Model, split: Split) -> dict[str, float]:
    """Give loss and metrics on a split."""
    results = model.evaluate(split.x, split.y, verbose=0, return_dict=True)
    return {name: float(value) for name, value in results.items()}


def save(model: keras.Model, path: Path) -> None:
    """Save a model so that the file is either the old or the new one, whole."""
    with atomic_path(path) as temporary:
        model.save(temporary)


def load(directory: str | Path, frozen: bool = False) -> keras.Model:
    """Load the model of a run directory.

    Args:
        directory: of a run.
        frozen: whether to load the deployable form.

    Raises:
        ModelFileError: no run there, or a file that is damaged.
    """
    path = Path(directory) / (FROZEN if frozen else MODEL)
    if not path.is_file():
        raise ModelFileError(
            f"{path}: no such file. A run directory is what `hgq2 train FILE -o DIR` writes. Received: {directory}"
        )
    try:
        return keras.saving.load_model(path)
    except (PluginError, ConfigError):
        raise
    except Exception as error:  # damaged files surface in whatever library meets the damage first
        raise ModelFileError(f"{path}: cannot be loaded; the file is damaged or not a Keras model. {error}") from error


def load_run(directory: str | Path) -> tuple[ModelConfig, keras.Model]:
    """Load config and model of a run directory."""
    path = Path(directory) / CONFIG
    if not path.is_file():
        raise ModelFileError(f"{path}: no such file; {directory} is not a run directory.")
    return load_config(path), load(directory)


def read_metrics(directory: str | Path) -> dict[str, Any]:
    """Read `metrics.json`; empty where a run has none yet.

    Raises:
        ModelFileError: the file is damaged.
    """
    metrics: dict[str, Any] = read_json(Path(directory) / METRICS, {})
    return metrics


def html_report(directory: Path, layers: Summary) -> str:
    """Write the page of a run from its files.

    Args:
        directory: of the run.
        layers: what each layer uses.
    """
    return page(
        title=directory.resolve().name,
        metrics=read_metrics(directory),
        layers=layers,
        history=read_json(directory / HISTORY, []),
        front=read_json(directory / FRONT / "front.json", {}),
        config=(directory / CONFIG).read_text(encoding="utf-8"),
    )


def report(directory: str | Path) -> dict[str, Any]:
    """Give the metrics of a run and the table of its layers, as plain data."""
    return {"directory": str(directory), **read_metrics(directory), "summary": summary(load(directory)).to_dict()}


def versions() -> dict[str, str]:
    """Give the versions of what a run depends on."""
    names = {CORE, "keras", "numpy", keras.backend.backend()}
    names |= {plugin.distribution for plugin in registry().plugins if plugin.distribution}
    found = {}
    for name in sorted(names):
        try:
            found[name] = importlib.metadata.version(name)
        except importlib.metadata.PackageNotFoundError:
            found[name] = "not installed as a distribution"
    return found


def replace_training(config: ModelConfig, **changes: Any) -> ModelConfig:
    """Give a config with other training fields, checked."""
    document = config.to_dict()
    document["training"] = {**document["training"], **changes}
    return ModelConfig.parse(document)


def _new_directory(directory: Path) -> Path:
    if directory.is_file() or (directory.is_dir() and any(directory.iterdir())):
        raise ConfigError(f"{directory}: exists and is not empty; a run needs a new directory, nothing is overwritten.")
    return directory


def _check_fit(model: keras.Model, splits: Splits) -> None:
    if len(model.inputs) != 1:
        return
    wanted, got = tuple(model.inputs[0].shape[1:]), tuple(splits.train.x.shape[1:])
    if len(wanted) != len(got) or any(a not in (None, b) for a, b in zip(wanted, got, strict=True)):
        raise DataError(
            f"model.inputs.{model.inputs[0].name}: the shape does not fit the data. Received: shape {list(wanted)}, "
            f"data of shape {list(got)}."
        )
