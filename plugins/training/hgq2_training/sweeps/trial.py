"""A trial: the training of one run directory, in a process of its own; `python -m hgq2_training.sweeps.trial DIR`."""

from __future__ import annotations

import argparse
import math
import os
import signal
import sys
import traceback
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import keras

from hgq2_core import ModelConfig
from hgq2_core.data.feed import for_model
from hgq2_core.errors import ConfigError, HGQ2Error, listing
from hgq2_training.runs.directory import load, read_metrics
from hgq2_training.runs.evaluation import evaluate
from hgq2_training.runs.files import CONFIG
from hgq2_training.runs.train import resume, train
from hgq2_training.sweeps.trial_directory import TrialDirectory

COMPLETE, FAILED = "complete", "failed"


def run_trial(path: str | os.PathLike[str], parent: int | None = None) -> None:
    """Train what the sweep asks for in a trial's directory, and write the outcome there; an error is one too.

    A directory in which a trial was killed is trained further, from its last checkpoint. Nothing is done if the
    directory is gone, because the sweep has given the trial up, or if another process trains there.

    Args:
        path: the directory.
        parent: the process without which the trial must not go on; None if there is none.

    Raises:
        KeyboardInterrupt: the trial was interrupted, or its parent has ended; it can be trained further.
    """
    directory = TrialDirectory(Path(path).resolve())
    with directory.alive() as alive:
        request = directory.request if alive else {}
        if not request or directory.outcome:
            return
        try:
            outcome = _train(directory, request, parent)
        except Exception as error:
            traceback.print_exc()
            outcome = {"state": FAILED, "error": _message(error)}
        directory.finish(outcome)


def _train(directory: TrialDirectory, request: Mapping[str, Any], parent: int | None) -> dict[str, Any]:
    os.chdir(request["cwd"])
    config = ModelConfig.parse(request["document"], str(directory.path))
    if not read_metrics(directory.path):  # else it was killed after the training
        callbacks = [_Watch(directory, request["objectives"], parent)]
        if (directory.path / CONFIG).is_file():
            resume(directory.path, callbacks=callbacks)
        else:
            train(config, directory.path, callbacks=callbacks)
    metrics = read_metrics(directory.path)
    values = measure(directory.path, config, metrics, request["measured"])
    return {
        "state": COMPLETE,
        "values": values,
        "stopped": directory.stopped,
        "epochs": len(directory.epochs),
        "seconds": metrics["seconds"],
    }


def measure(path: Path, config: ModelConfig, metrics: Mapping[str, Any], names: Sequence[str]) -> dict[str, float]:
    """Return metrics of the model of a finished run, by name.

    Args:
        path: the run directory.
        config: its config.
        metrics: the contents of its `metrics.json`.
        names: `ebops`, or `val_<metric>`, which is measured on the validation part.

    Raises:
        ConfigError: there is no such metric, no validation part, or a value is not finite.
    """
    values = {"ebops": float(metrics["ebops"])}
    if any(name.startswith("val_") for name in names):
        values |= validation_metrics(load(path), config)
    missing = [name for name in names if name not in values]
    if missing:
        raise ConfigError(f"{path}: there is no metric {listing(missing)}. Allowed: {listing(values)}.")
    broken = [name for name in names if not math.isfinite(values[name])]
    if broken:
        raise ConfigError(f"{path}: {listing(broken)} of the trained model is not finite.")
    return {name: values[name] for name in names}


def validation_metrics(model: keras.Model, config: ModelConfig, samples: int | None = None) -> dict[str, float]:
    """Return the metrics of a compiled model on the validation part of a config's data, as `val_<metric>`.

    Args:
        model: a compiled model.
        config: names the data.
        samples: number of samples, from the first; None for all.

    Raises:
        ConfigError: the data have no validation part.
    """
    part = for_model(config.load_data(), model).validation
    if part is None:
        raise ConfigError("data: has no validation part, by which a sweep chooses. Give it a `validation_fraction`.")
    part = part if samples is None else part.head(samples)
    return {f"val_{name}": value for name, value in evaluate(model, part).items()}


class _Watch(keras.callbacks.Callback):
    """Writes the objectives after each epoch, and stops where the sweep asks for it or has ended."""

    def __init__(self, directory: TrialDirectory, objectives: Sequence[str], parent: int | None) -> None:
        super().__init__()
        self.directory = directory
        self.objectives = objectives
        self.parent = parent

    def on_epoch_end(self, epoch: int, logs: dict[str, Any] | None = None) -> None:
        logs = logs or {}
        self.directory.add_epoch(epoch, {name: float(logs[name]) for name in self.objectives if name in logs})
        if self.parent is not None and os.getppid() != self.parent:
            raise KeyboardInterrupt("the sweep has ended")
        if self.directory.stopped:
            self.model.stop_training = True


def _message(error: Exception) -> str:
    return str(error) if isinstance(error, HGQ2Error) else f"{type(error).__name__}: {error}"


def main(arguments: Sequence[str] | None = None) -> None:
    """Run a trial; exit code 0 also for one that fails, which its outcome says."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("directory", type=Path)
    parser.add_argument("--parent", type=int)
    given = parser.parse_args(arguments)
    # Ignored by what a shell starts in the background, and by its children.
    signal.signal(signal.SIGINT, signal.default_int_handler)
    try:
        run_trial(given.directory, given.parent)
    except KeyboardInterrupt as error:
        sys.exit(" ".join(["interrupted:", *map(str, error.args)]))


if __name__ == "__main__":
    main()
