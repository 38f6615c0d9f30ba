"""The model that a run ends with is trimmed; the state from which training goes on is not."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import keras
import numpy as np
import pytest
import yaml
from tiny_run import CONFIG, hgq2

from hgq2_core import ModelConfig, calibrate, ebops, trim_bits
from hgq2_core.quantizers.bit_variables import is_bit_variable
from hgq2_training import train
from hgq2_training.runs.directory import load, load_checkpoint, save
from hgq2_training.runs.results import Run

DOCUMENT = yaml.safe_load(CONFIG)


def config(**more: Any) -> ModelConfig:
    return ModelConfig.parse({**DOCUMENT, **more})


def weight_bits(model: keras.Model) -> float:
    bits = [each for each in model.trainable_variables if is_bit_variable(each) and "input" not in each.path]
    return float(sum(np.maximum(np.rint(keras.ops.convert_to_numpy(each)), 0).sum() for each in bits))


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> Run:
    return train(config(), tmp_path_factory.mktemp("trimmed") / "run")


def as_trained(run: Run) -> keras.Model:
    """Return the model of the checkpoint, with the bits that training left."""
    model, checkpoint = load(run.directory), load_checkpoint(run.directory)
    assert checkpoint is not None
    checkpoint.restore(model)
    return model


def test_the_saved_model_costs_less_than_the_trained_one_and_predicts_the_same(run: Run) -> None:
    data, saved, trained = config().load_data(), load(run.directory), as_trained(run)
    calibrate(trained, data.train.x)
    assert run.metrics["ebops"] == ebops(saved) < 0.9 * ebops(trained)
    assert (saved.predict(data.test.x, verbose=0) == trained.predict(data.test.x, verbose=0)).all()
    trim_bits(trained)
    calibrate(trained, data.train.x)
    assert ebops(trained) == ebops(saved)


def test_a_run_of_before_is_trimmed_when_it_is_calibrated(run: Run) -> None:
    save(as_trained(run), run.directory / "model.keras")
    hgq2("calibrate", run.directory)
    assert ebops(load(run.directory)) == run.metrics["ebops"]


def test_bits_grow_again_in_a_training_from_a_trimmed_model(run: Run, tmp_path: Path) -> None:
    free = {"init_from": str(run.directory), "defaults": {"ebops_beta": 0.0}}
    following = train(config(**free, training={**DOCUMENT["training"], "epochs": 4}), tmp_path / "run")
    assert following.metrics["init_from"]["left"] == {}
    assert weight_bits(as_trained(following)) > 1.02 * weight_bits(load(run.directory))
    assert following.metrics["test"]["loss"] < run.metrics["test"]["loss"]
