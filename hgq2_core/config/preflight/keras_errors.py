"""Errors that Keras raises about a config, as opposed to defects."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import keras

from hgq2_core.errors import ConfigError, HGQ2Error

LONGEST = 300
"""Limit on the characters of a Keras message."""

ROOTS = frozenset({"keras", "torch", "jax", "jaxlib", "tensorflow", "numpy", "ml_dtypes", "optree", "tree"})
"""Packages whose errors mean that Keras cannot do what the config asks for."""


class Begun(keras.callbacks.Callback):
    """Records whether the first batch has been trained."""

    def __init__(self) -> None:
        super().__init__()
        self.done = False

    def on_train_batch_end(self, batch: int, logs: dict[str, Any] | None = None) -> None:
        """Record it."""
        self.done = True


@contextmanager
def refused_by_keras(place: str, begun: Begun | None = None) -> Iterator[None]:
    """Turn an error that Keras raises into a ConfigError; one that passes through other code is a defect of that code.

    Args:
        place: the place in the config, for the message.
        begun: if given, errors after the first batch are left unchanged.

    Raises:
        ConfigError: with the message of Keras.
    """
    try:
        yield
    except HGQ2Error:
        raise
    except Exception as error:
        if (begun is not None and begun.done) or not _is_of_keras(error):
            raise
        raise ConfigError(f"{place}: Keras refuses it: {text_of(error)}") from error


def _is_of_keras(error: BaseException) -> bool:
    """Return True if only code of Keras, its backend and Python lies between the caller and the error."""
    modules = []
    trace = error.__traceback__
    while trace is not None:
        modules.append(str(trace.tb_frame.f_globals.get("__name__", "")).partition(".")[0])
        trace = trace.tb_next
    allowed = ROOTS | sys.stdlib_module_names
    way = set(modules[:2])  # this module and the guarded block, which call Keras
    while modules and modules[0] in way - ROOTS:
        modules.pop(0)
    return bool(modules) and all(module in allowed for module in modules)


def text_of(error: BaseException) -> str:
    """Return the message of an error on one line, shortened if it is long."""
    text = " ".join(str(error).split()) or type(error).__name__
    return text if len(text) <= LONGEST else f"{text[: LONGEST - 3]}..."


def refusals(place: str, call: Callable[..., Any], *arguments: Any) -> Iterator[tuple[str, str]]:
    """Yield the error of a call to Keras, if it raises one, with a place in the config.

    Args:
        place: the place in the config.
        call: the function of Keras.
        arguments: its arguments.
    """
    try:
        call(*arguments)
    except Exception as error:  # Keras and the backend raise errors of any class
        yield place, f"Keras refuses it: {text_of(error)}"
