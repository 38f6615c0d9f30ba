"""The progress bar of a training: epochs, losses, metrics and EBOPs."""

from __future__ import annotations

from typing import Any

import keras
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

BEFORE_LOGS = 36
"""Columns of a line that the counter, the bar and the time take."""

NO_METRICS = ("loss", "ebops", "ebops_beta", "front", "learning_rate")
"""What the logs hold besides metrics."""


class TrainingProgress(Progress):
    """A bar that counts epochs, with the logs of the last one behind it."""

    def __init__(self, console: Console) -> None:
        columns = (
            TextColumn("epoch"), MofNCompleteColumn(), BarColumn(bar_width=8), TimeRemainingColumn(),
            TextColumn("{task.fields[logs]}"),
        )  # fmt: skip
        super().__init__(*columns, console=console)
        self.room = console.width - BEFORE_LOGS

    def callback(self) -> keras.callbacks.Callback:
        """Make the callback that moves the bar."""
        return _Advance(self)


class _Advance(keras.callbacks.Callback):
    def __init__(self, progress: TrainingProgress) -> None:
        super().__init__()
        self.progress = progress

    def on_train_begin(self, logs: dict[str, Any] | None = None) -> None:
        self.task = self.progress.add_task("train", total=self.params["epochs"], logs="")

    def on_epoch_end(self, epoch: int, logs: dict[str, Any] | None = None) -> None:
        self.progress.update(self.task, completed=epoch + 1, logs=phrase(logs or {}, self.progress.room))


def phrase(logs: dict[str, Any], room: int) -> str:
    """Write the logs of an epoch in one line: the metric that counts, EBOPs, the loss; as many as there is room for.

    Args:
        logs: as Keras hands them to callbacks, in order.
        room: columns.
    """
    metrics = [name for name in logs if name.removeprefix("val_") not in NO_METRICS]
    measured = [name for name in metrics if name.startswith("val_")] or metrics
    shown = ""
    for name in (*measured[:1], "ebops", "val_loss" if "val_loss" in logs else "loss"):
        if name in logs:
            part = f"{'EBOPs' if name == 'ebops' else name} {_number(logs[name])}"
            longer = f"{shown}  {part}" if shown else part
            shown = longer if len(longer) <= room else shown
    return shown


def _number(value: Any) -> str:
    value = float(value)
    return f"{value:,.0f}" if value >= 1000 else f"{value:.4g}"
