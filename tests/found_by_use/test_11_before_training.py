"""Loss, labels, units, metrics and monitors are checked before training; a user's mistake is never called a defect."""

from __future__ import annotations

import copy
import json
from pathlib import Path
from typing import Any

import keras
import numpy as np
import pytest
import yaml
from typer.testing import CliRunner

from hgq2_core import ConfigError, HGQ2Error, Split, Splits
from hgq2_core.cli.main import app
from hgq2_core.config.model import ModelConfig
from hgq2_core.config.preflight.check import check_config, check_training
from hgq2_core.config.specs import LOSSES, OPTIMIZERS
from hgq2_training.runs.train import train

DOCUMENT: dict[str, Any] = {
    "model": {"inputs": {"pixels": {"shape": [64]}}, "layers": [{"kind": "dense", "name": "logits", "units": 10}]},
    "data": {"kind": "digits"},
    "training": {
        "loss": {"kind": "sparse_categorical_crossentropy", "from_logits": True},
        "metrics": ["accuracy"],
        "epochs": 1,
        "batch_size": 512,
    },
}
LABELS = "Received: integer labels from 0 to 9, outputs of shape [10]."


def units(number: int) -> dict[str, Any]:
    layers = [{"kind": "dense", "name": "logits", "units": number}]
    return {"inputs": {"pixels": {"shape": [64]}}, "layers": layers}


def document(model: Any = None, data: Any = None, **training: Any) -> dict[str, Any]:
    made = copy.deepcopy(DOCUMENT)
    made["model"], made["data"] = model or made["model"], data or made["data"]
    made["training"] |= training
    return made


def early(**arguments: Any) -> list[dict[str, Any]]:
    return [{"kind": "keras.EarlyStopping", **arguments}]


SCHEDULE = {"kind": "cosine_decay", "initial_learning_rate": 0.1, "decay_steps": 10}
TWO_OUTPUTS = {
    "inputs": {"pixels": {"shape": [64]}},
    "layers": [{"kind": "dense", "name": "a", "units": 5}, {"kind": "dense", "name": "b", "units": 10}],
    "outputs": ["a", "b"],
}
NO_VALIDATION = {"kind": "digits", "validation_fraction": 0.0}

MISTAKES = {
    "precision": (
        document(metrics=["accuracy", "precision"]),
        f"training.metrics.1: precision compares targets with outputs of the same shape. {LABELS} "
        "For labels there is accuracy.",
    ),
    "f1": (
        document(metrics=[{"kind": "f1_score"}]),
        f"training.metrics.0: f1_score compares targets with outputs of the same shape. {LABELS} "
        "For labels there is accuracy.",
    ),
    "one_hot_loss": (
        document(loss={"kind": "categorical_crossentropy", "from_logits": True}),
        f"training.loss: categorical_crossentropy compares targets with outputs of the same shape. {LABELS} "
        "For labels there is sparse_categorical_crossentropy.",
    ),
    "regression_loss": (
        document(loss="mean_squared_error"),
        f"training.loss: mean_squared_error compares targets with outputs of the same shape. {LABELS} "
        "For labels there is sparse_categorical_crossentropy.",
    ),
    "units": (
        document(model=units(5)),
        "model.outputs.logits: sparse_categorical_crossentropy takes labels from 0 to 4 for this output of 5. "
        "Received: labels from 0 to 9. Give it 10 units.",
    ),
    "binary": (
        document(model=units(1), loss="binary_crossentropy", metrics=[]),
        "training.loss: binary_crossentropy takes targets from 0 to 1. Received: targets from 0 to 9.",
    ),
    "monitor": (
        document(callbacks=early(monitor="nonsense")),
        "training.callbacks.0.monitor: no such name in the logs. Received: 'nonsense'. "
        "Allowed: accuracy, ebops, loss, val_accuracy, val_loss.",
    ),
    "monitor_without_validation": (
        document(data=NO_VALIDATION, callbacks=early()),
        "training.callbacks.0.monitor: no such name in the logs. Received: 'val_loss'. Allowed: accuracy, ebops, loss. "
        "Did you mean 'loss'? The data have no validation part: give them a `validation_fraction`.",
    ),
    "front": (
        document(metrics=[], callbacks=["pareto_front"]),
        "training.callbacks.0: no such name in the logs. Received: 'val_accuracy'. Allowed: ebops, loss, val_loss.",
    ),
    "direction": (
        document(callbacks=early(monitor="ebops")),
        "training.callbacks.0: Keras refuses it: EarlyStopping callback received monitor=ebops, but Keras isn't able "
        "to automatically determine whether that metric should be maximized or minimized. Pass `mode='max'` in order "
        "to monitor based on the highest metric value, or pass `mode='min'` in order to use the lowest value.",
    ),
    "schedule": (
        document(
            callbacks=[{"kind": "keras.ReduceLROnPlateau"}], optimizer={"kind": "adam", "learning_rate": SCHEDULE}
        ),
        "training.callbacks.0: keras.ReduceLROnPlateau sets the learning rate, which a schedule sets already. "
        "Give the optimizer a number as `learning_rate`, or leave the callback out.",
    ),
    "two_outputs": (
        document(model=TWO_OUTPUTS),
        "model.outputs: the data have one array of targets, the model gives a, b. Name the one to train in `outputs`.",
    ),
    "several": (
        document(model=units(5), metrics=["mean_squared_error"]),
        "training.metrics.0: mean_squared_error compares targets with outputs of the same shape. Received: integer "
        "labels from 0 to 9, outputs of shape [5]. For labels there is accuracy.\n"
        "model.outputs.logits: sparse_categorical_crossentropy takes labels from 0 to 4 for this output of 5. "
        "Received: labels from 0 to 9. Give it 10 units.",
    ),
}


