"""Keras objects by name."""

from typing import Any

import keras
import pytest

from hgq2_core import ConfigError, KindError
from hgq2_core.schema.base import as_config_error
from hgq2_core.schema.keras_objects import (
    CALLBACKS,
    LAYERS,
    class_by_name,
    classes_by_name,
    is_keras_kind,
    keras_class,
    keras_kinds,
    keras_parameters,
    make,
    singular,
    validate_by_construction,
)

REFUSED = (
    *("Lambda", "TFSMLayer", "TorchModuleWrapper", "JaxLayer", "FlaxLayer", "Layer", "InputLayer", "Wrapper"),
    *("TimeDistributed", "Bidirectional", "RNN", "StackedRNNCells", "Pipeline", "RandAugment", "Hashing"),
    *("StringLookup", "IntegerLookup", "TextVectorization", "Normalization", "Discretization", "MelSpectrogram"),
)

MINIMAL = {
    "AveragePooling": {"pool_size": 2},
    "Conv": {"filters": 2, "kernel_size": 3},
    "SeparableConv": {"filters": 2, "kernel_size": 3},
    "DepthwiseConv": {"kernel_size": 3},
    "SpatialDropout": {"rate": 0.5},
    "Activation": {"activation": "relu"},
    "AlphaDropout": {"rate": 0.5},
    "Dense": {"units": 3},
    "Dot": {"axes": -1},
    "Dropout": {"rate": 0.5},
    "EinsumDense": {"equation": "ab,bc->ac", "output_shape": 3},
    "Embedding": {"input_dim": 4, "output_dim": 3},
    "GRU": {"units": 3},
    "GaussianDropout": {"rate": 0.5},
    "GaussianNoise": {"stddev": 0.5},
    "LSTM": {"units": 3},
    "Permute": {"dims": [2, 1]},
    "RandomBrightness": {"factor": 0.5},
    "RandomColorDegeneration": {"factor": 0.5},
    "RandomContrast": {"factor": 0.5},
    "RandomHue": {"factor": 0.5},
    "RandomPosterization": {"factor": 4},
    "RandomRotation": {"factor": 0.5},
    "RandomSaturation": {"factor": 0.5},
    "RandomSharpness": {"factor": 0.5},
    "RandomTranslation": {"height_factor": 0.5, "width_factor": 0.5},
    "RandomZoom": {"height_factor": 0.5},
    "RepeatVector": {"n": 2},
    "Rescaling": {"scale": 0.5},
    "Reshape": {"target_shape": [2, 2]},
    "SimpleRNN": {"units": 3},
}


def said(cls: type, **arguments: object) -> str:
    with pytest.raises(ConfigError) as caught, as_config_error("f"):
        make(cls, arguments)
    return str(caught.value)


@pytest.mark.parametrize("name", LAYERS)
def test_every_allowed_layer_is_one_and_takes_its_arguments(name: str) -> None:
    cls = keras_class("layers", f"keras.{name}")
    assert cls is getattr(keras.layers, name) and issubclass(cls, keras.layers.Layer)
    arguments = MINIMAL.get(name, MINIMAL.get(name.removesuffix("Transpose").rstrip("123D"), {}))
    layer = make(cls, {**arguments, "name": "named"})
    assert type(layer) is cls and layer.name == "named"


NEEDED: dict[str, dict[str, Any]] = {
    "BackupAndRestore": {"backup_dir": "a"},
    "CSVLogger": {"filename": "a"},
    "LearningRateScheduler": {"schedule": {"kind": "cosine_decay", "initial_learning_rate": 0.1, "decay_steps": 2}},
    "ModelCheckpoint": {"filepath": "a.keras"},
}


@pytest.mark.parametrize("name", CALLBACKS)
def test_every_allowed_callback_is_one(name: str) -> None:
    callback = make(keras_class("callbacks", f"keras.{name}"), NEEDED.get(name, {}))
    assert isinstance(callback, keras.callbacks.Callback)


@pytest.mark.parametrize("name", REFUSED)
def test_layers_that_run_code_read_paths_or_wrap_are_refused(name: str) -> None:
    with pytest.raises(KindError, match=rf"^unknown Keras layer kind\. Received: 'keras\.{name}'\. Allowed: "):
        keras_class("layers", f"keras.{name}")


@pytest.mark.parametrize("name", ["keras.layers.Dense", "keras.", "keras.dense", "keras.src.layers.Dense", "os.system"])
def test_paths_are_no_names(name: str) -> None:
    with pytest.raises(KindError):
        keras_class("layers", name)


