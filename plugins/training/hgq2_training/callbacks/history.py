"""What each epoch logged, kept on disk while training goes on."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import keras

from hgq2_core.atomic import write_json
from hgq2_core.errors import ModelFileError
from hgq2_training.callbacks.throttle import Pace


class HistoryLog(keras.callbacks.Callback):
    """Rewrite a file with the logs of every epoch so far; put it after the callbacks that add to the logs.

    Where epochs are so short that writing would hold them up, the file lags behind, until training ends.

    Args:
        path: of the file; its folder must exist.
    """

    def __init__(self, path: Path) -> None:
        super().__init__()
        self.path = path
        self.epochs: list[dict[str, Any]] = []
        self._pace = Pace()

    def on_epoch_end(self, epoch: int, logs: dict[str, Any] | None = None) -> None:
        """Add this epoch."""
        self.epochs.append({"epoch": epoch, **{name: float(value) for name, value in (logs or {}).items()}})
        if self._pace.due():
            self.write()

    def on_train_end(self, logs: dict[str, Any] | None = None) -> None:
        """Write what is not yet in the file."""
        self.write()

    def write(self) -> None:
        """Write all epochs so far."""
        with self._pace.writing():
            write_json(self.path, self.epochs)

    def get_state(self) -> list[dict[str, Any]]:
        """Give all epochs so far."""
        return list(self.epochs)

    def set_state(self, state: list[dict[str, Any]]) -> None:
        """Go on after these epochs."""
        self.epochs = list(state)


def read_json(path: Path, default: Any) -> Any:
    """Read a JSON file of a run directory.

    Args:
        path: of the file.
        default: what stands for a file that is not there; the file must hold the same type.

    Raises:
        ModelFileError: the file is damaged.
    """
    if not path.is_file():
        return default
    try:
        found = json.loads(path.read_text(encoding="utf-8"))
    except ValueError as error:
        raise ModelFileError(f"{path}: is damaged, not JSON. {error}") from error
    if not isinstance(found, type(default)):
        raise ModelFileError(f"{path}: is damaged. Received: {type(found)}. Allowed: {type(default)}.")
    return found
