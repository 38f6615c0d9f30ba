"""The progress bar of a training: epochs, losses, metrics and EBOPs."""

from __future__ import annotations

from typing import Any

import keras
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

SHOWN_FIRST = ("loss", "accuracy", "val_loss", "val_accuracy", "ebops")


class TrainingProgress(Progress):
    """A bar that counts epochs, with the logs of the last one behind it."""

    def __init__(self, console: Console) -> None:
        columns = (
            TextColumn("epoch"), MofNCompleteColumn(), BarColumn(bar_width=24), TimeRemainingColumn(),
            TextColumn("{task.fields[logs]}"),
        )  # fmt: skip
        super().__init__(*columns, console=console)

    def callback(self) -> keras.callbacks.Callback:
        """Make the callback that moves the bar."""
        return _Advance(self)


class _Advance(keras.callbacks.Callback):
    def __init__(self, progress: Progress) -> None:
        super().__init__()
        self.progress = progress

    def on_train_begin(self, logs: dict[str, Any] | None = None) -> None:
        self.task = self.progress.add_task("train", total=self.params["epochs"], logs="")

    def on_epoch_end(self, epoch: int, logs: dict[str, Any] | None = None) -> None:
        self.progress.update(self.task, completed=epoch + 1, logs=phrase(logs or {}))


def phrase(logs: dict[str, Any]) -> str:
    """Write the logs of an epoch in one line.

    Args:
        logs: as Keras hands them to callbacks.
    """
    names = [name for name in SHOWN_FIRST if name in logs]
    return "  ".join(f"{name} {_number(logs[name])}" for name in names)


def _number(value: Any) -> str:
    value = float(value)
    return f"{value:,.0f}" if value >= 1000 else f"{value:.4g}"
