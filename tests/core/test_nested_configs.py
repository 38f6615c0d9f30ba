"""A model as data: a layer once more, a model inside, and lines that cannot be."""

import keras
import numpy as np
import pytest

from hgq2_core import ConfigError, ModelConfig, ebops, summary
from hgq2_core.config.resolved import resolved

NESTED = {
    "seed": 1,
    "defaults": {"weight": {"kind": "kbi", "b": 4}},
    "model": {
        "inputs": {"a": {"shape": [4]}, "b": {"shape": [4]}},
        "layers": [
            {"kind": "dense", "name": "shared", "units": 3, "activation": "relu", "inputs": ["a"]},
            {"layer": "shared", "name": "again", "inputs": ["b"]},
            {"kind": "keras.Concatenate", "inputs": ["shared", "again"]},
            {
                "name": "head",
                "model": {
                    "inputs": {"x": {"shape": [6]}},
                    "layers": [
                        {"kind": "dense", "name": "shared", "units": 5, "activation": "relu"},
                        {"kind": "dense", "name": "out", "units": 2},
                    ],
                },
            },
        ],
    },
}


def test_a_layer_applied_once_more_is_the_same_layer_and_two_circuits():
    model = ModelConfig.parse({**NESTED, "model": {**NESTED["model"], "layers": NESTED["model"]["layers"][:3]}}).build()
    shared = model.get_layer("shared")
    assert len(shared._inbound_nodes) == 2
    assert ebops(model) == 2 * ebops(shared)
    assert [row.name for row in summary(model).layers if row.kind == "layers.dense"] == ["shared", "shared"]


def test_a_model_inside_has_names_and_defaults_of_its_own():
    model = ModelConfig.parse(NESTED).build()
    head = model.get_layer("head")
    assert isinstance(head, keras.Model)
    assert head.get_layer("shared") is not model.get_layer("shared")
    assert head.get_layer("shared").kernel_quantizer.config.b == 4.0
    assert tuple(model.output_shape) == (None, 2)


def test_resolved_nested_models_build_the_same_model():
    config = ModelConfig.parse(NESTED)
    model = config.build()
    complete = resolved(config, model)
    again = ModelConfig.parse(complete)
    assert resolved(again, again.build()) == complete
    for a, b in zip(model.weights, again.build().weights, strict=True):
        np.testing.assert_array_equal(*map(keras.ops.convert_to_numpy, (a, b)))


@pytest.mark.parametrize(
    ("line", "message"),
    [
        (
            {"layer": "shred", "inputs": ["b"]},
            "model.layers.1.layer: must be the name of an earlier layer. Received: 'shred'. Allowed: shared. "
            "Did you mean 'shared'?",
        ),
        (
            {"layer": "a", "inputs": ["b"]},
            "model.layers.1.layer: must be the name of an earlier layer. Received: 'a'. Allowed: shared.",
        ),
        (
            {"layer": "shared", "inputs": ["b"], "units": 3},
            "model.layers.1: unknown field 'units'. Allowed: inputs, layer, name.",
        ),
        (
            {"model": {"inputs": {"x": {"shape": [4]}, "y": {"shape": [4]}}, "layers": [
                {"kind": "keras.Concatenate", "inputs": ["x", "y"]}]}, "inputs": ["b"]},
            "model.layers.1.inputs: must be one for each input of the model: x, y. Received: 1.",
        ),
        (
            {"model": {"inputs": {"x": {"shape": [4]}}, "layers": [{"kind": "dense", "unit": 4}]}, "inputs": ["b"]},
            "model.layers.1.model.layers.0: unknown field 'unit'. Allowed: accumulator_bits, activation,",
        ),
    ],
)  # fmt: skip
def test_a_line_that_cannot_be_is_refused(line, message):
    layers = [NESTED["model"]["layers"][0], line, {"kind": "keras.Concatenate", "inputs": ["shared", "a"]}]
    with pytest.raises(ConfigError) as error:
        ModelConfig.parse({**NESTED, "model": {**NESTED["model"], "layers": layers}})
    assert str(error.value).splitlines()[0].startswith(message), str(error.value)


def test_the_only_layer_that_is_wrong_is_told_once():
    with pytest.raises(ConfigError) as error:
        ModelConfig.parse({"model": {"inputs": {"x": {"shape": [4]}}, "layers": [{"kind": "dense", "units": "three"}]}})
    assert str(error.value) == "model.layers.0.units: must be an integer. Received: 'three' (str)."


def test_what_a_layer_says_of_its_inputs_holds_no_terminal_codes():
    layers = [{"kind": "keras.Reshape", "target_shape": [3, 5]}]
    with pytest.raises(ConfigError, match=r"^model\.layers\.0 \(reshape\): cannot take inputs of shape") as error:
        ModelConfig.parse({"model": {"inputs": {"x": {"shape": [4]}}, "layers": layers}}).build()
    assert "\x1b" not in str(error.value)
    assert "\n" not in str(error.value)


@pytest.mark.parametrize(
    ("layers", "message"),
    [
        ([{"kind": "keras.Dense", "units": 1 << 24}], "a weight of shape (4096, 16777216)."),
        ([{"kind": "dense", "units": 1 << 24}], "a weight of shape (4096, 16777216)."),
        ([{"kind": "keras.Dense", "units": 4096}] * 6, "a model has at most 67108864 weights."),
        ([{"kind": "keras.RepeatVector", "n": 1 << 24}], "an output of shape (16777216, 4096)."),
    ],
)  # fmt: skip
def test_sizes_beyond_all_memory_are_refused_before_it_is_taken(layers, message):
    with pytest.raises(ConfigError, match=r"^model\.layers\.\d \(") as error:
        ModelConfig.parse({"model": {"inputs": {"x": {"shape": [4096]}}, "layers": layers}}).build()
    assert message in str(error.value)


def test_a_chain_that_is_too_long_is_refused_and_models_inside_count_each_time():
    def parse(layers):
        ModelConfig.parse({"model": {"inputs": {"x": {"shape": [4]}}, "layers": layers}})

    with pytest.raises(ConfigError) as error:
        parse([{"kind": "keras.ReLU"}] * 501)
    assert str(error.value) == ("model.layers: at most 500 layers, models inside counted each time. Received: 501.")
    inner = {"name": "m", "model": {"inputs": {"y": {"shape": [4]}}, "layers": [{"kind": "keras.ReLU"}] * 100}}
    with pytest.raises(ConfigError, match=r"Received: 600\."):
        parse([inner, *[{"layer": "m"}] * 5])
