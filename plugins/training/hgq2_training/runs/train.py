"""Training by a config, from the start or from a checkpoint, up to the results in the run directory."""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import AbstractContextManager, nullcontext
from pathlib import Path
from typing import Any

import keras
import yaml

from hgq2_core import ModelConfig, fit_ranges
from hgq2_core.compilation.remaining import RemainingSteps
from hgq2_core.config.model import Training
from hgq2_core.config.preflight.check import check_training
from hgq2_core.config.preflight.keras_errors import Begun, refused_by_keras
from hgq2_core.config.resolved import resolved
from hgq2_core.data.class_weight import with_class_weight
from hgq2_core.data.feed import fit_data, for_model
from hgq2_core.data.splits import Splits
from hgq2_core.errors import ConfigError, DataError
from hgq2_core.exporting.graph import output_names
from hgq2_core.files import remove, remove_leftovers, write_json, write_text
from hgq2_core.keras_graph.random_state import preserve_rng
from hgq2_core.model_file.load import check_saved
from hgq2_training.callbacks.budget import Budget
from hgq2_training.callbacks.checkpoint import Checkpoint, Checkpoints
from hgq2_training.callbacks.epochs import EbopsLog, EpochSeed
from hgq2_training.callbacks.front_training import FrontTraining
from hgq2_training.callbacks.history import HistoryLog
from hgq2_training.callbacks.stopping import StopIf
from hgq2_training.runs.configured import callbacks_of, price_setters
from hgq2_training.runs.directory import (
    is_unbegun,
    load,
    load_checkpoint,
    load_recorded,
    locked,
    new_directory,
    remove_results,
    save,
    take_recommended,
)
from hgq2_training.runs.files import (
    CHECKPOINT,
    CONFIG,
    DATA,
    FRONT,
    HISTORY,
    MODEL,
    ORIGIN,
    START,
)
from hgq2_training.runs.from_python import record, schedules
from hgq2_training.runs.origin import origin
from hgq2_training.runs.outcome import divergence
from hgq2_training.runs.results import Run, finalize_run
from hgq2_training.runs.resumable import check_planned, check_same, check_unfinished
from hgq2_training.runs.warm_start import WarmStart, start_from


@preserve_rng()
def train(
    config: ModelConfig,
    directory: str | Path,
    epochs: int | None = None,
    callbacks: Sequence[keras.callbacks.Callback] = (),
) -> Run:
    """Train a config, calibrate and verify the result, and save everything.

    Args:
        config: a config with `data` and `training`.
        directory: a new or empty directory, or that of a run in which no epoch was trained yet.
        epochs: number of epochs, in place of that in the config.
        callbacks: additional callbacks without state, such as a progress bar, which come last; or schedules by Python
            functions, see `BetaSchedule.from_function`, with which the config cannot rebuild the run.

    Raises:
        ConfigError: the config has no data or training, data and model do not fit, or another process trains there.
        DataError: the data cannot be read.
        WriteError: the directory cannot be written to.
    """
    config, training = _with_training(config, epochs)
    with _distributed(training):
        return _run(config, training, new_directory(directory), callbacks, None)


@preserve_rng()
def resume(
    directory: str | Path,
    config: ModelConfig | None = None,
    epochs: int | None = None,
    callbacks: Sequence[keras.callbacks.Callback] = (),
) -> Run:
    """Resume a training that was stopped at any moment and in any way.

    The training continues from the last checkpoint, or starts again if there is none. On one thread the result is equal
    to that of an uninterrupted run, bit for bit; a compiled step (`jit_compile`) is so to rounding alone. A finished
    run can be trained longer; schedules depend on the index of an epoch, not on the number of epochs.

    Args:
        directory: the run directory.
        config: the config of the run, or another one if no epoch was trained yet; None for that in the directory.
        epochs: number of epochs, in place of that in the config.
        callbacks: see `train`.

    Raises:
        ConfigError: the run is finished or has another config, or another process trains there.
        ModelFileError: there is no run, or a file is damaged.
        WriteError: the directory cannot be written to.
    """
    directory = Path(directory)
    if config is None:
        config = load_recorded(directory)
    elif not is_unbegun(directory):
        check_same(load_recorded(directory), config, directory)
    config, training = _with_training(config, epochs)
    start = load_checkpoint(directory)
    if start is not None:
        check_planned(training, directory)
        check_unfinished(start, training, directory)
    with _distributed(training):
        return _run(config, training, directory, callbacks, start)


def _distributed(training: Training) -> AbstractContextManager[None]:
    return nullcontext() if training.distribution is None else training.distribution.scope()


