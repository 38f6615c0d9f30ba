"""The callbacks that the config of a run names."""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import Any

import keras

from hgq2_core.config.model import Training
from hgq2_core.files import write_text
from hgq2_training.callbacks.budget import Budget
from hgq2_training.callbacks.front_training import FrontTraining
from hgq2_training.callbacks.pareto_front import ParetoFront


def callbacks_of(training: Training, directory: Path, done: int) -> list[Any]:
    """Return the callbacks of a config, of which those of Keras write inside the run directory.

    Args:
        training: how to train.
        directory: the run directory.
        done: number of epochs that were trained before, whose lines in a log are kept.
    """
    callbacks = training.make_callbacks(directory)
    for each in callbacks:
        if isinstance(each, keras.callbacks.CSVLogger):
            each.append = done > 0
            _cut(Path(each.filename), each.sep, done)
        if isinstance(each, keras.callbacks.BackupAndRestore):
            # The run resumes from its own checkpoint, which an older backup would undo.
            shutil.rmtree(each.backup_dir, ignore_errors=True)
    return callbacks


def _cut(log: Path, separator: str, done: int) -> None:
    """Remove the lines of a log after some epochs: those that no checkpoint has are trained, and written, again."""
    if not log.is_file():
        return
    header, *lines = log.read_text(encoding="utf-8").splitlines(keepends=True) or [""]
    epochs = [(line, line.partition(separator)[0]) for line in lines if line.endswith("\n")]
    kept = [line for line, epoch in epochs if epoch.isdecimal() and int(epoch) < done]
    write_text(log, "".join([header, *kept]))


def price_setters(training: Training, model: keras.Model) -> list[keras.callbacks.Callback]:
    """Return the callbacks of a training with a budget or of a front, which set the price of bits.

    Args:
        training: how to train.
        model: compiled, with built metrics.
    """
    if training.budget is not None:
        return [Budget(training.budget.ebops, training.budget.metric, luts=training.budget.luts)]
    if training.front is None:
        return []
    metric = training.front.metric or next((name for name in model.get_metrics_result() if name != "loss"), "loss")
    front = ParetoFront([f"val_{metric}", "ebops"])
    costs = training.front.ebops or training.front.count
    return [front, FrontTraining(front, costs, training.front.tuning_epochs(training.epochs))]
