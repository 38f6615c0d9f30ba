"""What Keras raises by itself, which is about the config and no defect."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import keras

from hgq2_core.errors import ConfigError, HGQ2Error

LONGEST = 300
"""Characters of what Keras says."""

ROOTS = frozenset({"keras", "torch", "jax", "jaxlib", "tensorflow", "numpy", "ml_dtypes", "optree", "tree"})
"""Packages that raise when Keras is asked for what it cannot do."""


class Begun(keras.callbacks.Callback):
    """Knows whether the first batch was trained."""

    def __init__(self) -> None:
        super().__init__()
        self.done = False

    def on_train_batch_end(self, batch: int, logs: dict[str, Any] | None = None) -> None:
        """Remember."""
        self.done = True


@contextmanager
def refused_by_keras(place: str, begun: Begun | None = None) -> Iterator[None]:
    """Turn what Keras raises by itself into a ConfigError; what passes through other code is that code's defect.

    Args:
        place: in the config.
        begun: after the first batch nothing is turned.

    Raises:
        ConfigError: what Keras said.
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
    """Return True if no code but Keras', its backend's and Python's own stands between the caller and the error."""
    modules = []
    trace = error.__traceback__
    while trace is not None:
        modules.append(str(trace.tb_frame.f_globals.get("__name__", "")).partition(".")[0])
        trace = trace.tb_next
    allowed = ROOTS | sys.stdlib_module_names
    way = set(modules[:2])  # from here, and from the block that is guarded, to Keras
    while modules and modules[0] in way - ROOTS:
        modules.pop(0)
    return bool(modules) and all(module in allowed for module in modules)


def text_of(error: BaseException) -> str:
    """Return what an error says in one line, cut where it is long."""
    text = " ".join(str(error).split()) or type(error).__name__
    return text if len(text) <= LONGEST else f"{text[: LONGEST - 3]}..."


def refusals(place: str, call: Callable[..., Any], *arguments: Any) -> Iterator[tuple[str, str]]:
    """Yield what Keras says when a function of its own is called, after its place in the config.

    Args:
        place: in the config.
        call: the function.
        arguments: its arguments.
    """
    try:
        call(*arguments)
    except Exception as error:  # Keras and the backend raise whatever they like
        yield place, f"Keras refuses it: {text_of(error)}"