@pytest.mark.parametrize("name", MISTAKES)
def test_what_does_not_go_together_is_said_by_validate_and_train(name: str, tmp_path: Path) -> None:
    mistake, message = MISTAKES[name]
    (tmp_path / "model.yaml").write_text(yaml.safe_dump(mistake))
    for command in (["validate"], ["train", "-o", str(tmp_path / "run")]):
        result = CliRunner().invoke(app, [*command, str(tmp_path / "model.yaml")])
        assert (result.exit_code, result.stderr) == (2, f"error: {message}\n")
    assert not (tmp_path / "run").exists()


GOOD = {
    "ignored_class": document(
        model=units(9), loss={"kind": "sparse_categorical_crossentropy", "from_logits": True, "ignore_class": 9}
    ),
    "more_units": document(model=units(12)),
    "one_unit": document(model=units(1), loss="mean_squared_error", metrics=["mean_absolute_error"]),
    "label_metrics": document(
        metrics=["sparse_categorical_accuracy", {"kind": "mean_io_u", "num_classes": 10, "sparse_y_pred": False}]
    ),
    "named_metric": document(
        metrics=[{"kind": "sparse_categorical_accuracy", "name": "mine"}],
        callbacks=early(monitor="val_mine", mode="max"),
    ),
    "cost": document(callbacks=early(monitor="ebops", mode="min")),
    "what_an_earlier_callback_logs": document(
        callbacks=[
            {"kind": "beta_schedule", "points": [[0, 1.0e-6]]},
            {"kind": "keras.ReduceLROnPlateau"},
            *early(monitor="ebops_beta", mode="min"),
            *early(monitor="learning_rate", mode="min"),
        ]
    ),
}


@pytest.mark.parametrize("name", GOOD)
def test_what_goes_together_is_accepted(name: str) -> None:
    config = ModelConfig.parse(GOOD[name])
    assert check_config(config, config.build()) is not None


def checked(y: Any, outputs: int, **training: Any) -> str:
    config = ModelConfig.parse({**document(model=units(outputs), **training)})
    part = Split(np.zeros((len(y), 64), np.float32), np.asarray(y))
    assert config.training is not None
    with pytest.raises(HGQ2Error) as error:
        check_training(config.training, config.build(), Splits(part, part))
    return str(error.value)


def test_targets_that_are_one_hot_or_no_integers_are_no_labels() -> None:
    assert checked(np.eye(3), 3) == (
        "training.loss: sparse_categorical_crossentropy takes one label for each row of outputs. Received: targets of "
        "shape [3], outputs of shape [3]. For targets of the shape of the outputs there is categorical_crossentropy."
    )
    assert checked([0.5, 1.0], 3) == (
        "training.loss: sparse_categorical_crossentropy takes labels, which are integers. "
        "Received: labels from 0.5 to 1."
    )
    assert checked([-1, 1], 3) == (
        "model.outputs.logits: sparse_categorical_crossentropy takes labels from 0 to 2 for this output of 3. "
        "Received: labels from -1 to 1."
    )


def test_what_no_rule_knows_is_tried_and_named_by_its_place() -> None:
    message = checked([0, 1], 1, loss="binary_crossentropy", metrics=["auc", "f1_score"])
    assert message.startswith("training.metrics.1: Keras refuses it: FBetaScore expects 2D inputs with shape")


def test_the_trial_leaves_no_trace(tmp_path: Path) -> None:
    config = ModelConfig.parse(document())
    model = config.build()
    before = [np.array(variable) for variable in model.variables]
    check_config(config, model)
    assert all(np.array_equal(a, np.array(b)) for a, b in zip(before, model.variables, strict=True))
    assert float(model.get_metrics_result()["accuracy"]) == 0
    assert not model.stop_training


