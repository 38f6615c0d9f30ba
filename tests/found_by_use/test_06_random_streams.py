"""What is done with configs and models here leaves the caller's random streams where they are."""

from __future__ import annotations

import random

import keras
import numpy as np
import pytest

import hgq2_core
from hgq2_core.config.resolved import resolved
from hgq2_core.keras_graph.random_state import preserve_rng, seeded
from hgq2_core.testing import check_layer
from hgq2_training.runs.train import train

DOCUMENT = {
    "seed": 3,
    "model": {
        "inputs": {"x": {"shape": [64]}},
        "layers": [
            {"kind": "dense", "units": 3, "kernel_initializer": {"kind": "he_normal"}},
            {"kind": "keras.Dropout", "rate": 0.1},
            {"kind": "dense", "units": 10, "input_quantizer": {"kind": "kif", "round_mode": "S_RND"}},
        ],
    },
    "data": {"kind": "digits"},
    "training": {
        "loss": {"kind": "sparse_categorical_crossentropy", "from_logits": True},
        "epochs": 1,
        "batch_size": 512,
    },
}


def drawn() -> list[float]:
    """One number of each stream; those of tensorflow and torch where they are the backend."""
    backend = keras.backend.backend()
    numbers = [random.random(), np.random.rand(), float(keras.random.uniform(()))]
    if backend == "torch":
        import torch

        numbers.append(float(torch.rand(())))
    if backend == "tensorflow":
        import tensorflow as tf

        numbers.append(float(tf.random.uniform(())))
    return numbers


@pytest.fixture
def unmoved():
    """After the test each stream gives the number that it would have given before; none is at its start."""
    keras.utils.set_random_seed(11)
    drawn()
    wanted = drawn()
    keras.utils.set_random_seed(11)
    drawn()
    yield
    assert drawn() == wanted


@pytest.fixture(scope="module")
def config():
    return hgq2_core.ModelConfig.parse(DOCUMENT)


@pytest.fixture(scope="module")
def x():
    return np.random.default_rng(0).normal(size=(64, 64)).astype(np.float32)


@pytest.fixture(scope="module")
def model(config, x):
    model = config.build()
    hgq2_core.calibrate(model, x)
    return model


@pytest.fixture(scope="module")
def saved(model, tmp_path_factory):
    path = tmp_path_factory.mktemp("saved") / "model.keras"
    model.save(path)
    return path


def plain():
    return keras.Sequential([keras.Input((64,)), keras.layers.Dense(3, "relu"), keras.layers.Dropout(0.1)])


def test_the_test_sees_a_stream_that_moves():
    keras.utils.set_random_seed(11)
    first = drawn()
    assert all(a != b for a, b in zip(first, drawn(), strict=True))


def test_checking_a_config_moves_none(unmoved):
    hgq2_core.ModelConfig.parse(DOCUMENT)


def test_building_a_model_moves_none(config, unmoved):
    config.build()


def test_a_model_that_cannot_be_built_moves_none(unmoved):
    layers = [{"kind": "dense", "units": 3}, {"kind": "keras.Conv2D", "filters": 1, "kernel_size": 3}]
    config = hgq2_core.ModelConfig.parse({**DOCUMENT, "model": {**DOCUMENT["model"], "layers": layers}})
    with pytest.raises(hgq2_core.ConfigError):
        config.build()


def test_what_is_drawn_in_building_follows_from_the_seed_alone(config):
    def weights() -> list[np.ndarray]:
        return [keras.ops.convert_to_numpy(variable.value) for variable in config.build().variables]

    keras.utils.set_random_seed(1)
    first = weights()
    keras.utils.set_random_seed(2)
    assert all(np.array_equal(a, b) for a, b in zip(first, weights(), strict=True))


def test_resolving_moves_none(config, model, unmoved):
    resolved(config, model)


@pytest.mark.once
def test_the_json_schema_moves_none(unmoved):
    hgq2_core.json_schema()


def test_loading_data_moves_none(config, unmoved):
    config.load_data()


def test_fitting_ranges_moves_none(config, x, unmoved):
    hgq2_core.fit_ranges(config.build(), x)


@pytest.mark.parametrize("check", ["calibrate", "verify", "doctor"])
def test_checking_a_model_moves_none(check, model, x, unmoved):
    getattr(hgq2_core, check)(model, x)


@pytest.mark.parametrize("step", ["freeze", "summary", "ebops"])
def test_looking_at_a_model_moves_none(step, model, unmoved):
    getattr(hgq2_core, step)(model)


def test_loading_a_model_moves_none(saved, unmoved):
    hgq2_core.load_model(saved)


def test_converting_a_model_moves_none(request):
    model = plain()
    request.getfixturevalue("unmoved")
    hgq2_core.quantize_model(model)


def test_exporting_moves_none(model, x, tmp_path, unmoved):
    hgq2_core.estimate(model, "alkaid")
    hgq2_core.export(model, "alkaid", tmp_path / "rtl", x)


def test_the_conformance_kit_moves_none(unmoved):
    check_layer({"kind": "dense", "units": 2}, (3,))


def test_a_whole_training_moves_none(config, tmp_path, unmoved):
    train(config, tmp_path / "run")


def test_streams_are_put_back_after_an_error(unmoved):
    with pytest.raises(ZeroDivisionError), preserve_rng():
        keras.utils.set_random_seed(5)
        drawn()
        raise ZeroDivisionError


def test_one_seed_gives_the_same_numbers_each_time(unmoved):
    def first() -> tuple[float, ...]:
        with seeded(7):
            return random.random(), np.random.rand(), float(keras.random.uniform(()))

    assert first() == first()
