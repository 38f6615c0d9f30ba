"""What the end of a run says of the training: divergence, dead outputs, metrics and bits, each in a line."""

from __future__ import annotations

import math
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import keras
import numpy as np
import pytest

from hgq2_core.config.model import ModelConfig
from hgq2_core.data.splits import Split
from hgq2_core.diagnosis.report import Check, Finding
from hgq2_training.runs.outcome import (
    dead_outputs,
    imbalance,
    outcome,
    rising_loss,
    still_moving,
    unsuitable_metrics,
    worst_first,
)
from hgq2_training.runs.train import train

MODEL: Any = SimpleNamespace(name="model")


def history(*costs: float) -> list[dict[str, Any]]:
    return [{"epoch": epoch, "ebops": cost} for epoch, cost in enumerate(costs)]


def test_bits_that_the_last_epochs_still_move_are_told() -> None:
    (finding,) = still_moving(MODEL, history(*[200.0] * 18, 150.0, 100.0))
    assert finding.seen == "the last epochs still move the bits: EBOPs changed by -50% in the last 2 of 20 epochs"
    assert finding.numbers == {"before": 200.0, "after": 100.0}


def test_bits_that_have_settled_are_not_told_nor_is_a_short_training() -> None:
    assert still_moving(MODEL, history(*[1000] * 15, *[100.0] * 5)) == []
    assert still_moving(MODEL, history(*range(100, 90, -1))) == []
    assert still_moving(MODEL, []) == []


def split(*counts: int) -> Split:
    y = np.repeat(np.arange(len(counts)), counts)
    return Split(np.zeros((len(y), 1), np.float32), y)


@pytest.mark.parametrize("name", ["acc", "accuracy", "sparse_categorical_accuracy"])
def test_an_accuracy_on_a_rare_class_is_told(name: str) -> None:
    (finding,) = imbalance("model", split(95, 5), {"loss": 0.1, name: 0.95})
    assert finding.seen == (
        "accuracy says little of the rarest class, which has 5 test samples; the most frequent has 95"
    )


def test_classes_of_like_size_and_other_metrics_are_not_told() -> None:
    assert imbalance("model", split(60, 40), {"loss": 0.1, "accuracy": 0.9}) == []
    assert imbalance("model", split(95, 5), {"loss": 0.1, "accuracy": 0.9, "recall": 0.2}) == []
    assert imbalance("model", split(95, 5), {"loss": 0.1, "balanced_accuracy": 0.5}) == []
    assert imbalance("model", split(95, 5), {"loss": 0.1}) == []


def test_each_of_several_outputs_is_judged_by_itself() -> None:
    inputs = keras.Input((1,))
    outputs = [keras.layers.Dense(1, name=name)(inputs) for name in ("energy", "label")]
    model = keras.Model(inputs, outputs)
    rare = split(95, 5)
    test = Split(rare.x, [np.linspace(0.0, 1.0, 100), rare.y])
    metrics = {"loss": 1.0, "energy_loss": 0.5, "energy_mean_absolute_error": 0.1, "label_accuracy": 0.95}
    found = outcome(model, test, metrics)
    assert [(finding.check.name, finding.layer) for finding in found] == [
        ("at_chance", "label"),
        ("imbalance", "label"),
    ]


# --- a training that diverges ----------------------------------------------------------------------------------------


def losses(*values: float | None, **more: float) -> list[dict[str, Any]]:
    return [{"epoch": epoch, "loss": value, **more} for epoch, value in enumerate(values)]


def test_a_loss_that_ends_above_its_beginning_is_told() -> None:
    (finding,) = rising_loss(MODEL, losses(1.0, 0.5, 2.0, 4.0))
    assert finding.seen == (
        "the loss ended at 4.0000, above the 1.0000 of the first epoch; the smallest was 0.5000 in epoch 2"
    )
    assert (finding.check.name, finding.severity) == ("diverged", "warning")


def test_a_loss_that_was_not_finite_is_told() -> None:
    (finding,) = rising_loss(MODEL, losses(1.0, None, math.inf, 0.5))
    assert finding.seen == "the loss was not finite in 2 of 4 epochs, first in epoch 2"


def test_a_loss_that_rises_with_the_price_of_the_bits_is_not_told() -> None:
    history = [{"loss": 1.0, "ebops": 1000.0, "ebops_beta": 0.0}, {"loss": 5.5, "ebops": 500.0, "ebops_beta": 0.01}]
    assert rising_loss(MODEL, history) == []
    assert rising_loss(MODEL, [{**logs, "ebops_beta": 0.0} for logs in history]) != []


def test_a_loss_that_falls_or_moves_a_little_is_not_told() -> None:
    assert rising_loss(MODEL, losses(1.0, 0.5, 1.4)) == []
    assert rising_loss(MODEL, losses(1.0)) == rising_loss(MODEL, []) == []


