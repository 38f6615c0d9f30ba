"""A model as data: what is built, and the way back to plain data."""

import json
from pathlib import Path

import keras
import numpy as np
import pytest
import yaml
from model_configs import EXAMPLES, FUNCTIONAL, VALID, changed

from hgq2_core import ConfigError, ModelConfig, defaults, load_config
from hgq2_core.config.resolved import resolved
from hgq2_core.quantizers.defaults import scoped


def layer_configs(model: keras.Model) -> list[dict]:
    return [layer.get_config() for layer in model.layers]


def same(first: keras.Model, second: keras.Model) -> bool:
    weights = zip(first.get_weights(), second.get_weights(), strict=True)
    return all(np.array_equal(a, b) for a, b in weights) and len(first.layers) == len(second.layers)


def test_a_chain() -> None:
    model = ModelConfig.parse(VALID).build()
    assert [layer.name for layer in model.layers][:2] == ["pixels", "hidden"]
    assert model.output_shape == (None, 10)
    hidden, logits = model.get_layer("hidden"), model.get_layer("logits")
    # slot, then scope, then role
    quantizer = hidden.kernel_quantizer.config
    assert (quantizer.b, quantizer.i, quantizer.granularity, quantizer.b_regularizer) == (5, 0, "channel", 1e-8)
    assert logits.kernel_quantizer.config.b == 6
    assert float(keras.ops.convert_to_numpy(logits.ebops_beta)) == np.float32(1e-6)
    assert scoped("weight") is None


def test_a_graph() -> None:
    model = ModelConfig.parse(FUNCTIONAL).build()
    assert model.name == "two_towers"
    assert [each.name for each in model.inputs] == ["left", "right"]
    assert [tuple(output.shape) for output in model.outputs] == [(None, 2), (None, 3)]
    left, right = np.ones((5, 4), "float32"), np.zeros((5, 4), "float32")
    head, total = model.predict([left, right], verbose=0)
    assert head.shape == (5, 2) and total.shape == (5, 3)


@pytest.mark.parametrize("document", [VALID, FUNCTIONAL], ids=["chain", "graph"])
def test_plain_data_leads_back_to_the_same_model(document: dict) -> None:
    config = ModelConfig.parse(document)
    plain = json.loads(json.dumps(config.to_dict()))
    again = ModelConfig.parse(plain)
    assert again == config or again.to_dict() == config.to_dict()
    assert same(config.build(), again.build())


def test_plain_data_has_full_kinds_and_only_what_was_given() -> None:
    plain = ModelConfig.parse(VALID).to_dict()
    assert plain["defaults"] == {"weight": {"kind": "fixed_point.kbi", "b": 6.0, "i": 0.0}, "ebops_beta": 1e-6}
    assert plain["model"]["layers"][0] == {
        "kind": "layers.dense",
        "name": "hidden",
        "units": 32,
        "activation": "relu",
        "kernel_quantizer": {"kind": "fixed_point.kbi", "b": 5.0, "granularity": "channel"},
    }
    assert plain["data"] == {"kind": "training.digits", "test_fraction": 0.25}
    assert plain["training"]["callbacks"][0]["kind"] == "training.beta_schedule"


def test_yaml_and_json_are_the_same(tmp_path: Path) -> None:
    (tmp_path / "m.yaml").write_text(yaml.safe_dump(VALID))
    (tmp_path / "m.json").write_text(json.dumps(VALID))
    from_yaml, from_json = load_config(tmp_path / "m.yaml"), load_config(tmp_path / "m.json")
    assert from_yaml.to_dict() == from_json.to_dict()
    assert same(from_yaml.build(), from_json.build())


@pytest.mark.parametrize("path", EXAMPLES, ids=lambda path: path.stem)
def test_the_examples_build_and_compile(path: Path) -> None:
    config = load_config(path)
    model = config.build()
    config.training.compile(model, samples=1000)
    assert len(config.training.make_callbacks()) == len(config.training.callbacks)


def test_the_seed_decides() -> None:
    config = ModelConfig.parse(VALID)
    assert same(config.build(), config.build())
    other = ModelConfig.parse({**VALID, "seed": 4})
    assert not same(config.build(), other.build())


def test_a_scope_around_the_build_yields_to_the_config() -> None:
    config = ModelConfig.parse(VALID)
    with defaults(weight={"kind": "kbi", "b": 3}, bias={"kind": "kbi", "b": 3}):
        layer = config.build().get_layer("logits")
    assert layer.kernel_quantizer.config.b == 6
    assert layer.bias_quantizer.config.b == 3


@pytest.mark.parametrize(
    ("path", "value", "start"),
    [
        (
            "model.layers.0",
            {"kind": "keras.Conv2D", "filters": 2, "kernel_size": 3},
            "model.layers.0 (conv2d): cannot take inputs of shape (None, 64): ",
        ),
        (
            "model.layers.2",
            {"kind": "einsum_dense", "name": "e", "equation": "ab->c", "output_shape": 3},
            "model.layers.2 (e): equation must look like",
        ),
        ("model.inputs.pixels.shape", [None], "model.layers.0 (hidden): cannot take inputs of shape (None, None): "),
    ],
)
def test_what_only_the_build_finds_names_the_layer(path: str, value: object, start: str) -> None:
    config = ModelConfig.parse(changed(path, value))
    with pytest.raises(ConfigError) as caught:
        config.build()
    assert str(caught.value).startswith(start)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(("optimizer", "scale"), [("adam", 8), ({"kind": "sgd", "bit_learning_rate_scale": 2}, 2)])
def test_bits_learn_at_their_own_rate(optimizer: object, scale: float) -> None:
    from hgq2_core.optimizer import BitOptimizer

    config = ModelConfig.parse(changed("training.optimizer", optimizer))
    model = config.build()
    config.training.compile(model)
    assert isinstance(model.optimizer, BitOptimizer)
    assert model.optimizer.bit_learning_rate_scale == scale
    assert resolved(config, model)["training"]["optimizer"]["bit_learning_rate_scale"] == scale


def test_a_learning_rate_schedule_is_a_kind() -> None:
    schedule = {"kind": "cosine_decay", "initial_learning_rate": 0.1, "decay_steps": 10}
    config = ModelConfig.parse(changed("training.optimizer", {"kind": "SGD", "learning_rate": schedule}))
    model = config.build()
    config.training.compile(model)
    assert isinstance(model.optimizer.weight_optimizer, keras.optimizers.SGD)
    rate = model.optimizer.get_config()["optimizer"]["config"]["learning_rate"]
    assert rate["class_name"] == "CosineDecay"


def test_data_is_needed_to_load_it() -> None:
    with pytest.raises(ConfigError, match=r"^data: is missing; training needs a data set\.$"):
        ModelConfig.parse(FUNCTIONAL).load_data()
