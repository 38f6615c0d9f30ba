"""Losses, metrics, optimizers and schedules of plugins: named in configs beside those of Keras, and saved by kind."""

from __future__ import annotations

import json
import subprocess
import sys
from typing import Annotated, Any

import keras
import numpy as np
import pytest
import yaml
from pydantic import Field
from tiny_run import CONFIG, hgq2

import hgq2_core
from hgq2_core import BitOptimizer, ConfigError, ModelConfig, ModelFileError, PluginError, load_model
from hgq2_core.discovery.registry import registry
from hgq2_core.discovery.saved_names import saved_kind
from hgq2_core.errors import KindError
from hgq2_core.schema.keras_objects import class_by_name
from hgq2_core.testing import registered
from hgq2_layers import QDense
from hgq2_training import resume, train


class Scaled(keras.losses.Loss):
    """Crossentropy with labels, times a factor.

    Args:
        factor: of the loss.
    """

    def __init__(self, factor: Annotated[float, Field(gt=0)] = 1.0, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.factor = factor

    def call(self, y_true: Any, y_pred: Any) -> Any:
        """Return the loss of each sample."""
        return self.factor * keras.losses.sparse_categorical_crossentropy(y_true, y_pred, from_logits=True)

    def get_config(self) -> dict[str, Any]:
        """Return the arguments."""
        return {**super().get_config(), "factor": self.factor}


class Right(keras.metrics.SparseCategoricalAccuracy):
    """An accuracy by another name."""

    def __init__(self, name: str = "right", dtype: str | None = None) -> None:
        super().__init__(name=name, dtype=dtype)


class Steps(keras.optimizers.SGD):
    """Gradient descent whose momentum has a default of its own.

    Args:
        learning_rate: size of a step.
        momentum: share of the former step in the next.
    """

    def __init__(
        self,
        learning_rate: Annotated[float, Field(gt=0)] = 0.1,
        momentum: Annotated[float, Field(ge=0, lt=1)] = 0.5,
        **kwargs: Any,
    ) -> None:
        super().__init__(learning_rate, momentum=momentum, **kwargs)


class Halving(keras.optimizers.schedules.LearningRateSchedule):
    """Half the rate after some steps.

    Args:
        rate: at first.
        steps: until it is halved.
    """

    def __init__(self, rate: Annotated[float, Field(gt=0)], steps: Annotated[int, Field(ge=1)] = 8) -> None:
        super().__init__()
        self.rate, self.steps = rate, steps

    def __call__(self, step: Any) -> Any:
        """Return the rate of a step."""
        return keras.ops.where(keras.ops.cast(step, "int32") < self.steps, self.rate, self.rate / 2)

    def get_config(self) -> dict[str, Any]:
        """Return the arguments."""
        return {"rate": self.rate, "steps": self.steps}


OFFERED = {
    "losses": {"mine.scaled": Scaled, "mine.huber": Scaled},
    "metrics": {"mine.right": Right},
    "optimizers": {"mine.steps": Steps},
    "schedules": {"mine.halving": Halving},
}


@pytest.fixture(autouse=True)
def offered():
    with registered(**OFFERED):
        yield


def config(**training: Any) -> dict[str, Any]:
    document = yaml.safe_load(CONFIG)
    document["training"] |= {
        "loss": {"kind": "scaled", "factor": 2.0},
        "metrics": ["right", "accuracy"],
        "optimizer": {"kind": "mine.steps", "learning_rate": {"kind": "halving", "rate": 0.25}},
        **training,
    }
    return document


def test_a_config_names_them_and_holds_their_full_kinds():
    training = ModelConfig.parse(config()).to_dict()["training"]
    assert training["loss"] == {"kind": "mine.scaled", "factor": 2.0}
    assert training["metrics"] == [{"kind": "mine.right"}, {"kind": "accuracy"}]
    assert training["optimizer"]["kind"] == "mine.steps"


def test_a_name_of_keras_stays_that_of_keras():
    training = ModelConfig.parse(config(loss="huber")).training
    assert training.loss.kind == "huber"
    assert ModelConfig.parse(config(loss="mine.huber")).training.loss.kind == "mine.huber"


@pytest.mark.parametrize(
    ("training", "message"),
    [
        ({"loss": {"kind": "scaled", "factor": 0}}, "training.loss.factor: must be greater than 0. Received: 0 (int)."),
        ({"loss": {"kind": "scaled", "factor": "2"}}, "training.loss.factor: must be a number. Received: '2' (str)."),
        (
            {"loss": {"kind": "scaled", "facto": 2}},
            "training.loss: unknown argument 'facto'. Allowed: factor. Did you mean 'factor'?",
        ),
        (
            {"optimizer": {"kind": "steps", "learning_rate": {"kind": "halving", "rate": 0.1, "steps": 0}}},
            "training.optimizer.learning_rate.steps: must be greater than or equal to 1. Received: 0 (int).",
        ),
        (
            {"optimizer": {"kind": "steps", "momentum": 1.5, "learning_rate": {"kind": "halving", "rate": 0.1}}},
            "training.optimizer.momentum: must be less than 1. Received: 1.5 (float).",
        ),
        (
            {"loss": "mine.scald"},
            "training.loss: unknown loss kind. Received: 'mine.scald'. Allowed: mine.huber, mine.scaled, and those of "
            "Keras (hgq2 list losses). Did you mean 'mine.scaled'?",
        ),
    ],
)
def test_what_is_wrong_is_refused_with_its_place(training, message):
    with pytest.raises(ConfigError) as caught:
        ModelConfig.parse(config(**training), "digits.yaml")
    assert str(caught.value).splitlines()[0].removeprefix("digits.yaml: ") == message


def test_a_plugin_that_cannot_be_imported_is_the_cause():
    with registered(losses={"other.broken": "no_such_module:Loss"}), pytest.raises(PluginError, match="no_such_module"):
        ModelConfig.parse(config(loss="other.broken"))


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    with registered(**OFFERED):
        return train(ModelConfig.parse(config(epochs=2)), tmp_path_factory.mktemp("runs") / "run")


def test_a_training_uses_them(run):
    history = json.loads((run.directory / "history.json").read_text())
    assert [epoch["right"] for epoch in history] == [epoch["accuracy"] for epoch in history]
    assert run.verification.mismatches == 0


def test_a_resumed_training_gives_the_same_weights(run, tmp_path):
    train(ModelConfig.parse(config(epochs=1)), tmp_path / "run")
    again = resume(tmp_path / "run", epochs=2)
    weights = [load_model(each.directory / "model.keras").get_weights() for each in (run, again)]
    assert all(np.array_equal(*both) for both in zip(*weights, strict=True))


@pytest.mark.parametrize("load", [load_model, keras.saving.load_model], ids=["ours", "Keras"])
def test_a_saved_model_has_them_again(run, load):
    model = load(run.directory / "model.keras", compile=True)
    optimizer = model.optimizer.weight_optimizer
    assert (type(model.loss), model.loss.factor) == (Scaled, 2.0)
    assert (type(optimizer), optimizer.momentum) == (Steps, 0.5)
    rate = model.optimizer.get_config()["optimizer"]["config"]["learning_rate"]
    assert (rate["registered_name"], rate["config"]) == ("mine.schedules>halving", {"rate": 0.25, "steps": 8})
    assert type(keras.optimizers.get(model.optimizer.get_config()["optimizer"])) is Steps


def test_a_saved_model_needs_the_plugin_only_to_be_compiled(run, monkeypatch):
    monkeypatch.delitem(registry()._specs["losses"], "mine.scaled")
    load_model(run.directory / "model.keras")
    with pytest.raises(ModelFileError, match=r"compile_config\.loss\.registered_name: unknown loss kind"):
        load_model(run.directory / "model.keras", compile=True)


def compiled(loss: dict[str, Any]) -> dict[str, Any]:
    return {"module": __name__, "class_name": "Scaled", "config": {}, "registered_name": "mine.losses>scaled", **loss}


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"module": "os"}, "class and kind do not belong together"),
        ({"class_name": "Right"}, "class and kind do not belong together"),
        ({"registered_name": "mine.losses>no_such"}, "unknown loss kind. Received: 'mine.no_such'"),
        ({"registered_name": "mine.layers>scaled"}, "a class that is not allowed here"),
        ({"config": {"factor": 1 << 30}}, "must be a number from"),
    ],
)
def test_a_file_names_no_other_class(tmp_path, change, message):
    model = keras.Sequential([keras.Input((3,)), QDense(2)])
    model.compile("sgd", loss=Scaled())
    model.save(tmp_path / "m.keras")
    changed_loss(tmp_path / "m.keras", compiled(change))
    with pytest.raises(ModelFileError, match=message):
        load_model(tmp_path / "m.keras", compile=True)


