"""Keras' legacy HDF5 files hold every model, and files of before the quantizers' new names still load."""

from __future__ import annotations

import json
import logging
import tarfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import keras
import numpy as np
import pytest

from hgq2_attention import QMultiHeadAttention, QSoftmax
from hgq2_core import ConfigError, QLayer, calibrate, defaults, freeze
from hgq2_core.config.model import ModelConfig
from hgq2_core.discovery.registry import registry
from hgq2_core.keras_graph.traversal import layers_of
from hgq2_core.optimizer import BitOptimizer
from hgq2_layers import (
    QLSTM,
    QAdd,
    QAveragePooling1D,
    QConv1D,
    QConv2D,
    QDense,
    QDenseBatchNorm,
    QIntegrateAndFire,
)
from hgq2_training.runs.train import resume

LAYERS = keras.layers
BEFORE = Path(__file__).with_name("saved_before_renaming.tar.xz")


@pytest.fixture(autouse=True)
def no_advice(monkeypatch: pytest.MonkeyPatch) -> None:
    """Keras advises against HDF5 files each time one is written."""
    monkeypatch.setattr(logging.getLogger("absl"), "disabled", True)


def random(*shape: int) -> Any:
    return np.random.default_rng(3).normal(size=shape).astype(np.float32)


def moved(model: keras.Model) -> keras.Model:
    """Return every variable that is no seed and no record a value that no initializer gives."""
    rng = np.random.default_rng(4)
    for variable in model.weights:
        if "float" in variable.dtype:
            variable.assign(keras.ops.convert_to_numpy(variable) + rng.uniform(0, 0.7, variable.shape))
    return model


def after_a_round_trip(model: keras.Model, path: Path) -> keras.Model:
    before = [keras.ops.convert_to_numpy(weight) for weight in model.weights]
    model.save(path)
    again = keras.saving.load_model(path)
    for wanted, weight in zip(before, again.weights, strict=True):
        np.testing.assert_array_equal(keras.ops.convert_to_numpy(weight), wanted)
    x = random(5, *model.input_shape[1:])
    np.testing.assert_array_equal(again.predict(x, verbose=0), model.predict(x, verbose=0))
    return again


def configs(model: keras.Model) -> list[Any]:
    """Return the configs of the quantized layers, without the difference between lists and tuples."""
    return [json.loads(json.dumps(layer.get_config())) for layer in layers_of(model) if isinstance(layer, QLayer)]


def of(shape: tuple[int, ...], *layers: keras.layers.Layer) -> keras.Model:
    return moved(keras.Sequential([keras.Input(shape), *layers]))


def nested() -> keras.Model:
    inner = keras.Sequential([keras.Input((4,)), QDense(3, name="inner")], name="encoder")
    inputs = keras.Input((4,))
    return moved(keras.Model(inputs, QAdd()([inner(inputs), QDense(3, name="beside")(inputs)])))


def attending() -> keras.Model:
    inputs = keras.Input((3, 4))
    return moved(keras.Model(inputs, QMultiHeadAttention(2, 2, output_shape=[2, 2])(inputs, inputs)))


MODELS: dict[str, Callable[[], keras.Model]] = {
    "dense": lambda: of((4,), QDense(3, activation="relu", kernel_regularizer="l2", kernel_constraint="non_neg")),
    "convolution": lambda: of((4, 4, 1), QConv2D(2, (3, 2), padding="same")),
    "fused normalization": lambda: of((4,), QDenseBatchNorm(3, name="fused")),
    "several axes": lambda: of((2, 3), QSoftmax(axis=(-2, -1))),
    "one axis in a list": lambda: of((2, 3), QSoftmax(axis=[1])),
    "text that names a Keras function": lambda: of((3, 2), QIntegrateAndFire(reset_mechanism="subtract")),
    "recurrent in a wrapper": lambda: of((3, 2), LAYERS.Bidirectional(QLSTM(2))),
    "dense in a wrapper": lambda: of((3, 2), LAYERS.TimeDistributed(QDense(2))),
    "attention": attending,
    "nested": nested,
}


@pytest.mark.parametrize("name", MODELS)
def test_a_model_comes_back_from_hdf5(name: str, tmp_path: Path) -> None:
    model = MODELS[name]()
    again = after_a_round_trip(model, tmp_path / "model.h5")
    assert configs(again) == configs(model)


@pytest.mark.parametrize("kind", registry().names("quantizers"))
def test_a_quantizer_of_every_kind_comes_back_from_hdf5(kind: str, tmp_path: Path) -> None:
    model = of((4,), QDense(3, kernel_quantizer=kind, bias_quantizer=kind))
    assert configs(after_a_round_trip(model, tmp_path / "model.h5")) == configs(model)


def test_a_frozen_model_comes_back_from_hdf5(tmp_path: Path) -> None:
    model = of((4,), QDenseBatchNorm(3, activation="relu"), QDense(2))
    calibrate(model, random(32, 4))
    after_a_round_trip(freeze(model), tmp_path / "frozen.h5")


def test_an_argument_named_as_a_custom_function_stays_a_text(tmp_path: Path) -> None:
    model = of((4, 1), QConv1D(2, 2, padding="same"))
    model.save(tmp_path / "model.h5")
    again = keras.saving.load_model(tmp_path / "model.h5", custom_objects={"same": lambda x: x, "linear": lambda x: x})
    assert again.layers[0].padding == "same"


