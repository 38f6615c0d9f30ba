"""A trained model is converted, in Python and by `hgq2 quantize`, which gives a file that is ready to use."""

from __future__ import annotations

import json

import keras
import numpy as np
import pytest
from keras import layers
from plain_models import sequential, values
from typer.testing import CliRunner

from hgq2_core import CalibrationError, calibrate, load_model, quantize_model, summary, verify
from hgq2_core.cli.main import app
from hgq2_training.datasets.digits import Digits


@pytest.fixture(scope="module")
def digits():
    """A model trained in floats, and the data."""
    data = Digits().load()
    keras.utils.set_random_seed(0)
    model = sequential_on_digits()
    model.compile("adam", keras.losses.SparseCategoricalCrossentropy(from_logits=True), metrics=["accuracy"])
    model.fit(data.train.x, data.train.y, epochs=15, batch_size=64, verbose=0)
    return model, data


def sequential_on_digits():
    return keras.Sequential(
        [
            keras.Input((64,)),
            layers.Dense(32, name="hidden_1"),
            layers.BatchNormalization(name="norm"),
            layers.ReLU(),
            layers.Dense(32, "relu", name="hidden_2"),
            layers.Dense(10, name="logits"),
        ]
    )


def accuracy(model, split):
    return np.mean(model.predict(split.x, verbose=0).argmax(1) == split.y)


def hgq2(*arguments):
    result = CliRunner().invoke(app, [*map(str, arguments)])
    assert result.exit_code == 0, result.output
    return result.stdout


def test_without_any_word_on_bits_eight_keep_the_accuracy(digits):
    model, data = digits
    converted = quantize_model(model)
    calibrate(converted, data.train.x)
    assert verify(converted, data.test.x).mismatches == 0
    assert accuracy(converted, data.test) >= accuracy(model, data.test) - 0.01 >= 0.93
    slots = [slot for row in summary(converted).layers for slot in row.slots]
    assert {(slot.min, slot.max) for slot in slots} == {(7, 7)}  # and a sign


def test_the_command_gives_a_model_to_use(digits, tmp_path):
    model, data = digits
    model.save(tmp_path / "float.keras")
    rules = {"bits": 9, "rules": [{"match": "logits", "kernel_quantizer": {"kind": "kbi", "b": 6}}]}
    (tmp_path / "rules.json").write_text(json.dumps(rules))
    np.savez(tmp_path / "samples.npz", x=data.test.x, y=data.test.y)
    arguments = ["quantize", tmp_path / "float.keras", "--rules", tmp_path / "rules.json", "-o", tmp_path / "q.keras"]
    found = json.loads(hgq2(*arguments, "--data", tmp_path / "samples.npz", "--bits", "8", "--json"))
    rows = {row["name"]: row for row in found["layers"]}
    assert {name: row["kind"] for name, row in rows.items() if row["ebops"]} == {
        "hidden_1": "layers.dense_batch_norm",
        "hidden_2": "layers.dense",
        "logits": "layers.dense",
    }
    assert found["comparison"]["verify"] == {"mismatches": 0, "samples": 112}
    floats, quantized = (found["comparison"][name]["accuracy"] for name in ("floats", "quantized"))
    assert abs(floats - quantized) < 0.01
    assert 0 < found["comparison"]["difference"] < 0.05
    converted = load_model(tmp_path / "q.keras", compile=True)
    widths = [converted.get_layer(name).kernel_quantizer.config.b for name in ("hidden_1", "logits")]
    assert widths == [7, 6]
    assert verify(converted, data.test.x).mismatches == 0
    converted.fit(data.train.x, data.train.y, epochs=1, verbose=0)  # compiled as the one in floats


def test_the_command_says_what_is_missing_without_data(digits, tmp_path):
    digits[0].save(tmp_path / "float.keras")
    text = hgq2("quantize", tmp_path / "float.keras", "-o", tmp_path / "q.keras")
    assert "Not calibrated: give --data, or train the model and call hgq2_core.calibrate." in text
    with pytest.raises(CalibrationError):
        verify(load_model(tmp_path / "q.keras"), digits[1].test.x)


def test_the_command_tells_how_far_the_outputs_moved(digits, tmp_path):
    model, _ = digits
    keras.Model(model.inputs[0], model.outputs[0]).save(tmp_path / "float.keras")  # not compiled
    text = hgq2("quantize", tmp_path / "float.keras", "-o", tmp_path / "q.keras", "--data", "digits", "--bits", "6")
    assert "accuracy" not in text
    assert "of their deviation on average" in text
    assert "0 mismatches in 449 samples (integers == Keras)" in text


def test_the_command_converts_around_what_a_rule_leaves_in_floats(tmp_path):
    sequential(layers.Dense(3), layers.LayerNormalization(name="norm")).save(tmp_path / "float.keras")
    rules = {"rules": [{"match": "norm", "kind": "keras.LayerNormalization"}]}
    (tmp_path / "rules.json").write_text(json.dumps(rules))
    np.savez(tmp_path / "samples.npz", x=values(32, 4), y=values(32, 3))
    arguments = ["quantize", tmp_path / "float.keras", "--rules", tmp_path / "rules.json", "-o", tmp_path / "q.keras"]
    text = hgq2(*arguments, "--data", tmp_path / "samples.npz")
    assert "not verified: norm: keras.LayerNormalization has no exact arithmetic." in text
    assert (tmp_path / "q.keras").exists()


@pytest.mark.parametrize(
    ("document", "message"),
    [
        ({"rule": []}, "unknown field 'rule'. Allowed: bits, data, defaults, rules. Did you mean 'rules'?"),
        ({"rules": {}}, "rules: must be a list."),
        ({"bits": 1}, "bits: must be greater than or equal to 2. Received: 1 (int)."),
        ({"data": "digit"}, "data: unknown dataset kind. Received: 'digit'."),
        ({"data": "magic"}, "the shape does not fit the data. Received: shape [4], data of shape [10]."),
        ({"rules": [{"match": "dens"}]}, "Did you mean 'dense'?"),
        ({"rules": [{"match": "dense", "kind": "dens"}]}, "Did you mean 'dense'?"),
        ({"rules": [{"match": "nothing"}]}, "rules.0 converts no layer"),
    ],
)
def test_wrong_files_of_rules(document, message, tmp_path):
    sequential(layers.Dense(3, name="dense")).save(tmp_path / "float.keras")
    (tmp_path / "rules.json").write_text(json.dumps(document))
    output = tmp_path / "q.keras"
    arguments = ["quantize", tmp_path / "float.keras", "--rules", tmp_path / "rules.json", "-o", output]
    result = CliRunner().invoke(app, list(map(str, arguments)))
    assert result.exit_code == 2
    assert message in result.stderr
    assert not output.exists()


def test_nothing_is_overwritten(tmp_path):
    sequential(layers.Dense(3)).save(tmp_path / "float.keras")
    result = CliRunner().invoke(app, ["quantize", str(tmp_path / "float.keras"), "-o", str(tmp_path / "float.keras")])
    assert result.exit_code == 2
    assert "--output must be a new file that ends in .keras" in result.stderr
