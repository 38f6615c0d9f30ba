"""The end of a training says what it came to: its findings, whether it diverged, and which EBOPs are meant."""

from __future__ import annotations

import json
import math
from pathlib import Path
from types import SimpleNamespace

import keras
import numpy as np
import pytest

from hgq2_core import ConfigError
from hgq2_core.config.model import ModelConfig
from hgq2_core.data.splits import Split
from hgq2_layers import QDense
from hgq2_training.commands.outcome import outcome_lines
from hgq2_training.commands.progress import format_logs
from hgq2_training.runs.outcome import divergence, outcome
from hgq2_training.runs.results import recalibrate
from hgq2_training.runs.train import train

pytestmark = pytest.mark.once


def config(rate=0.05, epochs=2, callbacks=(), **optimizer):
    return ModelConfig.parse(
        {
            "defaults": {"activation": {"kind": "kif", "i": 3, "f": 3, "overflow_mode": "WRAP"}},
            "model": {
                "inputs": {"pixels": {"shape": [64]}},
                "layers": [
                    {"kind": "dense", "name": "hidden", "units": 4, "activation": "relu"},
                    {"kind": "dense", "name": "logits", "units": 10},
                ],
            },
            "data": {"kind": "digits"},
            "training": {
                "loss": {"kind": "sparse_categorical_crossentropy", "from_logits": True},
                "optimizer": {"kind": "sgd", "learning_rate": rate, **optimizer},
                "metrics": ["accuracy"],
                "epochs": epochs,
                "batch_size": 256,
                "callbacks": list(callbacks),
            },
        }
    )


def lines(run):
    return [line.plain for line in outcome_lines(run.metrics, Path("runs/a"))]


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    return train(config(), tmp_path_factory.mktemp("run") / "run")


def test_the_end_says_that_the_arithmetic_is_verified_and_not_that_the_model_is_good(run):
    shown = [line for line in outcome_lines(run.metrics, Path("runs/a")) if "mismatches" in line.plain]
    assert [line.plain for line in shown] == ["arithmetic verified: 0 mismatches in 449 samples"]
    assert shown[0].style == ""


def test_the_end_tells_the_ebops_before_calibration(run):
    before, after = run.metrics["ebops_before_calibration"], run.metrics["ebops"]
    history = json.loads((run.directory / "history.json").read_text())
    assert before == history[-1]["ebops"] != after
    assert f"EBOPs {after:,.0f} ({before:,.0f} before calibration); trained in" in lines(run)[0]


def test_calibrating_again_keeps_the_ebops_before_calibration(run):
    assert recalibrate(run.directory).metrics["ebops_before_calibration"] == run.metrics["ebops_before_calibration"]


def test_findings_stand_in_the_metrics_and_in_a_line_each(run):
    findings = json.loads((run.directory / "metrics.json").read_text())["findings"]
    assert findings == run.metrics["findings"]
    shown = lines(run)[2:]
    assert len(shown) == len(findings) + 1
    assert shown[-1] == ("remedies: hgq2 doctor runs/a" if findings else "doctor: nothing to report")
    assert all(line.startswith(each["severity"]) for line, each in zip(shown, findings, strict=False))


METRICS = {
    "test": {"accuracy": 0.5, "loss": None},
    "ebops": 12345.0,
    "seconds": 1.25,
    "verify": {"mismatches": 0, "samples": 4755},
}
SEEN = "all 20 weights are 0"
FINDING = {"severity": "warning", "layer": "logits", "slot": "kernel", "seen": SEEN, "remedy": "Train."}


def test_what_is_shown_of_a_run_of_before():
    assert [line.plain for line in outcome_lines(METRICS, Path("a"))] == [
        "test: accuracy 0.5000, loss nan; EBOPs 12,345; trained in 1.2 s",
        "arithmetic verified: 0 mismatches in 4,755 samples",
    ]


def test_what_is_shown_of_findings_and_mismatches():
    metrics = {
        **METRICS,
        "verify": {"mismatches": 1234, "samples": 4755},
        "findings": [{**FINDING, "severity": "error"}, FINDING, {**FINDING, "layer": "", "slot": None}],
    }
    found = list(outcome_lines(metrics, Path("a")))[1:]
    assert [line.plain for line in found] == [
        "arithmetic differs: 1,234 mismatches in 4,755 samples",
        "error logits.kernel: all 20 weights are 0. Train.",
        "warning logits.kernel: all 20 weights are 0",
        "warning inputs: all 20 weights are 0",
        "remedies: hgq2 doctor a",
    ]
    assert found[0].style == "red"


