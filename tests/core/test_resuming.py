"""A run that is killed and resumed ends like an uninterrupted one, on every backend; more cases run on torch."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import keras
import pytest
from training_runs import config, everything

from hgq2_training.callbacks import throttle
from hgq2_training.runs import train as training_run
from hgq2_training.runs.directory import load_checkpoint
from hgq2_training.runs.train import resume, train

pytestmark = pytest.mark.backends


class Kill(keras.callbacks.Callback):
    """Stops everything after the first batch of an epoch."""

    def __init__(self, epoch: int) -> None:
        super().__init__()
        self.at = epoch

    def on_epoch_begin(self, epoch: int, logs: Any = None) -> None:
        self.epoch = epoch

    def on_train_batch_end(self, batch: int, logs: Any = None) -> None:
        if self.epoch == self.at:
            raise KeyboardInterrupt


@pytest.mark.slow
def test_a_killed_run_ends_as_an_undisturbed_one(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    train(config(epochs=4), tmp_path / "undisturbed")
    with monkeypatch.context() as patch:
        patch.setattr(throttle, "SHARE", 1.0)  # every epoch is written
        patch.setattr(training_run, "_save_last_epoch", lambda *arguments: None)  # as if killed
        with pytest.raises(KeyboardInterrupt):
            train(config(epochs=4), tmp_path / "run", callbacks=[Kill(2)])
    assert load_checkpoint(tmp_path / "run").epoch == 2
    assert not (tmp_path / "run" / "metrics.json").exists()
    resume(tmp_path / "run")
    assert everything(tmp_path / "run") == everything(tmp_path / "undisturbed")