def changed_loss(path, loss):
    import zipfile

    with zipfile.ZipFile(path) as archive:
        members = {name: archive.read(name) for name in archive.namelist()}
    document = json.loads(members["config.json"])
    document["compile_config"]["loss"] = loss
    members["config.json"] = json.dumps(document).encode()
    with zipfile.ZipFile(path, "w") as archive:
        for name, data in members.items():
            archive.writestr(name, data)


def test_a_layer_cannot_be_given_a_loss(tmp_path):
    assert saved_kind("mine.losses>scaled") == ("losses", "mine.scaled")
    assert saved_kind("hgq2>QLayer") is None


def test_the_json_schema_has_them():
    definitions = hgq2_core.json_schema()["$defs"]
    loss = next(entry for entry in definitions["loss"]["oneOf"] if entry.get("title") == "Scaled")
    assert loss["properties"]["kind"]["enum"] in (["mine.huber"], ["mine.scaled", "scaled"])
    assert loss["properties"]["factor"]["exclusiveMinimum"] == 0
    optimizer = next(entry for entry in definitions["optimizer"]["oneOf"] if entry.get("title") == "Steps")
    assert {"$ref": "#/$defs/schedule"} in optimizer["properties"]["learning_rate"]["anyOf"]
    assert "bit_learning_rate_scale" in optimizer["properties"]
    assert any(
        "halving" in entry.get("properties", {}).get("kind", {}).get("enum", ())
        for entry in definitions["schedule"]["oneOf"]
    )


