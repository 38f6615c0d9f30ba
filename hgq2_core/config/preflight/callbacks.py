"""Rules for callbacks: they monitor names that are logged, and do not conflict with the optimizer."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

import keras

from hgq2_core.config.preflight.keras_errors import refusals
from hgq2_core.config.preflight.setup import Finding, Setup
from hgq2_core.errors import listing, nearest
from hgq2_core.schema.keras_callbacks import PATHS

FRONT_LOGS = ("front", "ebops_beta")
"""Names that a training of a front adds to the logs."""

SET_LEARNING_RATE = ("keras.ReduceLROnPlateau", "keras.LearningRateScheduler")
"""Callbacks that set the learning rate."""

NO_VALIDATION = " The data have no validation part: give them a `validation_fraction`."


def one_thing_sets_the_learning_rate(setup: Setup) -> Iterator[Finding]:
    """The learning rate is not set by both a schedule and a callback."""
    scheduled = isinstance(setup.training.optimizer.arguments.get("learning_rate"), dict)
    if not scheduled and setup.training.schedule is None and setup.training.front is None:
        return
    whole = "schedule" if setup.training.front is None else "front"
    for index, spec in enumerate(setup.training.callbacks):
        if spec.kind in SET_LEARNING_RATE:
            remedy = "Give the optimizer a number as `learning_rate`" if scheduled else f"Leave out training.{whole}"
            yield (
                f"training.callbacks.{index}",
                f"{spec.kind} sets the learning rate, which a schedule sets already. "
                f"{remedy}, or leave the callback out.",
            )


def a_front_is_measured_on_validation_data(setup: Setup) -> Iterator[Finding]:
    """A training of a front has validation data, and no other callback keeps a front."""
    if setup.training.front is None:
        return
    if setup.splits.validation is None:
        yield "training.front", f"chooses by validation data.{NO_VALIDATION}"
    for index, callback in enumerate(setup.training.make_callbacks()):
        if "front" in (_added_by(callback) or ()):
            yield f"training.callbacks.{index}", "training.front keeps a front itself. Leave one of them out."


def a_front_has_all_epochs(setup: Setup) -> Iterator[Finding]:
    """No callback ends a training of a front before its models are tuned."""
    if setup.training.front is None:
        return
    for index, callback in enumerate(setup.training.make_callbacks()):
        if isinstance(callback, keras.callbacks.EarlyStopping):
            yield f"training.callbacks.{index}", "a front needs all epochs. Leave one of them out."


def averages_are_kept(setup: Setup) -> Iterator[Finding]:
    """The optimizer keeps the averages that a callback swaps in."""
    for index, spec in enumerate(setup.training.callbacks):
        if spec.kind == "keras.SwapEMAWeights" and not setup.training.optimizer.arguments.get("use_ema"):
            yield (
                f"training.callbacks.{index}",
                "keras.SwapEMAWeights evaluates with averages that the optimizer keeps. Add `use_ema: true` to it.",
            )


def models_are_chosen_by_what_is_measured(setup: Setup) -> Iterator[Finding]:
    """The metric that chooses the model of a budget, or the models of a front, is one of the model."""
    measured = list(setup.model.get_metrics_result())
    for word, section in (("budget", setup.training.budget), ("front", setup.training.front)):
        name = None if section is None else section.metric
        if name is not None and name not in measured:
            message = f"no such metric. Received: {name!r}. Allowed: {listing(measured)}.{nearest(name, measured)}"
            yield f"training.{word}.metric", message


def callbacks_monitor_what_is_logged(setup: Setup) -> Iterator[Finding]:
    """The names that a callback monitors are logged, and Keras can tell whether to minimize or maximize them."""
    measured = list(setup.model.get_metrics_result())
    logged = [*measured, *(f"val_{name}" for name in measured if setup.splits.validation is not None), "ebops"]
    if setup.training.budget is not None:
        logged += [f"{setup.training.budget.unit.lower()}_calibrated", "ebops_beta"]
    if setup.training.front is not None:
        logged += FRONT_LOGS
    for index, callback in enumerate(setup.training.make_callbacks()):
        place = f"training.callbacks.{index}"
        own = _is_keras_own(callback)
        missing = [name for name in _read_by(callback) if name not in logged]
        for name in missing:
            yield f"{place}.monitor" if own else place, _not_logged(setup, name, logged)
        if own and not missing and setup.training.callbacks[index].kind not in PATHS:
            yield from refusals(place, _one_epoch, callback, setup.model, logged)
        added = _added_by(callback)
        if added is None:  # it may log any name
            return
        logged += added
    for index, condition in enumerate(setup.training.stop_if):
        if condition.metric not in logged:
            yield f"training.stop_if.{index}.metric", _not_logged(setup, condition.metric, logged)


def _not_logged(setup: Setup, name: str, logged: Sequence[str]) -> str:
    without = NO_VALIDATION if setup.splits.validation is None and name.startswith("val_") else ""
    return f"no such name in the logs. Received: {name!r}. Allowed: {listing(logged)}.{nearest(name, logged)}{without}"


def _is_keras_own(callback: Any) -> bool:
    return type(callback).__module__.partition(".")[0] == "keras"


def _one_epoch(callback: keras.callbacks.Callback, model: keras.Model, logged: Sequence[str]) -> None:
    callback.set_model(model)
    callback.on_train_begin()
    callback.on_epoch_end(0, dict.fromkeys(logged, 0.0))


def _read_by(callback: Any) -> Sequence[str]:
    if isinstance(callback, keras.callbacks.ModelCheckpoint) and not callback.save_best_only:
        return ()
    if _is_keras_own(callback):
        return (callback.monitor,) if hasattr(callback, "monitor") else ()
    return callback.reads_logs() if hasattr(callback, "reads_logs") else ()


def _added_by(callback: Any) -> Sequence[str] | None:
    """Return the names that a callback adds to the logs; None if it does not say."""
    if _is_keras_own(callback):
        sets = (keras.callbacks.ReduceLROnPlateau, keras.callbacks.LearningRateScheduler)
        return ("learning_rate",) if isinstance(callback, sets) else ()
    return callback.adds_logs() if hasattr(callback, "adds_logs") else None
