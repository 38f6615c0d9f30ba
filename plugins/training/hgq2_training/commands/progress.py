"""The progress bar of a training, with epochs, loss, metric and EBOPs."""

from __future__ import annotations

from typing import Any

import keras
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

from hgq2_core.commands.printing import out
from hgq2_core.compilation.jit import is_jit
from hgq2_core.model.calibration import observed
from hgq2_core.model.number_format import format_count, format_metric

BEFORE_LOGS = 32
"""Columns that counter, bar and time take."""

NO_METRICS = ("loss", "ebops", "ebops_beta", "ebops_calibrated", "front", "learning_rate")
"""Names in the logs that are not metrics."""


class TrainingProgress(Progress):
    """A bar that counts epochs, followed by the logs of the last one; in notebooks it needs ipywidgets.

    Args:
        console: where it is shown; None for the standard output.

    Example:
        >>> with TrainingProgress() as progress:
        ...     run = train(config, "runs/first", callbacks=[progress.callback()])
    """

    def __init__(self, console: Console | None = None) -> None:
        columns = (
            TextColumn("epoch"), MofNCompleteColumn(), BarColumn(bar_width=4), TimeRemainingColumn(),
            TextColumn("{task.fields[logs]}"),
        )  # fmt: skip
        super().__init__(*columns, console=console or out)
        self.room = self.console.width - BEFORE_LOGS

    def callback(self) -> keras.callbacks.Callback:
        """Return the callback that advances the bar."""
        return _Advance(self)


class _Advance(keras.callbacks.Callback):
    def __init__(self, progress: TrainingProgress) -> None:
        super().__init__()
        self.progress = progress

    def on_train_begin(self, logs: dict[str, Any] | None = None) -> None:
        shown = "compiling the training step" if is_jit(self.model) else ""
        self.task = self.progress.add_task("train", total=self.params["epochs"], logs=shown)
        # Calibration, after training, changes the ranges that determine these.
        self.ebops = "uncalibrated EBOPs" if observed(self.model) else "EBOPs"

    def on_epoch_end(self, epoch: int, logs: dict[str, Any] | None = None) -> None:
        self.progress.update(
            self.task, completed=epoch + 1, logs=format_logs(logs or {}, self.progress.room, self.ebops)
        )


def format_logs(logs: dict[str, Any], room: int, ebops: str = "EBOPs") -> str:
    """Return the logs of an epoch on one line: the first metric, EBOPs and loss, as many as fit.

    Args:
        logs: the logs that Keras passes to callbacks, in order.
        room: number of columns.
        ebops: the word for EBOPs.
    """
    metrics = [name for name in logs if name.removeprefix("val_") not in NO_METRICS]
    measured = [name for name in metrics if name.startswith("val_")] or metrics
    shown = ""
    for name in (*measured[:1], "ebops", "val_loss" if "val_loss" in logs else "loss"):
        if name in logs:
            part = f"{ebops} {format_count(logs[name])}" if name == "ebops" else f"{name} {format_metric(logs[name])}"
            longer = f"{shown}  {part}" if shown else part
            shown = longer if len(longer) <= room else shown
    return shown