def _run(
    config: ModelConfig,
    training: Training,
    directory: Path,
    callbacks: Sequence[keras.callbacks.Callback],
    start: Checkpoint | None,
) -> Run:
    splits = config.load_data()
    model = config.build(exact=True)
    keras.utils.set_random_seed(config.seed)
    check_training(training, model, splits)
    check_saved(model, "the file of the trained model")
    ordered = for_model(splits, model)
    warm: WarmStart | None = None
    if start is None and config.init_from is not None:
        source = load(config.init_from.run, front=config.init_from.front)
        warm = start_from(model, source, ordered.train.x)
    elif start is None:
        fit_ranges(model, ordered.train.x)
    else:
        start.check(model, directory / CHECKPOINT)
    with locked(directory):
        remove_leftovers(directory)
        remark = record(directory, callbacks, start is not None, training.budget is not None)
        remove_results(directory)  # of fewer epochs
        write_text(directory / CONFIG, remark + yaml.safe_dump(resolved(config, model), sort_keys=False))
        write_json(directory / DATA, splits.to_dict())
        if start is None:
            write_json(directory / ORIGIN, origin(splits))
            _record_start(config, warm, directory)
        checkpoints = _train(config, model, ordered, training, directory, callbacks, start)
        if training.front is not None:
            take_recommended(model, directory)
        seconds = checkpoints.last.seconds if checkpoints.last else 0.0
        return finalize_run(model, splits, directory, seconds, training=training, stopped=_stopped(checkpoints))


def _record_start(config: ModelConfig, warm: WarmStart | None, directory: Path) -> None:
    if warm is None or config.init_from is None:
        remove(directory / START)
    else:
        write_json(directory / START, {**config.init_from.model_dump(exclude_none=True), **warm.to_dict()})


def _stopped(checkpoints: Checkpoints) -> str:
    reasons = (each.reason for each in checkpoints.callbacks if isinstance(each, StopIf))
    return next(reasons, "")


def _train(
    config: ModelConfig,
    model: keras.Model,
    splits: Splits,
    training: Training,
    directory: Path,
    callbacks: Sequence[keras.callbacks.Callback],
    start: Checkpoint | None,
) -> Checkpoints:
    history = HistoryLog(directory / HISTORY)
    prices = price_setters(training, model)
    stop_if = [StopIf(training.stop_if)] if training.stop_if else []
    configured = [
        *prices,
        *callbacks_of(training, directory, 0 if start is None else start.epoch),
        *schedules(callbacks),
        *stop_if,
        history,
    ]
    for callback in configured:
        if hasattr(callback, "bind"):
            callback.bind(directory / FRONT, splits)
    others = [each for each in callbacks if each not in configured]
    checkpoints = Checkpoints(directory / CHECKPOINT, configured, training.checkpoint_every, start)
    try:
        _fit(model, splits, training, start, [EpochSeed(config.seed), EbopsLog(), *configured, checkpoints, *others])
    except BaseException as error:
        diverged = divergence(model, history.epochs) if isinstance(error, DataError) else ""
        _save_last_epoch(model, directory, checkpoints, history, prices)
        if diverged:
            raise ConfigError(diverged) from error
        raise
    return checkpoints


def _fit(
    model: keras.Model, splits: Splits, training: Training, start: Checkpoint | None, callbacks: list[Any]
) -> None:
    done = 0 if start is None else start.epoch
    begun = Begun()
    # The callbacks of a front measure each epoch, calibrated, and add that to the logs.
    validation = splits.validation if training.front is None else None
    train = with_class_weight(splits.train, training.class_weight, output_names(model), splits.classes)
    with refused_by_keras("training", begun):
        model.fit(
            **fit_data(train, validation, training.batch_size, training.steps_per_epoch, training.shuffle),
            initial_epoch=done,
            # If a callback had stopped the training, only the end of training is left to run.
            epochs=done if start is not None and start.stopped else training.epochs,
            callbacks=[*callbacks, RemainingSteps(), begun],
            verbose=0,
        )


def _save_last_epoch(
    model: keras.Model,
    directory: Path,
    checkpoints: Checkpoints,
    history: HistoryLog,
    prices: Sequence[keras.callbacks.Callback],
) -> None:
    """Save the state after the last complete epoch of a training that was stopped, or the best so far by its price."""
    if checkpoints.last is not None:
        history.write()
        checkpoints.write()
        checkpoints.last.restore(model)
        for each in prices:
            if isinstance(each, Budget):
                each.restore()
            elif isinstance(each, FrontTraining):
                take_recommended(model, directory)
        save(model, directory / MODEL)


def replace_training(config: ModelConfig, **changes: Any) -> ModelConfig:
    """Return a config with some fields of its training replaced, after checking it."""
    document = config.to_dict()
    document["training"] = {**document["training"], **changes}
    return ModelConfig.parse(document)


def _with_training(config: ModelConfig, epochs: int | None) -> tuple[ModelConfig, Training]:
    if config.training is not None and epochs is not None:
        config = replace_training(config, epochs=epochs)
    if config.training is None:
        raise ConfigError("training: is missing; it says how to train.")
    return config, config.training
