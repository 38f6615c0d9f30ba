"""The callbacks that the config of a run names."""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import Any

import keras

from hgq2_core.config.model import Training
from hgq2_training.callbacks.budget import Budget
from hgq2_training.callbacks.front_training import FrontTraining
from hgq2_training.callbacks.pareto_front import ParetoFront


def callbacks_of(training: Training, directory: Path, resumed: bool) -> list[Any]:
    """Return the callbacks of a config, of which those of Keras write inside the run directory.

    Args:
        training: how to train.
        directory: the run directory.
        resumed: whether epochs were trained before, whose lines in a log are kept.
    """
    callbacks = training.make_callbacks(directory)
    for each in callbacks:
        if isinstance(each, keras.callbacks.CSVLogger):
            each.append = each.append or resumed
        if isinstance(each, keras.callbacks.BackupAndRestore):
            # The run resumes from its own checkpoint, which an older backup would undo.
            shutil.rmtree(each.backup_dir, ignore_errors=True)
    return callbacks


def price_setters(training: Training, model: keras.Model) -> list[keras.callbacks.Callback]:
    """Return the callbacks of a training with a budget or of a front, which set the price of bits.

    Args:
        training: how to train.
        model: compiled, with built metrics.
    """
    if training.budget is not None:
        return [Budget(training.budget.ebops, luts=training.budget.luts)]
    if training.front is None:
        return []
    metric = next((name for name in model.get_metrics_result() if name != "loss"), "loss")
    front = ParetoFront([f"val_{metric}", "ebops"])
    costs = training.front.ebops or training.front.count
    return [front, FrontTraining(front, costs, training.front.tuning_epochs(training.epochs))]