def test_keras_own_checkpoints_may_be_hdf5_files(tmp_path: Path) -> None:
    model = of((4,), QDense(3, activation="relu", name="hidden"), QDense(1, name="output"))
    model.compile(BitOptimizer(keras.optimizers.Adam(0.01), bit_learning_rate_scale=4), keras.losses.MeanSquaredError())
    path = tmp_path / "best.h5"
    x, y = random(32, 4), random(32, 1)
    model.fit(x, y, epochs=2, verbose=0, callbacks=[keras.callbacks.ModelCheckpoint(path, monitor="loss")])
    again = keras.saving.load_model(path)
    np.testing.assert_array_equal(again.predict(x, verbose=0), model.predict(x, verbose=0))
    # Keras restores the state of no optimizer from HDF5; compiled anew, the model trains on.
    again.compile(BitOptimizer(keras.optimizers.Adam(0.01), bit_learning_rate_scale=4), "mse")
    again.fit(x, y, verbose=0)
    weights = tmp_path / "best.weights.h5"
    model.save_weights(weights)
    again.load_weights(weights)
    np.testing.assert_array_equal(again.predict(x, verbose=0), model.predict(x, verbose=0))


def test_weights_have_paths_of_their_own() -> None:
    model = MODELS["fused normalization"]()
    paths = [weight.path.split("/") for weight in model.weights]
    assert ["fused", "kernel"] in [path[-2:] for path in paths]
    assert ["kernel_quantizer", "b"] in [path[-2:] for path in paths]
    taken = {tuple(path) for path in paths}
    assert len(taken) == len(paths)
    assert not any(tuple(path[:depth]) in taken for path in paths for depth in range(1, len(path)))


@pytest.fixture(scope="module")
def before(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """What the code of before wrote: a model, its weights, its frozen form, one step of training, and a killed run."""
    folder = tmp_path_factory.mktemp("before")
    with tarfile.open(BEFORE) as archive:
        archive.extractall(folder, filter="data")
    return folder


def model_of_before() -> keras.Model:
    with defaults(
        weight={"kind": "kbi", "granularity": "channel"}, activation={"kind": "kif", "granularity": "tensor"}
    ):
        inputs = keras.Input((4, 3), name="x")
        x = QConv1D(3, 2, padding="same", activation="relu", name="conv")(inputs)
        x = registry().load("layers", "layers.einsum_dense_batch_norm")(
            "abc,cd->abd", (4, 3), bias_axes="d", name="fused"
        )(x)
        x = LAYERS.Bidirectional(QLSTM(2, return_sequences=True), name="both")(x)
        x = LAYERS.TimeDistributed(QDense(4, name="inner"), name="each")(x)
        x = QAdd(name="sum")([x, QMultiHeadAttention(1, 2, name="attention")(x, x)])
        x = QSoftmax(axis=(-2, -1), name="soft")(QAveragePooling1D(2, name="pool")(x))
        return keras.Model(inputs, QDense(2, name="last")(LAYERS.Flatten()(x)), name="before")


@pytest.mark.once  # its step takes minutes to compile on jax
def test_a_model_file_of_before_loads_with_its_optimizer(before: Path) -> None:
    model, values = keras.saving.load_model(before / "model.keras"), np.load(before / "values.npz")
    tolerance = {"rtol": 0, "atol": 0} if keras.backend.backend() == "torch" else {"rtol": 1e-5, "atol": 1e-6}
    np.testing.assert_allclose(model.predict(values["x"], verbose=0), values["prediction"], **tolerance)
    model.fit(values["x"], values["y"], batch_size=32, verbose=0)
    step = np.load(before / "step.npz")
    for weight, name in zip(model.weights, step.files, strict=True):  # without the optimizer's state they move by 0.01
        np.testing.assert_allclose(keras.ops.convert_to_numpy(weight), step[name], rtol=1e-4, atol=1e-4)


def test_weights_of_before_load(before: Path) -> None:
    model, saved = model_of_before(), keras.saving.load_model(before / "model.keras")
    model.load_weights(before / "model.weights.h5")
    for weight, wanted in zip(model.weights, saved.weights, strict=True):
        np.testing.assert_array_equal(keras.ops.convert_to_numpy(weight), keras.ops.convert_to_numpy(wanted))


def test_a_frozen_model_of_before_loads(before: Path) -> None:
    model, values = keras.saving.load_model(before / "frozen.keras"), np.load(before / "values.npz")
    np.testing.assert_array_equal(model.predict(values["x"], verbose=0), values["frozen"])


def test_a_run_of_before_is_resumed(before: Path) -> None:
    resume(before / "run")
    assert (before / "run" / "metrics.json").exists()


@pytest.mark.once
def test_a_config_names_no_checkpoint_outside_its_run() -> None:
    document = {
        "model": {"inputs": {"x": {"shape": [4]}}, "layers": [{"kind": "dense", "units": 2}]},
        "data": {"kind": "digits"},
        "training": {
            "loss": {"kind": "mean_squared_error"},
            "epochs": 1,
            "callbacks": [{"kind": "keras.ModelCheckpoint", "filepath": "../best.h5"}],
        },
    }
    with pytest.raises(ConfigError) as error:
        ModelConfig.parse(document)
    assert str(error.value) == (
        "training.callbacks.0.filepath: leads out of the run directory. Received: '../best.h5' (str). Allowed: a "
        "relative path without `..`, which lies inside the run directory."
    )
