"""Models of recurrent and attention layers and of wrappers are converted, saved and loaded like any other."""

from __future__ import annotations

import keras
import numpy as np
import pytest
from selection import few
from typer.testing import CliRunner

from hgq2_core import ModelFileError, calibrate, fit_ranges, freeze, load_model, quantize_model, verify
from hgq2_core.cli.main import app
from hgq2_core.discovery.registry import registry
from hgq2_core.schema.keras_layers import KERAS_LAYERS

layers = keras.layers
SAMPLES = np.random.default_rng(8).normal(size=(64, 3, 4)).astype(np.float32)

pytestmark = pytest.mark.once


def sequential() -> keras.Sequential:
    return keras.Sequential(
        [keras.Input((4,)), layers.Dense(3, "tanh", name="a"), layers.Dense(2, name="b")], name="inside"
    )


def functional() -> keras.Model:
    inputs = keras.Input((4,))
    normal = layers.BatchNormalization(name="b")(layers.Dense(3, name="a")(inputs))
    return keras.Model(inputs, layers.Add()([normal, normal]), name="inside")


MODELS = {
    "lstm": lambda x: layers.LSTM(2)(x),
    "gru": lambda x: layers.GRU(2)(x),
    "simple_rnn": lambda x: layers.SimpleRNN(2)(x),
    "multi_head_attention": lambda x: layers.MultiHeadAttention(2, 3)(x, x),
    "group_query_attention": lambda x: layers.GroupQueryAttention(2, 2, 1)(x, x),
    "bidirectional": lambda x: layers.Bidirectional(layers.LSTM(2), merge_mode="sum")(x),
    "time_distributed": lambda x: layers.TimeDistributed(layers.Dense(2, "tanh"))(x),
    "twice": lambda x: layers.TimeDistributed(layers.TimeDistributed(layers.Dense(2)))(layers.Reshape((3, 2, 2))(x)),
    "sequential_inside": lambda x: layers.TimeDistributed(sequential())(x),
    "functional_inside": lambda x: layers.TimeDistributed(functional())(x),
}


def model_of(name: str) -> keras.Model:
    keras.utils.set_random_seed(8)
    inputs = keras.Input((3, 4))
    return keras.Model(inputs, MODELS[name](inputs))


def outputs(model: keras.Model) -> np.ndarray:
    return model.predict(SAMPLES, verbose=0)


@pytest.mark.parametrize("name", few(MODELS, "gru", "multi_head_attention", "functional_inside"))
def test_each_stage_of_a_model_comes_back_from_its_file(name, tmp_path):
    def reloaded(model: keras.Model) -> keras.Model:
        model.save(tmp_path / "model.keras")
        back = load_model(tmp_path / "model.keras")
        assert np.array_equal(outputs(back), outputs(model))
        return back

    converted = quantize_model(reloaded(model_of(name)))
    fit_ranges(converted, SAMPLES)
    calibrate(converted, SAMPLES)
    report = verify(converted, SAMPLES)
    assert report.ok and report.layers
    assert verify(reloaded(freeze(reloaded(converted))), SAMPLES).ok


@pytest.mark.parametrize("name", few(["lstm", "multi_head_attention", "sequential_inside"], "sequential_inside"))
def test_the_command_takes_them(name, tmp_path):
    model_of(name).save(tmp_path / "floats.keras")
    targets = outputs(model_of(name))
    np.savez(tmp_path / "data.npz", x=SAMPLES, y=targets)
    arguments = ["quantize", tmp_path / "floats.keras", "--data", tmp_path / "data.npz", "-o", tmp_path / "out.keras"]
    done = CliRunner().invoke(app, list(map(str, arguments)), catch_exceptions=False)
    assert done.exit_code == 0, done.output
    assert verify(load_model(tmp_path / "out.keras"), SAMPLES).ok


def test_the_cost_of_a_model_inside_counts_each_step():
    from hgq2_core import ebops

    def cost(model: keras.Model) -> float:
        return ebops(quantize_model(model))

    inputs = keras.Input((3, 4))
    assert cost(keras.Model(inputs, layers.TimeDistributed(functional())(inputs))) == 3 * cost(functional())


def test_a_rule_finds_a_layer_of_a_model_inside_a_wrapper():
    kernel = {"kind": "kbi", "b": 4}
    converted = quantize_model(model_of("sequential_inside"), {"*/inside/b": {"kernel_quantizer": kernel}})
    a, b = (converted.layers[1].layer.get_layer(name) for name in "ab")
    assert (a.kernel_quantizer.config.b, b.kernel_quantizer.config.b) == (7, 4)


def test_a_wrapper_hides_no_layer_that_no_file_may_name(tmp_path):
    inputs = keras.Input((3, 4))
    hidden = keras.Sequential([keras.Input((4,)), layers.Lambda(lambda x: x)])
    keras.Model(inputs, layers.TimeDistributed(hidden)(inputs)).save(tmp_path / "model.keras")
    with pytest.raises(ModelFileError) as caught:
        load_model(tmp_path / "model.keras")
    start = f"{tmp_path}/model.keras: config.json: config.layers.1.config.layer.config.layers.1: "
    assert str(caught.value).startswith(f"{start}a class that is not allowed here. Received: module 'keras.layers', ")


def test_every_adapter_is_of_a_layer_that_files_may_name():
    adapted = {kind.removeprefix("keras.") for kind in registry().names("layers") if kind.startswith("keras.")}
    assert {name for name in adapted if not name.startswith("ops.")} <= set(KERAS_LAYERS)


@pytest.mark.parametrize("name", KERAS_LAYERS)
def test_every_name_is_a_layer_under_its_own_class_name(name):
    assert getattr(layers, name).__name__ == KERAS_LAYERS[name].class_name or name