class Foreign(keras.callbacks.Callback):
    """Logs what it does not announce."""

    def on_epoch_end(self, epoch: int, logs: Any = None) -> None:
        if logs is not None:
            logs["surprise"] = 1.0


def test_a_callback_that_does_not_say_what_it_logs_may_log_anything(monkeypatch: pytest.MonkeyPatch) -> None:
    config = ModelConfig.parse(document(callbacks=early(monitor="surprise", mode="min")))
    own = config.training.make_callbacks()  # type: ignore[union-attr]
    monkeypatch.setattr(type(config.training), "make_callbacks", lambda training: [Foreign(), *own])
    check_config(config, config.build())


# --- what is raised in the first batch -------------------------------------------------------------------------------


def test_what_keras_raises_in_the_first_batch_is_a_users_error(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("hgq2_training.runs.train.check_training", lambda training, model, _: training.compile(model))
    config = ModelConfig.parse(document(metrics=[{"kind": "f1_score"}]))
    with pytest.raises(ConfigError, match=r"^training: Keras refuses it: "):
        train(config, tmp_path / "run")


def test_what_keras_raises_in_compile_is_a_users_error(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    config = ModelConfig.parse(document())
    for kinds, message in (
        (LOSSES, r"^training.loss: Keras refuses it: Could not interpret loss identifier: 5"),
        (OPTIMIZERS, r"^training: Keras refuses it: Could not interpret optimizer identifier: 5"),
    ):
        with monkeypatch.context() as patch, pytest.raises(ConfigError, match=message):
            patch.setattr(kinds, "make", lambda entry: 5)
            patch.setattr("hgq2_core.optimizer.decays", lambda optimizer: False)
            train(config, tmp_path / "run")


@pytest.mark.parametrize("where", ["layer", "callback"])
def test_a_defect_of_ours_or_of_a_plugin_stays_one(where: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from hgq2_layers.core.dense import QDense
    from hgq2_training import BetaSchedule

    def fail(*arguments: Any, **options: Any) -> None:
        keras.ops.reshape(np.zeros(3), (7,))

    if where == "layer":
        monkeypatch.setattr(
            "hgq2_training.runs.train.fit_ranges", lambda *arguments: monkeypatch.setattr(QDense, "call", fail)
        )
    else:
        monkeypatch.setattr(BetaSchedule, "on_epoch_begin", fail)
    (tmp_path / "model.yaml").write_text(
        yaml.safe_dump(document(callbacks=[{"kind": "beta_schedule", "points": [[0, 1.0e-6]]}]))
    )
    result = CliRunner().invoke(app, ["train", str(tmp_path / "model.yaml"), "-o", str(tmp_path / "run")])
    assert result.exit_code == 3
    assert result.stderr.startswith("defect: ")


# --- validate opens the data -----------------------------------------------------------------------------------------


def test_validate_describes_the_data_and_leaves_them_alone_on_request(tmp_path: Path) -> None:
    path = tmp_path / "model.yaml"
    path.write_text(yaml.safe_dump(document()))
    shown = " ".join(CliRunner().invoke(app, ["validate", str(path)]).stdout.split())
    assert shown.partition(" parameters. ")[2] == (
        "data: 1168 train, 180 validation, 449 test samples; inputs [64], labels from 0 to 9."
    )
    data = json.loads(CliRunner().invoke(app, ["validate", str(path), "--json"]).stdout)["data"]
    assert (data["samples"], data["labels"]) == ({"train": 1168, "validation": 180, "test": 449}, [0, 9])
    path.write_text(yaml.safe_dump(document(data={"kind": "csv", "path": "nowhere.csv", "target": "t"})))
    result = CliRunner().invoke(app, ["validate", str(path)])
    assert (result.exit_code, result.stderr) == (2, "error: nowhere.csv: no such file\n")
    assert CliRunner().invoke(app, ["validate", str(path), "--no-data"]).exit_code == 0


def test_validate_and_train_say_what_became_of_the_data(tmp_path: Path) -> None:
    rng = np.random.default_rng(0)
    np.savez(tmp_path / "a.npz", x=rng.normal(size=(40, 64)), y=np.arange(40) % 2, weights=np.ones(40))
    path = tmp_path / "model.yaml"
    path.write_text(yaml.safe_dump(document(data={"kind": "npz", "path": str(tmp_path / "a.npz")})))
    note = f"note: {tmp_path / 'a.npz'}: unused arrays: weights. "
    for command in (["validate"], ["train", "-o", str(tmp_path / "run")]):
        result = CliRunner().invoke(app, [*command, str(path)])
        assert result.exit_code == 0, result.output
        assert note in result.stdout
