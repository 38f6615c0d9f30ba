"""The logs of each epoch, written to disk during training."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import keras

from hgq2_core import layers_of
from hgq2_core.files import write_json
from hgq2_training.callbacks.throttle import Throttle


class HistoryLog(keras.callbacks.Callback):
    """Rewrite a file with the logs of all epochs so far; comes after the callbacks that add to the logs.

    If epochs are too short to write after each, the file lags behind until training ends.

    Args:
        path: the file; its folder must exist.
    """

    def __init__(self, path: Path) -> None:
        super().__init__()
        self.path = path
        self.epochs: list[dict[str, Any]] = []
        self._throttle = Throttle()

    def on_epoch_end(self, epoch: int, logs: dict[str, Any] | None = None) -> None:
        """Add the logs of this epoch."""
        values = {**_set_values(self.model), **(logs or {})}
        self.epochs.append({"epoch": epoch, **{name: float(value) for name, value in values.items()}})
        if self._throttle.ready():
            self.write()

    def on_train_end(self, logs: dict[str, Any] | None = None) -> None:
        """Write the remaining epochs."""
        self.write()

    def write(self) -> None:
        """Write all epochs so far."""
        with self._throttle.writing():
            write_json(self.path, self.epochs)

    def get_state(self) -> list[dict[str, Any]]:
        """Return all epochs so far."""
        return list(self.epochs)

    def set_state(self, state: list[dict[str, Any]]) -> None:
        """Continue after these epochs."""
        self.epochs = list(state)


def _set_values(model: keras.Model | None) -> dict[str, Any]:
    """Return the learning rate, and the price of a bit operation if all layers have the same; empty without a model."""
    if model is None:
        return {}
    found = {"learning_rate": model.optimizer.learning_rate} if getattr(model, "optimizer", None) else {}
    prices = {
        float(each)
        for layer in layers_of(model)
        if isinstance(each := getattr(layer, "ebops_beta", None), keras.Variable)
    }
    return {**found, **({"ebops_beta": prices.pop()} if len(prices) == 1 else {})}
