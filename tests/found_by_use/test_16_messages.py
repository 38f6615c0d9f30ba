"""Messages that blame the right thing, in words that stand alone."""

from __future__ import annotations

import re
from pathlib import Path

import keras
import numpy as np
import pytest
from typer.testing import CliRunner

import hgq2_core.cli.main as cli
from hgq2_core import CalibrationError, ConfigError, DataError, ExactnessError, doctor, verify
from hgq2_core.config.describe import all_kinds, describe
from hgq2_core.config.overrides import overridden
from hgq2_core.schema.base import as_yaml
from hgq2_core.schema.keras_objects import is_keras_kind
from hgq2_fixed_point import KBI, KIF
from hgq2_layers import QDense
from hgq2_training.commands.outcome import outcome_lines
from hgq2_training.runs.directory import calibration_of

X = np.ones((8, 4), np.float32)


def dense(**arguments):
    return keras.Sequential(
        [keras.Input((4,)), QDense(2, name="a", input_quantizer=KIF(overflow_mode="SAT"), **arguments)]
    )


def refusal(call, *arguments, **keywords):
    with pytest.raises((ConfigError, DataError, ExactnessError, CalibrationError)) as error:
        call(*arguments, **keywords)
    return str(error.value)


@pytest.mark.parametrize("value", [np.nan, np.inf])
def test_verify_blames_the_data_for_nan_in_the_data(value):
    x = X.copy()
    x[3, 1] = value
    assert refusal(verify, dense(), x) == "verify: the data hold NaN or infinite values, which no range can hold."


def test_verify_blames_the_weight_for_nan_in_a_weight():
    model = dense()
    model.layers[0].kernel.assign(np.full((4, 2), np.nan, np.float32))
    message = refusal(verify, model, X)
    assert message == (
        "a: its kernel holds NaN or infinite values, for which there is no exact arithmetic. "
        "Train again, with a smaller learning rate."
    )


@pytest.mark.once
@pytest.mark.parametrize("policy", ["mixed_float16", "mixed_bfloat16", "float16", "bfloat16"])
def test_a_policy_that_keras_knows_is_no_misspelling(policy):
    assert refusal(QDense, 2, name="a", dtype=policy) == (
        f"QDense 'a': dtype: quantized layers compute in floats that hold exact sums. Received: '{policy}' (str). "
        "Allowed: float32, float64."
    )


def test_a_misspelt_policy_is():
    assert refusal(QDense, 2, name="a", dtype="flaot64").endswith("Allowed: float32, float64. Did you mean 'float64'?")


def test_doctor_names_float64_where_float32_is_too_narrow():
    wide = {"input_quantizer": KBI(b=14, i=4, overflow_mode="SAT"), "kernel_quantizer": KBI(b=14, i=2)}

    def found(**arguments):
        model = keras.Sequential([keras.Input((4,)), QDense(2, name="a", **wide, **arguments)])
        return [each for each in doctor(model, X).findings if each.check.name == "float32"]

    (finding,) = found()
    assert finding.remedy == (
        'Give it dtype="float64", or fewer bits in its quantizers; or verify on as many samples as you can.'
    )
    assert finding.seen.endswith("bits, float32 has 24")
    assert found(dtype="float64") == []


@pytest.mark.once
def test_a_setting_is_named_by_its_path():
    long = "training.callbacks=[" + "{kind: beta_schedule}, " * 20
    assert refusal(overridden, {"training": {}}, [long]).startswith("--set training.callbacks:1:")
    assert refusal(overridden, {}, ["x" * 200]) == (
        f"--set: must be PATH=VALUE, such as training.epochs=10. Received: '{'x' * 76}... (str)."
    )


LEANS = re.compile(r"\blikewise\b|\bditto\b|\bas above\b|\bsee `[A-Z]|\bas (in|of) `|, as `", re.IGNORECASE)
PYTHON = re.compile(r"\b(None|True|False)\b")


@pytest.mark.once
def test_every_description_stands_alone():
    ours = [kind for kind in all_kinds() if not is_keras_kind(kind)]
    fields = [(kind, field.name, field.description) for kind in ours for field in describe(kind).fields]
    assert len(fields) > 500
    assert [field for field in fields if LEANS.search(field[2])] == []


@pytest.mark.once
def test_descriptions_have_the_words_of_yaml():
    kinds = list(all_kinds())
    fields = [(kind, field) for kind in kinds for field in describe(kind).fields]
    told = [
        (kind, each.name, text) for kind, each in fields for text in (each.default or "", each.description, each.type)
    ]
    assert [line for line in told if PYTHON.search(line[2] or "")] == []


@pytest.mark.once
@pytest.mark.parametrize(
    ("value", "text"),
    [
        (None, "null"),
        (True, "true"),
        ((1, None), "[1, null]"),
        ({"b": False, "i": [None]}, "{'b': false, 'i': [null]}"),
        ("None", "'None'"),
        (1e-5, "1e-05"),
    ],
)
def test_received_values_have_the_words_of_yaml(value, text):
    assert as_yaml(value) == text


@pytest.mark.once
def test_null_is_null_in_messages():
    assert refusal(QDense, None, name="a") == "QDense 'a': units: must be an integer. Received: null."


@pytest.mark.once
def test_remedies_name_the_directory(tmp_path):
    def fail():
        with calibration_of(tmp_path):
            raise CalibrationError("verify: uncalibrated.")

    assert refusal(fail) == f"verify: uncalibrated. For this run: hgq2 calibrate {tmp_path}"
    assert "DIR" not in refusal(verify, keras.Sequential([keras.Input((4,)), QDense(2)]), X)


@pytest.mark.once
def test_a_stopped_run_is_told_how_to_go_on():
    assert [str(line) for line in outcome_lines({}, Path("runs/digits"))] == [
        "No metrics: the run was stopped.",
        "To resume: hgq2 train -o runs/digits --resume. To finish it here: hgq2 calibrate runs/digits",
    ]


@pytest.mark.once
@pytest.mark.parametrize("kind", ["dense", "keras.Dropout"])
def test_show_prints_them(kind):
    shown = CliRunner().invoke(cli.app, ["show", kind]).output
    assert "likewise" not in shown and "None" not in shown
