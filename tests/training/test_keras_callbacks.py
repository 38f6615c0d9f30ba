"""Keras' own callbacks in a config: by name, and with files inside the run directory alone."""

from __future__ import annotations

import csv
import json
from pathlib import Path
from typing import Any

import pytest

from hgq2_core import ModelConfig
from hgq2_core.errors import ConfigError
from hgq2_training import resume, train


def config(*callbacks: Any, optimizer: Any = "adam", **training: Any) -> ModelConfig:
    return ModelConfig.parse(
        {
            "model": {"inputs": {"x": {"shape": [64]}}, "layers": [{"kind": "dense", "name": "logits", "units": 10}]},
            "data": {"kind": "digits"},
            "training": {
                "optimizer": optimizer,
                "loss": {"kind": "sparse_categorical_crossentropy", "from_logits": True},
                **{"metrics": ["accuracy"], "epochs": 2, "batch_size": 512, "callbacks": list(callbacks), **training},
            },
        }
    )


@pytest.mark.slow
def test_what_keras_writes_lies_inside_the_run_directory(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    schedule = {"kind": "piecewise_constant_decay", "boundaries": [0], "values": [0.01, 0.001]}
    made = config(
        {"kind": "keras.CSVLogger", "filename": "logs/log.csv"},
        {"kind": "keras.ModelCheckpoint", "filepath": "best.keras", "monitor": "val_loss", "save_best_only": True},
        {"kind": "keras.BackupAndRestore", "backup_dir": "backup", "delete_checkpoint": False},
        {"kind": "keras.LearningRateScheduler", "schedule": schedule},
        "keras.SwapEMAWeights",
        optimizer={"kind": "adam", "learning_rate": 0.5, "use_ema": True},
    )
    train(made, "run")
    assert [path.name for path in tmp_path.iterdir()] == ["run"]
    folder = tmp_path / "run" / "keras"
    written = {str(path.relative_to(folder)) for path in folder.rglob("*") if path.is_file()}
    assert written == {"logs/log.csv", "best.keras", "backup/latest.weights.h5", "backup/training_metadata.json"}
    history = json.loads((tmp_path / "run" / "history.json").read_text())
    assert [round(each["learning_rate"], 6) for each in history] == [0.01, 0.001]
    resume("run", epochs=3)
    with (folder / "logs" / "log.csv").open(newline="") as file:
        assert [line["epoch"] for line in csv.DictReader(file)] == ["0", "1", "2"]


@pytest.mark.parametrize(
    "path", ["/tmp/log.csv", "../log.csv", "a/../../log.csv", "C:\\log.csv", "", "gs://x/log.csv", "."]
)
def test_a_path_out_of_the_run_directory_is_refused(path: str) -> None:
    with pytest.raises(ConfigError, match=r"training.callbacks.0.filename: leads out of the run directory"):
        config({"kind": "keras.CSVLogger", "filename": path})


def test_names_that_are_not_logged_are_found_before_training(tmp_path: Path) -> None:
    made = config(
        {"kind": "keras.ModelCheckpoint", "filepath": "a.keras", "monitor": "val_los", "save_best_only": True}
    )
    with pytest.raises(ConfigError, match=r"callbacks.0.monitor: no such name in the logs. Received: 'val_los'"):
        train(made, tmp_path / "run")
    assert not (tmp_path / "run").exists()


@pytest.mark.parametrize("training", [{"schedule": "cosine"}, {"optimizer": "scheduled"}])
def test_the_learning_rate_is_set_by_one_thing(tmp_path: Path, training: dict[str, Any]) -> None:
    decay = {"kind": "cosine_decay", "initial_learning_rate": 0.01, "decay_steps": 10}
    if "optimizer" in training:
        training = {"optimizer": {"kind": "adam", "learning_rate": decay}}
    made = config({"kind": "keras.LearningRateScheduler", "schedule": decay}, **training)
    with pytest.raises(ConfigError, match=r"keras.LearningRateScheduler sets the learning rate, which a schedule sets"):
        train(made, tmp_path / "run")


def test_averages_need_an_optimizer_that_keeps_them(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=r"Add `use_ema: true` to it."):
        train(config("keras.SwapEMAWeights"), tmp_path / "run")
    with pytest.raises(ConfigError, match=r"swap_on_epoch: is not allowed"):
        config({"kind": "keras.SwapEMAWeights", "swap_on_epoch": True})


def test_a_schedule_of_a_callback_is_checked_with_its_place() -> None:
    with pytest.raises(ConfigError, match=r"training.callbacks.0.schedule: unknown schedule kind. Received: 'cosin'"):
        config({"kind": "keras.LearningRateScheduler", "schedule": {"kind": "cosin"}})


@pytest.mark.slow
def test_a_resumed_run_logs_each_epoch_once(tmp_path: Path) -> None:
    made = config({"kind": "keras.CSVLogger", "filename": "log.csv", "append": True})
    train(made, tmp_path / "run")
    log = tmp_path / "run" / "keras" / "log.csv"
    before = log.read_text()
    # As if it had been killed later: epochs that no checkpoint has, the last of them written in part.
    log.write_text(before + before.splitlines(keepends=True)[-1].replace("1,", "2,", 1) + "3,0.")
    resume(tmp_path / "run", epochs=3)
    assert log.read_text().startswith(before)
    with log.open(newline="") as file:
        assert [line["epoch"] for line in csv.DictReader(file)] == ["0", "1", "2"]


@pytest.mark.parametrize("section", [{"budget": {"ebops": 100}}, {"front": {}, "epochs": 20}])
def test_averages_of_weights_and_models_of_single_epochs_contradict_each_other(section: dict[str, Any]) -> None:
    with pytest.raises(ConfigError, match=r"training.optimizer.use_ema: a \w+ saves the weights of an epoch"):
        config(optimizer={"kind": "adam", "use_ema": True}, **section)


def test_nothing_ends_the_training_of_a_front_early(tmp_path: Path) -> None:
    made = config({"kind": "keras.EarlyStopping", "monitor": "val_accuracy"}, front={}, epochs=20)
    with pytest.raises(ConfigError, match=r"training.callbacks.0: a front needs all epochs"):
        train(made, tmp_path / "run")