# --- dead outputs ----------------------------------------------------------------------------------------------------


def output(**found: Any) -> dict[str, dict[str, Any]]:
    return {"logits": {"samples": 100, "constant": 0, "of": 3, "low": -2.0, "high": 3.0, **found}}


def test_classes_that_are_never_predicted_are_told() -> None:
    confusion = [[50, 0, 0], [20, 0, 5], [0, 0, 25]]
    (finding,) = dead_outputs(output(kind="classes", classes=["a", "b", "c"], confusion=confusion))
    assert (finding.layer, finding.seen) == ("logits", "1 of 3 classes are never predicted: b")


def test_a_class_that_has_no_samples_need_not_be_predicted() -> None:
    confusion = [[50, 0, 0], [0, 0, 0], [0, 0, 25]]
    assert dead_outputs(output(kind="classes", classes=["a", "b", "c"], confusion=confusion)) == []


def test_numbers_that_never_change_are_told() -> None:
    (finding,) = dead_outputs(output(constant=1))
    assert finding.seen == "1 of its 3 numbers are the same for all 100 test samples"


# --- unsuitable metrics ----------------------------------------------------------------------------------------------


def test_an_accuracy_of_numbers_is_told() -> None:
    (finding,) = unsuitable_metrics(MODEL, {"loss": 1.0, "accuracy": 0.0}, output(kind="values"))
    assert finding.seen == "accuracy counts equal numbers, and the targets of this output are no classes"
    assert unsuitable_metrics(MODEL, {"mean_absolute_error": 0.1}, output(kind="values")) == []
    assert unsuitable_metrics(MODEL, {"accuracy": 0.9}, output(kind="classes")) == []


def test_of_several_outputs_the_metric_of_each_is_judged() -> None:
    outputs = {**output(kind="values"), "kind": output(kind="classes")["logits"]}
    metrics = {"logits_accuracy": 0.0, "kind_accuracy": 0.9}
    assert [finding.layer for finding in unsuitable_metrics(MODEL, metrics, outputs)] == ["logits"]


@pytest.mark.parametrize(
    ("metric", "told"),
    [
        (keras.metrics.BinaryAccuracy(), True),
        (keras.metrics.BinaryAccuracy(threshold=0.0), False),
        (keras.metrics.AUC(name="auc"), True),
        (keras.metrics.AUC(from_logits=True), False),
        (keras.metrics.Precision(), True),
        (keras.metrics.Recall(thresholds=0.0), False),
        (keras.metrics.MeanSquaredError(), False),
    ],
    ids=lambda each: getattr(each, "name", str(each)),
)
def test_a_threshold_for_probabilities_on_logits_is_told(metric: keras.metrics.Metric, told: bool) -> None:
    model: Any = SimpleNamespace(name="model", metrics=[SimpleNamespace(name="compile_metrics", metrics=[metric])])
    found = unsuitable_metrics(model, {metric.name: 0.5}, output(kind="classes", of=1))
    assert [finding.seen for finding in found] == [
        f"{metric.name} takes outputs for probabilities, and these are from -2 to 3"
    ] * told
    assert unsuitable_metrics(model, {metric.name: 0.5}, output(kind="classes", of=1, low=0.0, high=1.0)) == []


def test_what_is_worst_comes_first() -> None:
    found = [*dead_outputs(output(constant=1)), Finding(Check("any", "error", "Do."), "", None, "seen")]
    assert [finding.severity for finding in worst_first(found)] == ["error", "warning"]


def test_they_are_told_of_a_whole_run(tmp_path: Path) -> None:
    """A class that an imbalance hides: never predicted, with an accuracy that counts logits above 0.5."""
    rng = np.random.default_rng(0)
    np.savez(tmp_path / "rare.npz", x=rng.normal(size=(400, 3)).astype(np.float32), y=np.arange(400) % 20 == 0)
    config = ModelConfig.parse(
        {
            "model": {"inputs": {"x": {"shape": [3]}}, "layers": [{"kind": "dense", "name": "logit", "units": 1}]},
            "data": {"kind": "npz", "path": str(tmp_path / "rare.npz")},
            "training": {
                "loss": {"kind": "binary_crossentropy", "from_logits": True},
                "optimizer": {"kind": "sgd", "learning_rate": 1.0},
                "metrics": ["accuracy"],
                "epochs": 4,
            },
        }
    )
    found = train(config, tmp_path / "run").metrics["findings"]
    names = [each["check"] for each in found]
    assert {"at_chance", "dead_output", "metric_of_logits", "imbalance"} <= set(names)
    assert names[0] == "at_chance"
    (dead,) = [each for each in found if each["check"] == "dead_output"]
    assert (dead["layer"], dead["seen"]) == ("logit", "1 of 2 classes are never predicted: 1")
