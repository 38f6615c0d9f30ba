"""Values of a config set from the command line, before anything is checked."""

import pytest

from hgq2_core import ConfigError
from hgq2_core.config.overrides import overridden

DOCUMENT = {
    "seed": 0,
    "model": {"layers": [{"kind": "dense", "name": "hidden", "units": 4}, {"kind": "dense", "units": 10}]},
    "training": {"epochs": 5, "loss": "mse"},
}


@pytest.mark.parametrize(
    ("setting", "path", "value"),
    [
        ("seed=3", ("seed",), 3),
        ("training.epochs=10", ("training", "epochs"), 10),
        ("training.loss={kind: mse, name: a=b}", ("training", "loss"), {"kind": "mse", "name": "a=b"}),
        ("training.learning_rate=1e-5", ("training", "learning_rate"), 1e-5),
        ("training.loss=yes", ("training", "loss"), "yes"),
        ("training.loss=", ("training", "loss"), None),
        ("model.layers.hidden.units=64", ("model", "layers", 0, "units"), 64),
        ("model.layers.1.units=64", ("model", "layers", 1, "units"), 64),
        ("model.layers.1={kind: flatten}", ("model", "layers", 1), {"kind": "flatten"}),
    ],
)
def test_a_value_is_set(setting, path, value):
    found = overridden(DOCUMENT, [setting])
    for step in path:
        found = found[step]
    assert found == value
    assert type(found) is type(value)


def test_later_settings_build_on_earlier_ones_and_the_document_stays():
    found = overridden(DOCUMENT, ["data={kind: digits}", "data.seed=1"])
    assert found == {**DOCUMENT, "data": {"kind": "digits", "seed": 1}}
    assert "data" not in DOCUMENT


@pytest.mark.parametrize(
    ("setting", "message"),
    [
        ("epochs", "--set: must be PATH=VALUE, such as training.epochs=10. Received: 'epochs' (str)."),
        ("=3", "--set: must be PATH=VALUE, such as training.epochs=10. Received: '=3' (str)."),
        (
            "trainin.epochs=3",
            "--set trainin.epochs: no such key. Received: 'trainin'. Allowed: model, seed, training. "
            "Did you mean 'training'?",
        ),
        (
            "model.layers.hiden.units=3",
            "--set model.layers.hiden.units: in model.layers: no such item. Received: 'hiden'. Allowed: an index "
            "below 2, or a name: hidden. Did you mean 'hidden'?",
        ),
        (
            "model.layers.2.units=3",
            "--set model.layers.2.units: in model.layers: no such item. Received: '2'. Allowed: an index below 2, or "
            "a name: hidden.",
        ),
        (
            "training.epochs.x=3",
            "--set training.epochs.x: in training.epochs: holds a value, in which nothing can be set. Received: 'x'.",
        ),
    ],
)
def test_a_setting_that_fits_nowhere_is_refused(setting, message):
    with pytest.raises(ConfigError) as error:
        overridden(DOCUMENT, [setting])
    assert str(error.value) == message


@pytest.mark.parametrize("name", [3, None, ["hidden"]])
def test_a_name_that_is_no_text_is_left_to_the_schema(name):
    document = {"layers": [{"name": name}, {"name": "logits"}]}
    with pytest.raises(ConfigError) as error:
        overridden(document, ["layers.hidden.units=3"])
    assert str(error.value) == (
        "--set layers.hidden.units: in layers: no such item. Received: 'hidden'. Allowed: an index below 2, or a "
        "name: logits."
    )


def test_a_value_that_is_no_yaml_is_refused_with_the_setting():
    with pytest.raises(ConfigError, match=r"^--set seed:1:3: while parsing"):
        overridden(DOCUMENT, ["seed=[1"])
