"""Checkpoints, from which a training that was stopped can be resumed."""

from __future__ import annotations

import json
import time
import zipfile
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import keras
import numpy as np
from numpy.typing import NDArray

from hgq2_core.errors import ModelFileError
from hgq2_core.files import atomic_path
from hgq2_core.optimizer import BitOptimizer
from hgq2_training.callbacks.throttle import Throttle
from hgq2_training.callbacks.values import value_of

Array = NDArray[Any]

KERAS_STATE: dict[type, tuple[str, ...]] = {
    keras.callbacks.EarlyStopping: ("wait", "stopped_epoch", "best", "best_epoch", "best_weights"),
    keras.callbacks.ReduceLROnPlateau: ("wait", "cooldown_counter", "best"),
    keras.callbacks.ModelCheckpoint: ("best",),
    keras.callbacks.TerminateOnNaN: (),
}
"""The attributes that hold the state of Keras' callbacks."""

_ARRAY = "array in this file"


@dataclass(frozen=True)
class Checkpoint:
    """The state of a training between two epochs.

    Args:
        epoch: index of the next epoch, which is the number of completed epochs.
        stopped: whether a callback has stopped the training.
        seconds: duration of the training so far.
        variables: values of the variables of the model and its optimizer, in order.
        callbacks: the state of each callback, in order.
    """

    epoch: int
    stopped: bool
    seconds: float
    variables: list[Array]
    callbacks: list[Any]

    def write(self, path: Path) -> None:
        """Replace a file by this checkpoint."""
        arrays = {f"variable_{index}": value for index, value in enumerate(self.variables)}

        def lift(value: Any) -> Any:
            if isinstance(value, np.generic):
                return value.item()
            if not isinstance(value, np.ndarray):
                raise TypeError(f"a callback's state is plain data and numpy arrays. Received: {type(value)}")
            name = f"state_{len(arrays)}"
            arrays[name] = value
            return {_ARRAY: name}

        document = {
            **{"epoch": self.epoch, "stopped": self.stopped, "seconds": self.seconds},
            **{"variables": len(self.variables), "callbacks": self.callbacks},
        }
        text = json.dumps(document, default=lift).encode()
        with atomic_path(path) as temporary:
            np.savez(temporary, document=np.frombuffer(text, np.uint8), **arrays)  # type: ignore[arg-type]

    @classmethod
    def read(cls, path: Path) -> Checkpoint:
        """Return the checkpoint in a file.

        Raises:
            ModelFileError: the file is not a valid checkpoint.
        """
        try:
            with path.open("rb") as file, np.load(file, allow_pickle=False) as arrays:
                document = json.loads(
                    arrays["document"].tobytes(),
                    object_hook=lambda item: arrays[item[_ARRAY]] if _ARRAY in item else item,
                )
                document["variables"] = [arrays[f"variable_{index}"] for index in range(document["variables"])]
            return cls(**document)
        except (OSError, EOFError, ValueError, KeyError, TypeError, zipfile.BadZipFile) as error:
            raise ModelFileError(f"{path}: is not a valid checkpoint. {error}") from error

    def check(self, model: keras.Model, path: Path) -> None:
        """Check that the checkpoint fits a model.

        Args:
            model: a compiled model.
            path: file of the checkpoint, for the message.

        Raises:
            ModelFileError: the variables differ in number or shape.
        """
        wanted, found = _shapes(state_variables(model)), [each.shape for each in self.variables]
        if wanted != found and _shapes(each[0] for each in _state_by_plain_optimizer(model)) != found:
            raise ModelFileError(
                f"{path}: does not fit the model of the config. Received: {len(found)} variables. Allowed: "
                f"{len(wanted)}, of the model's shapes. Was it written by other versions of the packages?"
            )

    def restore(self, model: keras.Model) -> None:
        """Assign the values of this checkpoint to a model and its optimizer.

        Args:
            model: a compiled model that the checkpoint fits.
        """
        places = [[variable] for variable in state_variables(model)]
        if len(places) != len(self.variables):
            places = _state_by_plain_optimizer(model)
        for variables, value in zip(places, self.variables, strict=True):
            for variable in variables:
                variable.assign(value)


