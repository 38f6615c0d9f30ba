"""The rules for callbacks: their constructors, their names in the logs, and their state."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from contextlib import suppress
from typing import Any

import keras
import numpy as np

from hgq2_core.errors import HGQ2Error
from hgq2_core.testing.constructors import Configured, has_json_schema, is_strict, migrates
from hgq2_core.testing.protocols import PROTOCOLS
from hgq2_core.testing.rules import Check, checks, require, run

LOGS = ("reads_logs", "adds_logs")
EPOCHS = 2
LOGGED = frozenset({"loss", "mae", "val_loss", "val_mae"})
"""What the logs of a training have in `trains_along`."""


def check_callback(config: Mapping[str, Any]) -> None:
    """Check that a callback keeps the rules that configs and resumed trainings rely on.

    Args:
        config: the callback as in a model file: its kind and its arguments.

    Raises:
        ConformanceError: a line for each rule that is broken.
        KindError: no installed plugin has the kind.

    Example:
        >>> check_callback({"kind": "acme.stop_when_cheap", "limit": 1e9})
    """
    run(str(config.get("kind")), callback_checks(config))


def callback_checks(config: Mapping[str, Any]) -> Iterator[Check]:
    """Return the checks of `check_callback` one by one, for `parametrize_with_checks`.

    Args:
        config: see `check_callback`.
    """
    subject = Configured.of("callbacks", config)
    yield from checks((is_a_callback,), subject)
    yield from checks(RULES, subject, after=is_a_callback.__name__)


def is_a_callback(subject: Configured) -> None:
    """A callback is Keras' Callback, has a typed constructor, and get_state() with set_state() or neither."""
    problem = PROTOCOLS["callbacks"](subject.cls)
    require(not problem, f"{subject.cls.__name__} {problem}")


def is_made_by_keras(subject: Configured) -> None:
    """A constructor calls super().__init__()."""
    made = subject.make()
    lost = sorted(name for name in vars(keras.callbacks.Callback()) if name not in vars(made))
    require(not lost, f"{', '.join(lost)} is not there.")


def names_its_logs(subject: Configured) -> None:
    """reads_logs() and adds_logs(), if they are there, return names."""
    made = subject.make()
    for method in LOGS:
        if hasattr(made, method):
            names = getattr(made, method)()
            fits = isinstance(names, list | tuple | set | frozenset) and all(isinstance(name, str) for name in names)
            require(fits, f"{method}() gave {names!r}.")


def keeps_its_state(subject: Configured) -> None:
    """set_state() restores what get_state() returns: plain data and numpy arrays."""
    made, resumed = subject.make(), subject.make()
    if not hasattr(made, "get_state"):
        return
    state = made.get_state()
    for path, value in keras.tree.flatten_with_path(state):
        plain = value is None or isinstance(value, bool | int | float | str | np.ndarray | np.generic)
        require(plain, f"{'.'.join(map(str, path))} is a {type(value).__name__}.")
    resumed.set_state(state)
    again = resumed.get_state()
    keras.tree.assert_same_structure(state, again)
    pairs = zip(keras.tree.flatten(state), keras.tree.flatten(again), strict=True)
    require(all(np.array_equal(before, after) for before, after in pairs), f"{state!r} became {again!r}.")


def trains_along(subject: Configured) -> None:
    """A training runs with it, and its logs have what adds_logs() names and no more."""
    made, seen = subject.make(), []
    if hasattr(made, "bind") or not LOGGED.issuperset(_names(made, "reads_logs")):  # it needs a run, or other metrics
        return
    model = keras.Sequential([keras.Input((2,)), keras.layers.Dense(1)])
    model.compile("sgd", "mse", metrics=["mae"])
    x, y = np.ones((4, 2), np.float32), np.ones((4, 1), np.float32)
    record = keras.callbacks.LambdaCallback(on_epoch_end=lambda epoch, logs: seen.append(dict(logs or {})))
    with suppress(HGQ2Error):  # it may refuse a model without quantizers, or one that lacks a metric
        model.fit(x, y, epochs=EPOCHS, validation_data=(x, y), verbose=0, callbacks=[made, record])
    lacking = sorted({name for logs in seen for name in _names(made, "adds_logs") if name not in logs})
    require(not lacking, f"The logs lack {', '.join(lacking)}.")
    if hasattr(made, "adds_logs"):  # of one that does not say, a config takes any name
        unnamed = sorted({name for logs in seen for name in logs} - {*LOGGED, *_names(made, "adds_logs")})
        require(not unnamed, f"The logs also have {', '.join(unnamed)}, which no other part of a config can refer to.")


def _names(callback: keras.callbacks.Callback, method: str) -> Iterable[str]:
    names: Iterable[str] = getattr(callback, method, tuple)()
    return names


RULES = (is_strict, has_json_schema, migrates, is_made_by_keras, names_its_logs, keeps_its_state, trains_along)