def test_kinds() -> None:
    assert keras_kinds("datasets") == ()
    assert is_keras_kind("keras.Dense") and not is_keras_kind("layers.dense")
    assert [singular(group) for group in ("losses", "layers", "optimizers.schedules")] == ["loss", "layer", "schedule"]


@pytest.mark.parametrize(
    ("group", "name", "cls"),
    [
        ("optimizers", "adam", keras.optimizers.Adam),
        ("optimizers", "AdamW", keras.optimizers.AdamW),
        ("optimizers", "adamw", keras.optimizers.AdamW),
        ("losses", "sparse_categorical_crossentropy", keras.losses.SparseCategoricalCrossentropy),
        ("losses", "SparseCategoricalCrossentropy", keras.losses.SparseCategoricalCrossentropy),
        ("metrics", "auc", keras.metrics.AUC),
        ("initializers", "he_normal", keras.initializers.HeNormal),
        ("regularizers", "l1_l2", keras.regularizers.L1L2),
        ("constraints", "non_neg", keras.constraints.NonNeg),
        ("optimizers.schedules", "cosine_decay", keras.optimizers.schedules.CosineDecay),
    ],
)
def test_names_in_both_spellings(group: str, name: str, cls: type) -> None:
    assert class_by_name(group, name) is cls


@pytest.mark.parametrize("group", ["optimizers", "losses", "metrics", "optimizers.schedules"])
def test_no_two_names_are_confused(group: str) -> None:
    for name, cls in classes_by_name(group).items():
        assert class_by_name(group, name) is cls is class_by_name(group, cls.__name__)


@pytest.mark.parametrize("name", ["Optimizer", "LossScaleOptimizer", "legacy", "schedules", "__class__", "os.system"])
def test_what_is_no_optimizer_by_itself(name: str) -> None:
    with pytest.raises(KindError, match=r"^unknown optimizer kind\. Received: "):
        class_by_name("optimizers", name)


@pytest.mark.parametrize(
    ("arguments", "expected"),
    [
        ({}, "f: units: is missing."),
        ({"units": 10**12}, "f: units: must be a number from -16777216 to 16777216. Received: 1000000000000 (int)."),
        (
            {"units": -(10**12)},
            "f: units: must be a number from -16777216 to 16777216. Received: -1000000000000 (int).",
        ),
        ({"units": float("nan")}, "f: units: must be a number from -16777216 to 16777216. Received: nan (float)."),
        ({"units": -3}, "f: Dense refuses its arguments: Received an invalid value for `units`, expected"),
        ({"units": print}, "f: units: must be a number, a string, true, false, null or a list of those. Received: "),
        ({"units": 3, "kernel_initializer": {}}, "f: kernel_initializer: a mapping here needs a `kind`. Received: {}."),
        (
            {"units": 3, "kernel_initializer": {"kind": "constant", "value": 1e9}},
            "f: kernel_initializer.value: must be a number from ",
        ),
        (
            {"units": 3, "kernel_initializer": {"kind": "os.system"}},
            "f: kernel_initializer: unknown initializer kind. Received: 'os.system'. Allowed: constant, ",
        ),
        (
            {"units": 3, "kernel_initializer": {"kind": "constant", "x": 1}},
            "f: kernel_initializer: unknown argument 'x'.",
        ),
        ({"units": 3, "autocast": False}, "f: unknown argument 'autocast'."),
        ({"units": 3, "unit": 3, "bais": 1}, "f: unknown argument 'unit'."),
    ],
)
def test_arguments_that_are_refused(arguments: dict, expected: str) -> None:
    assert said(keras.layers.Dense, **arguments).startswith(expected)


def test_sizes_in_lists_are_checked_too() -> None:
    assert said(keras.layers.Reshape, target_shape=[2, 10**12]) == (
        "f: target_shape.1: must be a number from -16777216 to 16777216. Received: 1000000000000 (int)."
    )


def test_keras_objects_inside() -> None:
    layer = make(keras.layers.Dense, {"units": 2, "kernel_regularizer": {"kind": "l2", "l2": 0.5}})
    assert float(layer.kernel_regularizer.l2) == 0.5


def test_a_convolution_does_not_ask_for_its_rank() -> None:
    assert "rank" not in keras_parameters(keras.layers.Conv2D)
    assert "activity_regularizer" in keras_parameters(keras.layers.LeakyReLU)


def test_trying_out_leaves_no_trace_in_the_names() -> None:
    keras.backend.clear_session()
    validate_by_construction(keras.layers.Dense, {"units": 2})
    assert keras.layers.Dense(2).name == "dense"
