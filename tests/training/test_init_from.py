"""A training that starts from the weights and bits of an earlier run."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import keras
import numpy as np
import pytest

from hgq2_core import ModelConfig
from hgq2_core.errors import ConfigError, ModelFileError
from hgq2_training import train
from hgq2_training.runs.warm_start import start_from

X = np.random.default_rng(0).normal(size=(32, 4)).astype(np.float32)


def config(hidden: dict[str, Any] | None = None, head: dict[str, Any] | None = None, **more: Any) -> ModelConfig:
    layers = [
        {"kind": "dense", "name": "hidden", "units": 3, "activation": "relu", **(hidden or {})},
        {"kind": "dense", "name": "logits", "units": 10, **(head or {})},
    ]
    return ModelConfig.parse({"model": {"inputs": {"x": {"shape": [4]}}, "layers": layers}, **more})


def model(*arguments: Any, **more: Any) -> keras.Model:
    return config(*arguments, **more).build()


@pytest.fixture
def source() -> keras.Model:
    """A model whose weights and bits are no initial values."""
    made = model(seed=1)
    rng = np.random.default_rng(1)
    for each in made.trainable_variables:
        each.assign(np.asarray(rng.uniform(1, 3, each.shape), dtype=np.float32))
    return made


def values(made: keras.Model, *but: str) -> dict[str, Any]:
    return {
        each.path: keras.ops.convert_to_numpy(each.value).tolist()
        for each in made.trainable_variables
        if not each.path.startswith(but)
    }


def test_weights_and_bits_are_taken_by_the_names_of_layers(source: keras.Model) -> None:
    target = model(seed=2)
    found = start_from(target, source, X)
    assert values(target) == values(source)
    assert found.left == {}


def test_another_head_starts_as_drawn_and_is_listed(source: keras.Model) -> None:
    target = model(None, {"units": 5}, seed=2)
    found = start_from(target, source, X)
    assert values(target, "logits") == values(source, "logits")
    assert list(found.left) == ["logits"]
    assert "kernel, bias" in found.left["logits"]
    renamed = model(None, {"name": "head"}, seed=2)
    assert start_from(renamed, source, X).left == {"head": "is not in the run"}


def test_fewer_bits_bound_the_trained_ones(source: keras.Model) -> None:
    target = model({"kernel_quantizer": {"kind": "kbi", "b": 2}}, seed=2)
    start_from(target, source, X)
    bits, trained = (values(each)["hidden/kernel_quantizer/b"] for each in (target, source))
    assert bits == np.minimum(trained, 2).tolist() != trained
    assert values(target)["hidden/kernel"] == values(source)["hidden/kernel"]


def test_a_quantizer_of_another_kind_keeps_its_own_bits(source: keras.Model) -> None:
    target = model({"kernel_quantizer": {"kind": "kif", "i": 1, "f": 3}}, seed=2)
    found = start_from(target, source, X)
    assert found.left["hidden"].startswith("has another shape or kind in kernel_quantizer/")


def test_the_price_is_that_of_the_new_config(source: keras.Model) -> None:
    target = model(defaults={"ebops_beta": 1e-3}, seed=2)
    start_from(target, source, X)
    prices = [each for each in target.variables if each.path.endswith("ebops_beta")]
    assert [float(each) for each in prices] == [np.float32(1e-3)] * 2


def test_a_run_of_which_nothing_fits_is_refused(source: keras.Model) -> None:
    target = model({"name": "first"}, {"name": "last"}, seed=2)
    with pytest.raises(ConfigError, match=r"no layer of the run.* Received: hidden, logits. Allowed: .* first, last"):
        start_from(target, source, X)


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ("", "init_from: must be a string of at least 1 character. Received: ''"),
        ({"run": "r", "front": -1}, "init_from.front: not allowed. Received: -1"),
        ({"dir": "r"}, "init_from: unknown field 'dir'. Allowed: front, run."),
    ],
)
def test_a_wrong_start_is_named(given: Any, message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        config(init_from=given)


def trained(directory: Path, **more: Any) -> Any:
    training = {
        "optimizer": {"kind": "adam", "learning_rate": 0.01},
        "loss": {"kind": "sparse_categorical_crossentropy", "from_logits": True},
        "epochs": 1,
        "batch_size": 512,
    }
    layers = [{"kind": "dense", "name": "logits", "units": 10}]
    document = {
        "model": {"inputs": {"x": {"shape": [64]}}, "layers": layers},
        **{"data": {"kind": "digits"}, "training": training, **more},
    }
    return train(ModelConfig.parse(document), directory)


def test_a_run_says_from_which_it_started(tmp_path: Path) -> None:
    first = trained(tmp_path / "first")
    second = trained(tmp_path / "second", init_from=str(first.directory))
    assert second.metrics["init_from"]["run"] == str(first.directory)
    assert second.metrics["init_from"]["left"] == {}
    assert second.metrics["test"]["loss"] < first.metrics["test"]["loss"]
    with pytest.raises(ModelFileError, match="no such file"):
        trained(tmp_path / "third", init_from=str(tmp_path / "gone"))
    assert not (tmp_path / "third").exists()
