"""A run directory in which nothing was trained yet is free for a corrected config."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import keras
import pytest

from hgq2_core import ConfigError
from hgq2_core.config.model import ModelConfig, load_config
from hgq2_training.runs.directory import is_unbegun, locked
from hgq2_training.runs.train import resume, train

DOCUMENT: dict[str, Any] = {
    "model": {"inputs": {"x": {"shape": [64]}}, "layers": [{"kind": "dense", "units": 10}]},
    "data": {"kind": "digits"},
    "training": {
        "loss": {"kind": "sparse_categorical_crossentropy", "from_logits": True},
        "epochs": 1,
        "batch_size": 512,
        "callbacks": ["pareto_front"],
        "metrics": ["accuracy"],
    },
}


class Stop(keras.callbacks.Callback):
    """Stops everything, after a batch of the first epoch or at the end of the second."""

    def __init__(self, epoch: int) -> None:
        super().__init__()
        self.at = epoch

    def on_train_batch_end(self, batch: int, logs: Any = None) -> None:
        if not self.at:
            raise KeyboardInterrupt

    def on_epoch_end(self, epoch: int, logs: Any = None) -> None:
        if epoch + 1 == self.at:
            raise KeyboardInterrupt


def config(units: int = 10) -> ModelConfig:
    layers = [{"kind": "dense", "units": units}, {"kind": "dense", "units": 10}]
    return ModelConfig.parse({**DOCUMENT, "model": {**DOCUMENT["model"], "layers": layers}})


@pytest.fixture
def unbegun(tmp_path: Path) -> Path:
    with pytest.raises(KeyboardInterrupt):
        train(config(3), tmp_path / "run", callbacks=[Stop(0)])
    assert is_unbegun(tmp_path / "run")
    return tmp_path / "run"


@pytest.mark.parametrize("begin", [train, lambda config, directory: resume(directory, config)])
def test_a_corrected_config_takes_the_place_of_the_first(begin: Any, unbegun: Path) -> None:
    begin(config(4), unbegun)
    assert load_config(unbegun / "config.yaml").model.layers[0].to_dict()["units"] == 4
    assert not is_unbegun(unbegun)


def test_without_a_config_it_goes_on_with_the_first(unbegun: Path) -> None:
    resume(unbegun)
    assert load_config(unbegun / "config.yaml").model.layers[0].to_dict()["units"] == 3


def test_a_recorded_config_that_cannot_be_used_is_no_matter(unbegun: Path) -> None:
    (unbegun / "config.yaml").write_text("model: {}")
    resume(unbegun, config(4))


def test_a_run_with_one_epoch_is_another_matter(tmp_path: Path) -> None:
    with pytest.raises(KeyboardInterrupt):
        train(config(3), tmp_path, epochs=2, callbacks=[Stop(1)])
    assert not is_unbegun(tmp_path)
    with pytest.raises(ConfigError, match="exists and is not empty"):
        train(config(3), tmp_path)
    with pytest.raises(ConfigError, match="was started with another config"):
        resume(tmp_path, config(4))


@pytest.mark.parametrize("name", ["notes.txt", "front/epoch_0000.keras", "model.keras"])
def test_whatever_else_is_there_is_left_alone(name: str, unbegun: Path) -> None:
    (unbegun / name).write_text("precious")
    with pytest.raises(ConfigError, match="exists and is not empty; a run needs a new directory"):
        train(config(4), unbegun)
    assert (unbegun / name).read_text() == "precious"


def test_a_config_without_the_lock_of_a_run_is_left_alone(unbegun: Path) -> None:
    (unbegun / ".lock").unlink()
    with pytest.raises(ConfigError, match="exists and is not empty"):
        train(config(4), unbegun)


def test_a_process_that_trains_there_is_not_disturbed(unbegun: Path) -> None:
    before = (unbegun / "config.yaml").read_bytes()
    with locked(unbegun), pytest.raises(ConfigError, match="another process trains here"):
        train(config(4), unbegun)
    assert (unbegun / "config.yaml").read_bytes() == before