def test_what_is_shown_of_nothing_found_and_of_a_stopped_run():
    assert list(outcome_lines({**METRICS, "findings": []}, Path("a")))[-1].plain == "doctor: nothing to report"
    assert [line.plain for line in outcome_lines({}, Path("a"))] == [
        "No metrics: the run was stopped.",
        "To resume: hgq2 train -o a --resume. To finish it here: hgq2 calibrate a",
    ]


# --- divergence ------------------------------------------------------------------------------------------------------


def test_a_run_at_chance_is_named_first(tmp_path):
    found = train(config(rate=1e4, epochs=1), tmp_path / "run")
    first = found.metrics["findings"][0]
    accuracy = found.metrics["test"]["accuracy"]
    assert accuracy < 0.15
    assert first["seen"] == (
        f"test accuracy {accuracy:.4f} is no better than always answering the most frequent class, "
        f"{first['numbers']['chance']:.4f}"
    )
    assert lines(found)[2].startswith("error ")
    assert "a smaller learning rate" in lines(found)[2]


def test_an_accuracy_just_above_chance_is_not_called_below_it():
    test = Split(np.zeros((100, 1)), np.repeat([0, 1], [70, 30]))
    seen = [found.seen for found in outcome(SimpleNamespace(name="model"), test, {"accuracy": 0.75})]
    assert seen == [
        "test accuracy 0.7500 cannot be told, by 100 samples, from always answering the most frequent class, 0.7000"
    ]


class Lose(keras.callbacks.Callback):
    """Makes the weights what a loss of NaN makes of them."""

    def on_epoch_end(self, epoch, logs=None):
        self.model.layers[-1].bias.assign(np.full(10, np.nan))


@pytest.mark.parametrize("callbacks", [[], ["pareto_front"]], ids=["plain", "pareto_front"])
def test_a_run_that_ends_in_nan_says_so(callbacks, tmp_path):
    with pytest.raises(ConfigError) as caught:
        train(config(callbacks=callbacks), tmp_path / "run", callbacks=[Lose()])
    message = str(caught.value)
    assert message.startswith("training: diverged. ")
    assert message.endswith("Train again with a smaller training.optimizer.learning_rate, or with clipnorm.")
    assert not (tmp_path / "run" / "metrics.json").exists()


def test_divergence_says_since_when():
    model = keras.Sequential([keras.Input((2,)), keras.layers.Dense(1, name="only")], name="model")
    history = [{"epoch": 0, "loss": 1.0}, {"epoch": 1, "loss": math.nan}, {"epoch": 2, "loss": None}]
    assert divergence(model, history) == ""
    model.layers[0].bias.assign([math.inf])
    assert divergence(model, history) == (
        "training: diverged. 1 variables hold NaN or infinite values, model/only/bias first. The loss is not finite "
        "from epoch 2 on. Train again with a smaller training.optimizer.learning_rate, or with clipnorm."
    )


TARGETS = {
    "labels": np.repeat([0, 1], [60, 40]),
    "column": np.repeat([0, 1], [60, 40])[:, None],
    "one_hot": np.eye(2)[np.repeat([0, 1], [60, 40])],
}


@pytest.mark.parametrize("y", TARGETS.values(), ids=TARGETS)
@pytest.mark.parametrize(("accuracy", "named"), [(0.1, True), (0.69, True), (0.71, False), (math.nan, True)])
def test_chance_is_the_most_frequent_class(y, accuracy, named):
    model = keras.Sequential([keras.Input((2,)), QDense(1)], name="model")
    metrics = {"accuracy": accuracy, "top_k_categorical_accuracy": 0.1, "loss": 0.1}
    model.compile(loss="mse")
    test = Split(np.ones((100, 2), np.float32), y)
    found = [each.check.name for each in outcome(model, test, metrics) if each.check.name == "at_chance"]
    assert found == ["at_chance"] * named


# --- the bar ---------------------------------------------------------------------------------------------------------


def test_the_bar_says_which_ebops_it_shows():
    logs = {"loss": 1.0, "val_accuracy": 0.97314, "val_loss": 0.5, "ebops": 49936.4}
    assert format_logs(logs, 48, "uncalibrated EBOPs") == "val_accuracy 0.9731  uncalibrated EBOPs 49,936"
