"""A sweep file with a small model, and trials that are finished without training."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import yaml

from hgq2_training.sweeps.config import Sweep, load_sweep
from hgq2_training.sweeps.trial import COMPLETE, FAILED
from hgq2_training.sweeps.trial_directory import TrialDirectory

RATE, UNITS, BETA = "training.optimizer.learning_rate", "model.layers.hidden.units", "defaults.ebops_beta"
MODEL: dict[str, Any] = {
    "seed": 3,
    "model": {
        "inputs": {"pixels": {"shape": [64]}},
        "layers": [
            {"kind": "dense", "name": "hidden", "units": 4, "activation": "relu"},
            {"kind": "dense", "name": "logits", "units": 10},
        ],
    },
    "data": {"kind": "digits", "test_fraction": 0.7},
    "training": {
        "optimizer": {"kind": "adam", "learning_rate": 0.01},
        "loss": {"kind": "sparse_categorical_crossentropy", "from_logits": True},
        "metrics": ["accuracy"],
        "epochs": 3,
        "batch_size": 128,
    },
}
SPACE = {RATE: {"low": 0.001, "high": 0.1, "log": True}, UNITS: {"choices": [4, 6, 8]}}


def sweep_document(**section: Any) -> dict[str, Any]:
    return {"sweep": {"objectives": ["val_accuracy", "ebops"], "space": SPACE, **section}, **MODEL}


def write(path: Path, document: dict[str, Any]) -> Path:
    path.write_text(yaml.safe_dump(document, sort_keys=False))
    return path


def make_sweep(folder: Path, **section: Any) -> Sweep:
    return load_sweep(write(folder / "file.yaml", sweep_document(**section)))


def complete(directory: TrialDirectory, accuracy: float, ebops: float, epochs: int = 3, stopped: str = "") -> None:
    for epoch in range(epochs):
        directory.add_epoch(epoch, {"val_accuracy": accuracy, "ebops": ebops})
    values = {"val_accuracy": accuracy, "ebops": ebops}
    values = {name: values[name] for name in directory.request["measured"]}
    outcome = {"state": COMPLETE, "values": values, "stopped": stopped, "epochs": epochs, "seconds": 0.0}
    directory.finish(outcome)


def fail(directory: TrialDirectory, error: str) -> None:
    directory.finish({"state": FAILED, "error": error})
