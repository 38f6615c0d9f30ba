"""Rules for callbacks: they monitor names that are logged, and do not conflict with the optimizer."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

import keras

from hgq2_core.config.preflight.keras_errors import refusals
from hgq2_core.config.preflight.setup import Finding, Setup
from hgq2_core.errors import listing, nearest

BUDGET_LOGS = ("ebops_calibrated", "ebops_beta")
"""Names that a training with a budget adds to the logs."""

NO_VALIDATION = " The data have no validation part: give them a `validation_fraction`."


def one_thing_sets_the_learning_rate(setup: Setup) -> Iterator[Finding]:
    """The learning rate is not set by both a schedule and a callback."""
    if not isinstance(setup.training.optimizer.arguments.get("learning_rate"), dict):
        return
    for index, spec in enumerate(setup.training.callbacks):
        if spec.kind == "keras.ReduceLROnPlateau":
            yield (
                f"training.callbacks.{index}",
                "keras.ReduceLROnPlateau sets the learning rate, which a schedule sets already. "
                "Give the optimizer a number as `learning_rate`, or leave the callback out.",
            )


def callbacks_monitor_what_is_logged(setup: Setup) -> Iterator[Finding]:
    """The names that a callback monitors are logged, and Keras can tell whether to minimize or maximize them."""
    measured = list(setup.model.get_metrics_result())
    logged = [*measured, *(f"val_{name}" for name in measured if setup.splits.validation is not None), "ebops"]
    if setup.training.budget is not None:
        logged += BUDGET_LOGS
    for index, callback in enumerate(setup.training.make_callbacks()):
        place = f"training.callbacks.{index}"
        own = _is_keras_own(callback)
        missing = [name for name in _read_by(callback) if name not in logged]
        for name in missing:
            without = NO_VALIDATION if setup.splits.validation is None and name.startswith("val_") else ""
            yield (
                f"{place}.monitor" if own else place,
                f"no such name in the logs. Received: {name!r}. Allowed: {listing(logged)}.{nearest(name, logged)}"
                f"{without}",
            )
        if own and not missing:
            yield from refusals(place, _one_epoch, callback, setup.model, logged)
        added = _added_by(callback)
        if added is None:  # it may log any name
            return
        logged += added


def _is_keras_own(callback: Any) -> bool:
    return type(callback).__module__.partition(".")[0] == "keras"


def _one_epoch(callback: keras.callbacks.Callback, model: keras.Model, logged: Sequence[str]) -> None:
    callback.set_model(model)
    callback.on_train_begin()
    callback.on_epoch_end(0, dict.fromkeys(logged, 0.0))


def _read_by(callback: Any) -> Sequence[str]:
    if _is_keras_own(callback):
        return (callback.monitor,) if hasattr(callback, "monitor") else ()
    return callback.reads_logs() if hasattr(callback, "reads_logs") else ()


def _added_by(callback: Any) -> Sequence[str] | None:
    """Return the names that a callback adds to the logs; None if it does not say."""
    if _is_keras_own(callback):
        return ("learning_rate",) if isinstance(callback, keras.callbacks.ReduceLROnPlateau) else ()
    return callback.adds_logs() if hasattr(callback, "adds_logs") else None
