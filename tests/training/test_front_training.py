"""`training.front`: a front from one training, whose models are fine-tuned with their bits held."""

from __future__ import annotations

import math
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import keras
import numpy as np
import pytest
import yaml
from typer.testing import CliRunner

from hgq2_core import ModelConfig, ebops, load_model
from hgq2_core.cli.main import app
from hgq2_core.config.budget import FrontSection
from hgq2_core.errors import ConfigError
from hgq2_core.files import read_json
from hgq2_core.quantizers.bit_variables import is_bit_variable
from hgq2_training.callbacks import throttle
from hgq2_training.callbacks.front_training import FrontTraining
from hgq2_training.callbacks.values import value_of
from hgq2_training.runs import train as training_run
from hgq2_training.runs.directory import CHECKPOINT, load, load_checkpoint
from hgq2_training.runs.front import read_front
from hgq2_training.runs.results import Run
from hgq2_training.runs.train import resume, train

EPOCHS, TUNED = 12, 4

DOCUMENT = yaml.safe_load(f"""\
defaults:
  weight: {{kind: kbi, b: 6, i: 0}}
  activation: {{kind: kif, i: 3, f: 3, overflow_mode: WRAP}}
model:
  inputs: {{pixels: {{shape: [64]}}}}
  layers:
    - {{kind: dense, name: hidden, units: 3, activation: relu}}
    - {{kind: dense, name: logits, units: 10}}
data: {{kind: digits}}
training:
  optimizer: {{kind: adam, learning_rate: 0.02}}
  loss: {{kind: sparse_categorical_crossentropy, from_logits: true}}
  metrics: [accuracy]
  epochs: {EPOCHS}
  batch_size: 128
  front: {{ebops: [2300, 3500], finetune_epochs: 2}}
""")


def config(**training: Any) -> ModelConfig:
    return ModelConfig.parse({**DOCUMENT, "training": {**DOCUMENT["training"], **training}})


class BitsOfEpochs(keras.callbacks.Callback):
    """Keep bits and learning rate at the end of every epoch."""

    def __init__(self) -> None:
        super().__init__()
        self.bits: list[list[Any]] = []
        self.rates: list[float] = []

    def on_epoch_end(self, epoch: int, logs: Any = None) -> None:
        self.bits.append([value_of(each).tolist() for each in self.model.trainable_variables if is_bit_variable(each)])
        self.rates.append(float(self.model.optimizer.learning_rate))


class Kill(keras.callbacks.Callback):
    def __init__(self, epoch: int) -> None:
        super().__init__()
        self.epoch = epoch

    def on_epoch_begin(self, epoch: int, logs: Any = None) -> None:
        if epoch == self.epoch:
            raise KeyboardInterrupt


@pytest.fixture(scope="module")
def epochs() -> BitsOfEpochs:
    return BitsOfEpochs()


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory, epochs: BitsOfEpochs) -> Run:
    return train(config(), tmp_path_factory.mktemp("front") / "run", callbacks=[epochs])


def test_the_cost_falls_and_then_each_model_keeps_its_bits(run: Run, epochs: BitsOfEpochs) -> None:
    costs = [logs["ebops"] for logs in read_json(run.directory / "history.json", [])]
    assert costs[EPOCHS - TUNED - 1] < costs[0] / 2
    first, second = epochs.bits[-TUNED:-2], epochs.bits[-2:]
    assert first[0] == first[1] and second[0] == second[1] != first[0]
    # Trimmed: never more bits than in its epoch of the descent, and by far fewer in all.
    flat = [np.concatenate([np.ravel(each) for each in bits]) for bits in (*epochs.bits[:-TUNED], first[0], second[0])]
    for trimmed in flat[-2:]:
        ratios = [trimmed.sum() / bits.sum() for bits in flat[:-2] if (trimmed <= bits + 0.5).all()]
        assert ratios and min(ratios) < 0.9


def test_the_learning_rate_is_constant_and_then_falls_anew_for_each_model(epochs: BitsOfEpochs) -> None:
    assert epochs.rates[:-TUNED] == pytest.approx([0.02] * (EPOCHS - TUNED))
    first, second = epochs.rates[-TUNED:-2], epochs.rates[-2:]
    assert first == second and 0.02 > first[0] > first[1] > 0


def test_the_run_holds_the_recommended_model_and_the_front_calibrated_costs(run: Run) -> None:
    points = read_front(run.directory)
    assert run.verification.ok
    assert any(point.epoch >= EPOCHS - TUNED for point in points)
    assert all(ebops(load_model(point.path)) == point.ebops for point in points)
    history = read_json(run.directory / "history.json", [])
    assert all(history[point.epoch]["val_accuracy"] == point.metrics["val_accuracy"] for point in points)
    best = run.metrics["recommended"]
    assert run.metrics["ebops"] == best["metrics"]["ebops"] == ebops(load(run.directory))
    assert "val_accuracy" in best["reason"]


