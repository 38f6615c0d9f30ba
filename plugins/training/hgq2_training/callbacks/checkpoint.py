"""What a training needs to go on after it was stopped, in one file."""

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

Array = NDArray[Any]

KERAS_STATE: dict[type, tuple[str, ...]] = {
    keras.callbacks.EarlyStopping: ("wait", "stopped_epoch", "best", "best_epoch", "best_weights"),
    keras.callbacks.ReduceLROnPlateau: ("wait", "cooldown_counter", "best"),
    keras.callbacks.TerminateOnNaN: (),
}
"""The attributes that are the state of Keras' own callbacks."""

_ARRAY = "array in this file"


@dataclass(frozen=True)
class Checkpoint:
    """The state of a training between two epochs.

    Args:
        epoch: the one that comes next: so many are done.
        stopped: whether a callback has ended the training.
        seconds: that training took so far.
        variables: values of the model's and its optimizer's variables, in their order.
        callbacks: the state of each callback, in their order.
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
        """Read a checkpoint.

        Raises:
            ModelFileError: the file is damaged.
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
            raise ModelFileError(f"{path}: is damaged, no checkpoint. {error}") from error

    def check(self, model: keras.Model, path: Path) -> None:
        """Check that this is the state of such a model.

        Args:
            model: compiled.
            path: where this was read from, for the message.

        Raises:
            ModelFileError: the variables are others.
        """
        wanted, found = _shapes(state_variables(model)), [each.shape for each in self.variables]
        if wanted != found and _shapes(each[0] for each in _state_by_plain_optimizer(model)) != found:
            raise ModelFileError(
                f"{path}: does not fit the model of the config. Received: {len(found)} variables. Allowed: "
                f"{len(wanted)}, of the model's shapes. Was it written by other versions of the packages?"
            )

    def restore(self, model: keras.Model) -> None:
        """Return a model and its optimizer the values of this checkpoint.

        Args:
            model: compiled, and checked.
        """
        places = [[variable] for variable in state_variables(model)]
        if len(places) != len(self.variables):
            places = _state_by_plain_optimizer(model)
        for variables, value in zip(places, self.variables, strict=True):
            for variable in variables:
                variable.assign(value)


def state_variables(model: keras.Model) -> list[keras.Variable]:
    """Return all variables that training changes: weights, bits, ranges, seeds, and the optimizer's."""
    if not model.optimizer.built:
        model.optimizer.build(model.trainable_variables)
    return [*model.variables, *model.optimizer.variables]


def _state_by_plain_optimizer(model: keras.Model) -> list[list[keras.Variable]]:
    """Return the places of a state that was written before decaying optimizers were kept from the bits."""
    if not isinstance(model.optimizer, BitOptimizer):
        return []
    return [*([variable] for variable in model.variables), *model.optimizer.plain_variables()]


def _shapes(variables: Iterable[keras.Variable]) -> list[tuple[int, ...]]:
    return [tuple(variable.shape) for variable in variables]


class Checkpoints(keras.callbacks.Callback):
    """Keep the state of the training after every epoch; put it after the callbacks whose state it keeps.

    A callback with state of its own has `get_state()`, which gives plain data and numpy arrays that do not change
    afterwards, and `set_state(state)`, called once training has begun. One without is taken to have none.

    Args:
        path: of the file.
        callbacks: those whose state belongs to the training.
        every: epochs from one write to the next; more where writing would take too large a share of the time.
        start: where to go on; None to begin.
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
        """Take up the training where it stopped; the callbacks before this one have just begun afresh."""
        self._began = time.monotonic()
        if self.last is not None:
            self.last.restore(self.model)
            for callback, state in zip(self.callbacks, self.last.callbacks, strict=True):
                set_state(callback, state)

    def on_epoch_end(self, epoch: int, logs: dict[str, Any] | None = None) -> None:
        """Keep the state in memory, and on disk when it is time."""
        self.last = Checkpoint(
            epoch=epoch + 1,
            stopped=bool(self.model.stop_training),
            seconds=self._seconds + time.monotonic() - self._began,
            variables=[_value(variable) for variable in state_variables(self.model)],
            callbacks=[get_state(callback) for callback in self.callbacks],
        )
        self._written = False
        if (epoch + 1) % self.every == 0 and self._throttle.ready():
            self.write()

    def on_train_end(self, logs: dict[str, Any] | None = None) -> None:
        """Write the last state."""
        self.write()

    def write(self) -> None:
        """Write the last state, unless that is done."""
        if self.last is not None and not self._written:
            with self._throttle.writing():
                self.last.write(self.path)
            self._written = True


def get_state(callback: keras.callbacks.Callback) -> Any:
    """Return the state of a callback as plain data and numpy arrays; None for one without."""
    if hasattr(callback, "get_state"):
        return callback.get_state()
    names = KERAS_STATE.get(type(callback))
    return None if names is None else {name: getattr(callback, name) for name in names}


def set_state(callback: keras.callbacks.Callback, state: Any) -> None:
    """Return a callback the state that `get_state` gave."""
    if hasattr(callback, "set_state"):
        callback.set_state(state)
        return
    for name in KERAS_STATE.get(type(callback), ()):
        setattr(callback, name, state[name])


def _value(variable: keras.Variable) -> Array:
    value = np.array(keras.ops.convert_to_numpy(variable.value))
    # A file of arrays holds no bfloat16, and float32 holds its every value.
    return value.astype(np.float32) if value.dtype.kind == "V" else value