def test_they_are_listed_before_those_of_keras_and_shown():
    assert hgq2("list", "schedules").stdout.split()[:2] == ["schedules", "mine.halving"]
    assert "cosine_decay" in hgq2("list", "schedules").stdout
    assert "mine.scaled, a loss of" in hgq2("show", "scaled").stdout
    assert "huber, a loss of keras" in hgq2("show", "huber").stdout
    assert "mine.huber, a loss of" in hgq2("show", "mine.huber").stdout


def test_a_step_of_bits_is_taken_by_a_copy_of_the_plugins_optimizer():
    optimizer = BitOptimizer(Steps(learning_rate=0.5, momentum=0.0), 4.0)
    again = BitOptimizer.from_config(json.loads(json.dumps(optimizer.get_config())))
    assert type(again.weight_optimizer) is type(again.bit_optimizer) is Steps
    assert again.get_config() == optimizer.get_config()


@pytest.mark.once
def test_listing_them_imports_no_backend():
    script = (
        "import sys; from hgq2_core.discovery.registry import registry; registry().names('losses'); "
        "print('keras' in sys.modules)"
    )
    process = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, timeout=60)
    assert process.stdout.split()[-1] == "False", process.stderr


@pytest.mark.parametrize(
    "group, word, name",
    [("losses", "mse", "mean_squared_error"), ("losses", "bce", "binary_crossentropy"), ("metrics", "acc", "accuracy")],
)
def test_abbreviations_lead_to_the_names(group: str, word: str, name: str) -> None:
    with pytest.raises(KindError, match=rf"Did you mean '{name}'\?"):
        class_by_name(group, word)
