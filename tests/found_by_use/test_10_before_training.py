"""What cannot be verified or exported is said before the training, with the place and the remedy."""

from __future__ import annotations

import json

import keras
import numpy as np
import pytest
import yaml
from typer.testing import CliRunner

from hgq2_core import ConfigError, ModelConfig, QLayer, calibrate, doctor, unsupported_layers
from hgq2_core.cli.main import app
from hgq2_core.config.model import NOT_VERIFIED
from hgq2_layers import QDense
from hgq2_training.runs.train import train

layers = keras.layers
pytestmark = pytest.mark.once

DENSE = "keras.Dense has no exact arithmetic. Use dense in its place, or a Keras layer that has (hgq2 list --table)."
POOLING = (
    "AveragePooling1D is exact where it averages a power of two of values. Received: 3 values. "
    "Use QAveragePooling1D with a reciprocal_quantizer in its place."
)
INSIDE = {"inputs": {"y": {"shape": [21]}}, "layers": [{"kind": "keras.Dense", "units": 3, "name": "floats"}]}
DOCUMENT = {
    "model": {
        "inputs": {"x": {"shape": [64]}},
        "layers": [
            {"kind": "keras.Reshape", "target_shape": [64, 1]},
            {"kind": "keras.AveragePooling1D", "pool_size": 3, "name": "mean"},
            {"kind": "keras.Flatten"},
            {"name": "inside", "model": INSIDE},
            {"kind": "dense", "units": 10},
        ],
    }
}
PLACES = [f"model.layers.1 (mean): {POOLING}", f"model.layers.3.model.layers.0 (floats): {DENSE}"]
TRAINING = {
    **DOCUMENT,
    "data": {"kind": "digits"},
    "training": {"loss": {"kind": "sparse_categorical_crossentropy", "from_logits": True}, "epochs": 1},
}


def test_building_a_config_warns_of_each():
    with pytest.warns(UserWarning) as caught:
        ModelConfig.parse(DOCUMENT).build()
    assert [str(each.message) for each in caught] == [f"{place} {NOT_VERIFIED}" for place in PLACES]


def test_a_training_is_refused_before_it_begins(tmp_path):
    with pytest.raises(ConfigError) as caught:
        train(ModelConfig.parse(TRAINING), tmp_path / "run")
    assert str(caught.value) == "\n".join(PLACES)


def validate(document, path, *options, code):
    path.write_text(yaml.safe_dump(document))
    done = CliRunner().invoke(app, ["validate", str(path), *options], env={"COLUMNS": "1000"})
    assert done.exit_code == code, done.output
    return done


def test_validate_warns_of_a_model_alone(tmp_path):
    lines = validate(DOCUMENT, tmp_path / "model.yaml", code=0).output.splitlines()
    assert lines[:2] == [f"warning: {place} `verify` will refuse the model." for place in PLACES]
    found = json.loads(validate(DOCUMENT, tmp_path / "model.yaml", "--json", code=0).stdout)["unsupported"]
    assert [(each["layer"], each["stage"]) for each in found] == [
        ("model.layers.1 (mean)", "verify"),
        ("model.layers.3.model.layers.0 (floats)", "verify"),
    ]


def test_validate_refuses_what_train_would_refuse(tmp_path):
    done = validate(TRAINING, tmp_path / "run.yaml", code=2)
    assert all(place in done.stderr for place in PLACES)


def test_an_input_of_unknown_size_has_no_circuit():
    inputs = keras.Input((None, 4), name="steps")
    model = keras.Model(inputs, QDense(2, input_quantizer={"kind": "kif", "granularity": "tensor"})(inputs))
    problem = (
        "a circuit needs a static size of every axis but the batch's. Received: shape [None, 4]. "
        "Give the input its size."
    )
    assert [(each.stage, str(each)) for each in unsupported_layers(model)] == [("export", f"steps: {problem}")]
    samples = np.ones((2, 3, 4), "float32")
    calibrate(model, samples)
    (found,) = [each for each in doctor(model, samples).findings if each.check.name == "no_circuit"]
    assert (found.place, found.seen) == ("steps", problem)


class Unstated(QLayer):
    """A layer without an exact statement."""

    def call(self, x, training=None):
        """Return x."""
        return x

    def ebops(self):
        """Return 0."""
        return 0.0


@pytest.mark.filterwarnings("ignore:Unstated does not define exact:FutureWarning")
def test_layers_inside_wrappers_and_models_are_asked_too():
    inside = keras.Sequential([keras.Input((4,)), layers.LayerNormalization(name="norm"), QDense(2)], name="inside")
    inputs = keras.Input((3, 4))
    steps = layers.TimeDistributed(inside, name="steps")(inputs)
    model = keras.Model(
        inputs, keras.ops.sin(Unstated(name="mine")(layers.TimeDistributed(layers.Dense(2), name="each")(steps)))
    )
    added = model.operations[-1].name  # Keras numbers the operations of a process
    assert [each.layer for each in unsupported_layers(model)] == ["steps/inside/norm", "each", "mine", added]
    assert str(unsupported_layers(model)[-1]) == (
        f"{added}: keras.ops.sin, an operation on tensors such as x + y, has no exact arithmetic. Use a quantized "
        "layer in its place, or a Keras layer that has (hgq2 list --table)."
    )


def test_a_subclassed_model_is_named():
    class Mine(keras.Model):
        def call(self, x):
            return x

    model = Mine(name="mine")
    model(np.ones((1, 2)))
    wanted = "mine: the graph of this Mine is not known. Use a functional or sequential model."
    assert [str(each) for each in unsupported_layers(model)] == [wanted]