@pytest.mark.parametrize("epoch", [5, 11])
def test_a_killed_run_ends_as_an_undisturbed_one(
    run: Run, epoch: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with monkeypatch.context() as patch:
        patch.setattr(throttle, "SHARE", 1.0)  # every epoch is written
        patch.setattr(training_run, "_save_last_epoch", lambda *arguments: None)  # as if killed
        with pytest.raises(KeyboardInterrupt):
            train(config(), tmp_path / "run", callbacks=[Kill(epoch)])
    checkpoint = load_checkpoint(tmp_path / "run")
    assert checkpoint is not None and checkpoint.epoch == epoch
    resumed = resume(tmp_path / "run")
    assert {**resumed.metrics, "seconds": 0} == {**run.metrics, "seconds": 0}
    wanted, found = (load_checkpoint(each.directory) for each in (run, resumed))
    assert wanted is not None and found is not None
    assert [value.tolist() for value in found.variables] == [value.tolist() for value in wanted.variables]
    fronts = [read_json(each.directory / "front" / "front.json", {}) for each in (run, resumed)]
    assert fronts[0] == fronts[1] != {}


def test_an_interrupted_run_has_the_recommended_model_so_far(tmp_path: Path) -> None:
    with pytest.raises(KeyboardInterrupt):
        train(config(), tmp_path / "run", callbacks=[Kill(6)])
    assert ebops(load(tmp_path / "run")) == ebops(load(tmp_path / "run", front="best"))
    assert (tmp_path / "run" / CHECKPOINT).is_file()


def test_other_epochs_are_refused_once_a_front_has_begun(run: Run) -> None:
    with pytest.raises(ConfigError, match=r"the epochs of a front are planned before the first. Received: epochs=20"):
        resume(run.directory, epochs=20)


def test_the_command_says_which_model_it_recommends(tmp_path: Path) -> None:
    file = tmp_path / "small.yaml"
    file.write_text(yaml.safe_dump(config(epochs=4, front={"points": 1}).to_dict()))
    done = CliRunner().invoke(app, ["train", str(file), "-o", str(tmp_path / "run")])
    assert done.exit_code == 0, done.output
    assert "recommended: --front" in done.output


@pytest.mark.parametrize(
    ("front", "epochs", "count", "tuned"),
    [
        ({}, 100, 8, 24),
        ({"points": 4}, 100, 4, 28),
        ({"ebops": [1000, 2000, 4000]}, 10, 3, 3),
        ({"points": 8, "finetune_epochs": 3}, 60, 8, 24),
    ],
)
def test_epochs_are_shared_between_the_models(front: dict[str, Any], epochs: int, count: int, tuned: int) -> None:
    section = FrontSection(**front)
    assert (section.count, section.tuning_epochs(epochs)) == (count, tuned)


@pytest.mark.parametrize(
    ("training", "message"),
    [
        ({"budget": {"ebops": 9}}, "training.budget: one model is wanted, or a front. Leave one of them out."),
        ({"schedule": "cosine"}, "training.schedule: a front sets the learning rate itself. Leave one of them out."),
        (
            {"stop_if": {"metric": "ebops", "below": 9}},
            "training.stop_if: a front needs all epochs. Leave one of them out.",
        ),
        (
            {"front": {"points": 3, "ebops": [1, 2]}},
            "training.front.points: `ebops` says how many there are. Leave one of them out.",
        ),
        ({"front": {"ebops": [10, 10.0]}}, "training.front.ebops: names a cost twice."),
        (
            {"front": {}},
            "training.front: tunes 8 models in 8 epochs, which leaves less than half of 12. "
            "Take more epochs or fewer models.",
        ),
        (
            {"callbacks": [{"kind": "beta_schedule", "points": [[0, 1e-7]]}]},
            "training.callbacks.0: training.front sets the price of bits itself. Leave one of them out.",
        ),
    ],
)
def test_what_contradicts_a_front_is_refused(training: dict[str, Any], message: str) -> None:
    with pytest.raises(ConfigError) as caught:
        config(**training)
    assert str(caught.value) == message


@pytest.mark.parametrize(
    ("data", "callbacks", "message"),
    [
        (
            {"kind": "digits", "validation_fraction": 0.0},
            [],
            "training.front: chooses by validation data. The data have no validation part: give them a "
            "`validation_fraction`.",
        ),
        (
            {"kind": "digits"},
            [{"kind": "pareto_front"}],
            "training.callbacks.0: training.front keeps a front itself. Leave one of them out.",
        ),
    ],
)
def test_what_a_front_needs_is_checked_before_training(
    data: dict[str, Any], callbacks: list[Any], message: str, tmp_path: Path
) -> None:
    wrong = ModelConfig.parse({**config(callbacks=callbacks).to_dict(), "data": data})
    with pytest.raises(ConfigError) as caught:
        train(wrong, tmp_path / "run")
    assert str(caught.value) == message


def test_an_epoch_whose_metric_is_no_number_is_not_kept() -> None:
    measuring: Any = SimpleNamespace(front=SimpleNamespace(directions={"val_loss": "min", "ebops": "min"}))
    training = FrontTraining(measuring, [100.0], 1)
    training.set_model(SimpleNamespace(variables=[]))
    training.set_state({"values": [[]], "starts": [[]]})
    for loss in (math.nan, 0.5, 0.7, math.nan):
        training._keep({"val_loss": loss, "ebops": 50.0})
    assert training.get_state()["values"] == [[-0.5]]