def state_variables(model: keras.Model) -> list[keras.Variable]:
    """Return all variables that training changes: weights, bits, ranges, seeds, and those of the optimizer."""
    if not model.optimizer.built:
        model.optimizer.build(model.trainable_variables)
    return [*model.variables, *model.optimizer.variables]


def _state_by_plain_optimizer(model: keras.Model) -> list[list[keras.Variable]]:
    """Return the variables in the order of a checkpoint from before `BitOptimizer` was used with weight decay."""
    if not isinstance(model.optimizer, BitOptimizer):
        return []
    return [*([variable] for variable in model.variables), *model.optimizer.plain_variables()]


def _shapes(variables: Iterable[keras.Variable]) -> list[tuple[int, ...]]:
    return [tuple(variable.shape) for variable in variables]


class Checkpoints(keras.callbacks.Callback):
    """Record the state of the training after every epoch; comes after the callbacks whose state it records.

    A stateful callback has `get_state()`, which returns plain data and numpy arrays that do not change later, and
    `set_state(state)`, called at the start of training. A callback without them is treated as stateless. One whose
    state names files has `flush()`, which writes them and is called before a checkpoint is written.

    Args:
        path: the file.
        callbacks: the callbacks whose state is recorded.
        every: epochs between writes; fewer are made where writing would take too large a share of the time.
        start: the checkpoint to resume from; None to start a training.
    """

    def __init__(
        self, path: Path, callbacks: Sequence[keras.callbacks.Callback], every: int = 1, start: Checkpoint | None = None
    ) -> None:
        super().__init__()
        self.path = path
        self.callbacks = list(callbacks)
        self.every = every
        self.last = start
        self._written = True
        self._seconds = 0.0 if start is None else start.seconds
        self._throttle = Throttle()

    def on_train_begin(self, logs: dict[str, Any] | None = None) -> None:
        """Restore the checkpoint; the earlier callbacks have just been reset."""
        self._began = time.monotonic()
        if self.last is not None:
            self.last.restore(self.model)
            for callback, state in zip(self.callbacks, self.last.callbacks, strict=True):
                set_state(callback, state)

    def on_epoch_end(self, epoch: int, logs: dict[str, Any] | None = None) -> None:
        """Record the state in memory, and write it when the throttle permits."""
        self.last = Checkpoint(
            epoch=epoch + 1,
            stopped=bool(self.model.stop_training),
            seconds=self._seconds + time.monotonic() - self._began,
            variables=[value_of(variable) for variable in state_variables(self.model)],
            callbacks=[get_state(callback) for callback in self.callbacks],
        )
        self._written = False
        if (epoch + 1) % self.every == 0 and self._throttle.ready():
            self.write()

    def on_train_end(self, logs: dict[str, Any] | None = None) -> None:
        """Write the last state."""
        self.write()

    def write(self) -> None:
        """Write the last state, unless it is already written."""
        if self.last is not None and not self._written:
            with self._throttle.writing():
                for callback in self.callbacks:
                    if hasattr(callback, "flush"):
                        callback.flush()
                self.last.write(self.path)
            self._written = True


def get_state(callback: keras.callbacks.Callback) -> Any:
    """Return the state of a callback as plain data and numpy arrays; None if it is stateless."""
    if hasattr(callback, "get_state"):
        return callback.get_state()
    names = KERAS_STATE.get(type(callback))
    return None if names is None else {name: getattr(callback, name) for name in names}


def set_state(callback: keras.callbacks.Callback, state: Any) -> None:
    """Restore a callback's state, as returned by `get_state`."""
    if hasattr(callback, "set_state"):
        callback.set_state(state)
        return
    for name in KERAS_STATE.get(type(callback), ()):
        setattr(callback, name, state[name])
