"""The callbacks that the config of a run names."""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import Any

import keras

from hgq2_core.config.model import Training


def callbacks_of(training: Training, directory: Path, resumed: bool) -> list[Any]:
    """Return the callbacks of a config, of which those of Keras write inside the run directory.

    Args:
        training: how to train.
        directory: the run directory.
        resumed: whether epochs were trained before, whose lines in a log are kept.
    """
    callbacks = training.make_callbacks(directory)
    for each in callbacks:
        if isinstance(each, keras.callbacks.CSVLogger):
            each.append = each.append or resumed
        if isinstance(each, keras.callbacks.BackupAndRestore):
            # The run resumes from its own checkpoint, which an older backup would undo.
            shutil.rmtree(each.backup_dir, ignore_errors=True)
    return callbacks
