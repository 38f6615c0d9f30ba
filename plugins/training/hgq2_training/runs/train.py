"""Training by a config, from the start or from a checkpoint, up to the results in the run directory."""

from __future__ import annotations

import importlib.metadata
import math
from collections.abc import Sequence
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import keras
import yaml

from hgq2_core import ModelConfig, calibrate, doctor, ebops, fit_ranges, freeze, plugins, summary, verify
from hgq2_core.compilation.remaining import RemainingSteps
from hgq2_core.config.model import Training
from hgq2_core.config.preflight.check import check_training
from hgq2_core.config.preflight.keras_errors import Begun, refused_by_keras
from hgq2_core.config.resolved import differences, resolved
from hgq2_core.data.class_weight import with_class_weight
from hgq2_core.data.feed import fit_data, for_model
from hgq2_core.data.splits import Splits
from hgq2_core.diagnosis.report import Finding
from hgq2_core.errors import BudgetError, ConfigError, DataError
from hgq2_core.exporting.graph import output_names
from hgq2_core.exporting.luts import estimate_luts
from hgq2_core.files import read_json, remove, remove_leftovers, write_json, write_text
from hgq2_core.keras_graph.random_state import preserve_rng
from hgq2_core.model.calibration import uncalibrated
from hgq2_core.model.number_format import format_count
from hgq2_core.model.verification import VerifyReport
from hgq2_training.callbacks.budget import Budget
from hgq2_training.callbacks.checkpoint import Checkpoint, Checkpoints
from hgq2_training.callbacks.epochs import EbopsLog, EpochSeed
from hgq2_training.callbacks.front_training import FrontTraining
from hgq2_training.callbacks.history import HistoryLog
from hgq2_training.callbacks.stopping import StopIf
from hgq2_training.report.analysis import analyze
from hgq2_training.report.html import page
from hgq2_training.runs.configured import callbacks_of, price_setters
from hgq2_training.runs.directory import (
    is_unbegun,
    load,
    load_checkpoint,
    load_recorded,
    load_run,
    locked,
    new_directory,
    read_metrics,
    save,
    take_recommended,
)
from hgq2_training.runs.evaluation import evaluate
from hgq2_training.runs.files import (
    ANALYSIS,
    CHECKPOINT,
    CONFIG,
    DATA,
    FRONT,
    FROZEN,
    HISTORY,
    METRICS,
    MODEL,
    ORIGIN,
    REPORT,
    START,
)
from hgq2_training.runs.from_python import not_in_config, record, schedules
from hgq2_training.runs.front import recommended
from hgq2_training.runs.origin import origin
from hgq2_training.runs.outcome import divergence, outcome, told, worst_first
from hgq2_training.runs.report import contents_of
from hgq2_training.runs.warm_start import WarmStart, start_from

MAY_CHANGE = ("training.epochs", "training.checkpoint_every", "training.distribution")
"""Fields of the config that may differ when a run is resumed."""


