"""Keras objects as constructor arguments: what a config says about them, and back."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import keras
import numpy as np
import pytest
import yaml

from hgq2_core import ConfigError
from hgq2_core.layers.arguments import ACTIVATIONS, CONSTRAINTS, INITIALIZERS, REGULARIZERS, KerasObject
from hgq2_layers import QDense

FACTOR = keras.regularizers.L2(0.5).get_config()["l2"]


@pytest.fixture
def custom() -> Iterator[type]:
    @keras.saving.register_keras_serializable("mine", "Halves")
    class Halves(keras.initializers.Initializer):
        def __call__(self, shape: Any, dtype: Any = None) -> Any:
            return keras.ops.full(shape, 0.5, dtype)

        def get_config(self) -> dict[str, Any]:
            return {}

    yield Halves
    keras.saving.get_custom_objects().pop("mine>Halves")


@pytest.mark.parametrize(
    ("argument", "value", "config"),
    [
        (INITIALIZERS, "glorot_uniform", {"kind": "GlorotUniform"}),
        (INITIALIZERS, keras.initializers.HeNormal(seed=3), {"kind": "HeNormal", "seed": 3}),
        (INITIALIZERS, {"kind": "constant", "value": 0.25}, {"kind": "Constant", "value": 0.25}),
        (INITIALIZERS, "zeros", {"kind": "Zeros"}),
        (INITIALIZERS, "identity", {"kind": "Identity"}),
        (INITIALIZERS, "orthogonal", {"kind": "Orthogonal", "gain": 1.0}),
        (REGULARIZERS, keras.regularizers.L2(0.5), {"kind": "L2", "l2": FACTOR}),
        (REGULARIZERS, {"kind": "l1_l2", "l1": 0.5, "l2": 0.25}, {"kind": "L1L2", "l1": 0.5, "l2": 0.25}),
        (CONSTRAINTS, "non_neg", {"kind": "NonNeg"}),
        (CONSTRAINTS, keras.constraints.MaxNorm(3, axis=(0, 1)), {"kind": "MaxNorm", "max_value": 3, "axis": [0, 1]}),
        (ACTIVATIONS, "relu", "relu"),
        (ACTIVATIONS, keras.activations.linear, "linear"),
        (REGULARIZERS, None, None),
        (CONSTRAINTS, None, None),
    ],
)
def test_the_config_is_short_plain_and_comes_back(argument: KerasObject, value: Any, config: Any) -> None:
    made = argument.resolve(value)
    assert argument.to_config(made) == config
    again = yaml.safe_load(yaml.safe_dump(config))
    assert argument.validate(again) == again
    back = argument.resolve(again)
    assert type(back) is type(made)
    assert argument.to_config(back) == config


@pytest.mark.parametrize(
    ("argument", "value"), [(INITIALIZERS, "he_uniform"), (REGULARIZERS, "l1"), (CONSTRAINTS, "unit_norm")]
)
def test_keras_own_form_is_still_read(argument: KerasObject, value: str) -> None:
    made = argument.resolve(value)
    form = getattr(keras, argument.group).serialize(made)
    assert argument.validate(form) == form
    assert argument.to_config(argument.resolve(form)) == argument.to_config(made)


def test_a_registered_custom_object_keeps_keras_form(custom: type) -> None:
    config = INITIALIZERS.to_config(custom())
    assert config["registered_name"] == "mine>Halves"
    assert isinstance(INITIALIZERS.resolve(config), custom)


@pytest.mark.parametrize(
    "value",
    [
        keras.initializers.Constant(np.ones(3)),
        keras.initializers.Constant(1e9),
        keras.initializers.RandomNormal(seed=keras.random.SeedGenerator(3)),
    ],
    ids=["array", "large", "generator"],
)
def test_what_no_config_file_may_hold_keeps_keras_form(value: Any) -> None:
    config = INITIALIZERS.to_config(value)
    assert config["class_name"] == type(value).__name__
    assert type(INITIALIZERS.resolve(config)) is type(value)


def test_a_seed_is_drawn_for_the_object_alone() -> None:
    keras.utils.set_random_seed(1)
    undisturbed = keras.initializers.HeNormal()((2, 2))
    keras.utils.set_random_seed(1)
    INITIALIZERS.to_config(keras.initializers.HeNormal(seed=5))
    drawn = keras.initializers.HeNormal()((2, 2))
    assert np.array_equal(keras.ops.convert_to_numpy(drawn), keras.ops.convert_to_numpy(undisturbed))


@pytest.mark.parametrize(
    "initializer",
    ["glorot_uniform", {"kind": "GlorotUniform"}, keras.initializers.serialize(keras.initializers.GlorotUniform())],
    ids=["name", "kind", "Keras form"],
)
def test_every_way_to_say_the_same_draws_the_same_weights(initializer: Any) -> None:
    kernels = []
    for arguments in ({}, {"kernel_initializer": initializer}):
        keras.utils.set_random_seed(1)
        layer = QDense(3, **arguments)
        layer.build((None, 4))
        kernels.append(keras.ops.convert_to_numpy(layer.kernel))
    assert np.array_equal(*kernels)


def test_a_layers_config_names_no_module() -> None:
    layer = QDense(2, kernel_regularizer="l2", kernel_constraint=keras.constraints.MaxNorm(2), name="d")
    config = layer.get_config()
    assert "module" not in str(config)
    assert QDense.from_config(config).get_config() == config


@pytest.mark.parametrize(("policy", "meant"), [("mixed_float16", ""), ("mixed_bfloat16", "")])
def test_a_global_policy_that_computes_in_fewer_bits_is_refused(policy: str, meant: str) -> None:
    before = keras.config.dtype_policy()
    keras.config.set_dtype_policy(policy)
    try:
        with pytest.raises(ConfigError) as caught:
            QDense(3, name="d")
        layer = QDense(3, dtype="float32")
    finally:
        keras.config.set_dtype_policy(before)
    assert str(caught.value) == (
        "d: Keras' global dtype policy: quantized layers compute in floats that hold exact sums. "
        f"Received: '{policy}' (str). Allowed: float32, float64.{meant} Or give the layer a dtype."
    )
    assert layer.compute_dtype == "float32"