@dataclass(frozen=True)
class Run:
    """A finished run.

    Args:
        directory: the run directory.
        metrics: the contents of `metrics.json`.
        verification: the comparison with integers on the test split.
    """

    directory: Path
    metrics: dict[str, Any]
    verification: VerifyReport


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
        _check_same(load_recorded(directory), config, directory)
    config, training = _with_training(config, epochs)
    start = load_checkpoint(directory)
    if start is not None:
        _check_planned(training, directory)
        _check_unfinished(start, training, directory)
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
        # Results of fewer epochs; metrics.json, which marks a run as finished, is removed first.
        for name in (METRICS, REPORT, ANALYSIS, FROZEN):
            remove(directory / name)
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
        *callbacks_of(training, directory, start is not None),
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
    train = with_class_weight(splits.train, training.class_weight, output_names(model), splits.classes)
    with refused_by_keras("training", begun):
        model.fit(
            **fit_data(train, splits.validation, training.batch_size, training.steps_per_epoch, training.shuffle),
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


def finalize_run(
    model: keras.Model,
    splits: Splits,
    directory: Path,
    seconds: float,
    margin: int = 0,
    training: Training | None = None,
    stopped: str = "",
) -> Run:
    """Calibrate on the training split, measure and verify on the test split, freeze, and save.

    Args:
        model: a trained and compiled model.
        splits: the data.
        directory: the run directory.
        seconds: duration of the training, to record.
        margin: integer bits in addition to those that the training split needs.
        training: how the model was trained.
        stopped: why it ended before its last epoch.

    Raises:
        ConfigError: the training diverged.
        BudgetError: the calibrated model is over the budget.
    """
    history = read_json(directory / HISTORY, [])
    if diverged := divergence(model, history):
        raise ConfigError(diverged)
    splits = for_model(splits, model)
    before = ebops(model) if any(uncalibrated(model)) else read_metrics(directory).get("ebops_before_calibration")
    calibrate(model, splits.train.x, margin=margin)
    budget = None if training is None or training.budget is None else training.budget
    luts = estimate_luts(model) if budget is not None and budget.luts is not None else None
    if budget is not None and (found := ebops(model) if luts is None else luts.luts) > budget.most:
        raise BudgetError(
            f"training.budget: calibrated with a margin of {margin} bits, the model has {format_count(found)} "
            f"{budget.unit}. Allowed: {format_count(budget.most)}. Take a smaller margin, or train with a larger "
            "budget or longer."
        )
    save(model, directory / MODEL)
    save(freeze(model), directory / FROZEN)
    verification = verify(model, splits.test.x)
    stopped = stopped or read_metrics(directory).get("stopped", "")
    from_python, init_from = not_in_config(directory), read_json(directory / START, {})
    metrics: dict[str, Any] = {
        "test": evaluate(model, splits.test),
        "ebops": ebops(model),
        "ebops_before_calibration": before,
        **({} if budget is None else {"budget": budget.model_dump(exclude_none=True)}),
        **({} if luts is None else {"luts": luts.to_dict()}),
        **({"init_from": init_from} if init_from else {}),
        **({"stopped": stopped} if stopped else {}),
        **({"not_in_config": from_python} if from_python else {}),
        "verify": {"mismatches": verification.mismatches, "samples": verification.samples},
        "seconds": round(seconds, 2),
        "versions": versions(),
    }
    if best := recommended(directory, None if budget is None else budget.ebops or math.inf):
        metrics["recommended"] = best.to_dict()
    findings: list[Finding] = []
    analysis: dict[str, Any] = {}
    # The cost of a front falls on purpose, and each of its models settles by itself.
    moved = history if training is None or training.front is None else []
    health = doctor(model, splits.test.x, splits.test.y)
    with told(findings, model.name, "the analysis for its page"):
        analysis = analyze(model, splits, load_recorded(directory), health)
        write_json(directory / ANALYSIS, analysis)
    with told(findings, model.name, "what the end says of the training"):
        findings += outcome(model, splits.test, metrics["test"], moved, analysis.get("outputs"))
    findings += health.findings
    metrics["findings"] = [finding.to_dict() for finding in worst_first(findings)]
    with told(findings, model.name, "its page"):
        name = directory.resolve().name
        write_text(directory / REPORT, page(contents_of(directory, name, summary(model), metrics, analysis)))
    metrics["findings"] = [finding.to_dict() for finding in worst_first(findings)]
    write_json(directory / METRICS, metrics)
    return Run(directory, metrics, verification)


@preserve_rng()
def recalibrate(directory: str | Path, margin: int = 0) -> Run:
    """Calibrate a run's model again, on its training data, and renew the results.

    Args:
        directory: the run directory.
        margin: integer bits in addition to those that the training split needs.
    """
    config, model = load_run(directory)
    seconds = float(read_metrics(directory).get("seconds", 0.0))
    return finalize_run(model, config.load_data(), Path(directory), seconds, margin, config.training)


def versions() -> dict[str, str]:
    """Return the versions of the distributions that a run depends on."""
    names = {"hgq2-core", "keras", "numpy", keras.backend.backend()}
    names |= {plugin.distribution for plugin in plugins() if plugin.distribution}
    versions = {}
    for name in sorted(names):
        try:
            versions[name] = importlib.metadata.version(name)
        except importlib.metadata.PackageNotFoundError:
            versions[name] = "not installed as a distribution"
    return versions


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


def _check_same(recorded: ModelConfig, given: ModelConfig, directory: Path) -> None:
    """Compare two configs with all defaults written out, so that it does not matter whether a default is explicit."""
    before, after = (
        ModelConfig.parse(resolved(each, each.build())).model_dump(mode="json") for each in (recorded, given)
    )
    changed = [each for each in differences(before, after) if not each.startswith(MAY_CHANGE)]
    if changed:
        raise ConfigError(
            f"{directory}: was started with another config. {'; '.join(changed)}. "
            f"Resume with the same, in which only {', '.join(MAY_CHANGE)} may change, or train in a new directory."
        )


def _check_planned(training: Training, directory: Path) -> None:
    recorded = load_recorded(directory).training
    if training.front is not None and recorded is not None and recorded.epochs != training.epochs:
        raise ConfigError(
            f"{directory}: the epochs of a front are planned before the first. Received: epochs={training.epochs}. "
            f"Allowed: {recorded.epochs}. To train longer, start a new run from this one: init_from."
        )


def _check_unfinished(start: Checkpoint, training: Training, directory: Path) -> None:
    if training.epochs < start.epoch:
        raise ConfigError(
            f"{directory}: {start.epoch} epochs are trained, and cannot be undone. Received: epochs={training.epochs}."
        )
    if not read_metrics(directory) or not (start.stopped or training.epochs == start.epoch):
        return
    if start.stopped:
        raise ConfigError(f"{directory}: the run is finished; a callback ended it after {start.epoch} epochs.")
    raise ConfigError(
        f"{directory}: the run is finished after {start.epoch} epochs. To train longer, give more: --epochs N."
    )
