"""A training with a budget ends with a model whose calibrated EBOPs are within it."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import keras
import numpy as np
import pytest
import yaml
from typer.testing import CliRunner

from hgq2_core import BitOptimizer, ModelConfig, calibrate, ebops, trim_bits
from hgq2_core.cli.main import app
from hgq2_core.errors import BudgetError, ConfigError
from hgq2_core.exporting.luts import estimate_luts
from hgq2_core.model.number_format import format_count
from hgq2_layers import QDense
from hgq2_training.callbacks import budget, throttle
from hgq2_training.callbacks.budget import FULL
from hgq2_training.callbacks.checkpoint import Checkpoint
from hgq2_training.callbacks.cost_control import TRAVEL
from hgq2_training.commands.outcome import outcome_lines
from hgq2_training.runs import train as training_run
from hgq2_training.runs.directory import CHECKPOINT, load, load_checkpoint
from hgq2_training.runs.results import Run, recalibrate
from hgq2_training.runs.train import resume, train

COSINE = {"kind": "cosine_decay", "initial_learning_rate": 0.1, "decay_steps": 9}
EXAMPLES = Path(__file__).resolve().parents[2] / "examples"

DOCUMENT = yaml.safe_load("""\
defaults:
  weight: {kind: kbi, b: 6, i: 0}
  activation: {kind: kif, i: 3, f: 3, overflow_mode: WRAP}
model:
  inputs: {pixels: {shape: [64]}}
  layers:
    - {kind: dense, name: hidden, units: 3, activation: relu}
    - {kind: dense, name: logits, units: 10}
data: {kind: digits}
training:
  optimizer: {kind: adam, learning_rate: 0.03, bit_learning_rate_scale: 8}
  schedule: cosine
  loss: {kind: sparse_categorical_crossentropy, from_logits: true}
  metrics: [accuracy]
  epochs: 8
  batch_size: 256
  budget: {ebops: 1500}
""")


def document(**training: Any) -> dict[str, Any]:
    return {**DOCUMENT, "training": {**DOCUMENT["training"], **training}}


def config(**training: Any) -> ModelConfig:
    return ModelConfig.parse(document(**training))


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> Run:
    return train(config(), tmp_path_factory.mktemp("budget") / "run")


def test_the_saved_model_is_within_the_budget(run: Run) -> None:
    assert run.metrics["budget"] == {"ebops": 1500.0}
    assert FULL * 1500 <= run.metrics["ebops"] <= 1500
    assert ebops(load(run.directory)) == ebops(load(run.directory, frozen=True)) == run.metrics["ebops"]
    assert run.verification.ok


def test_bits_that_settled_leave_weights_room_and_the_saved_model_is_trimmed(run: Run) -> None:
    """The cost of trimmed models is what the budget counts, so that bits that no value uses are free."""
    data, trained, saved = config().load_data(), load(run.directory), load(run.directory)
    load_checkpoint(run.directory).restore(trained)
    calibrate(trained, data.train.x)
    assert ebops(trained) > 1500
    trim_bits(saved)
    calibrate(saved, data.train.x)
    assert ebops(saved) == run.metrics["ebops"]


def test_a_budget_of_luts_is_met_and_its_spread_is_said(tmp_path: Path) -> None:
    pytest.importorskip("alkaid.trace", reason="alkaid is not installed: make install")
    found = train(config(budget={"luts": 1500}), tmp_path / "run")
    assert found.metrics["budget"] == {"luts": 1500.0}
    assert found.metrics["luts"]["luts"] == estimate_luts(load(found.directory)).luts <= 1500
    lines = [str(line) for line in outcome_lines(found.metrics, found.directory)]
    assert any(line.startswith("budget: ") and "of 1,500 LUTs" in line for line in lines)
    assert any(line.startswith("LUTs are predicted") and "yosys" in line for line in lines)


def test_a_sample_that_costs_less_than_all_data_does_not_keep_a_run_from_its_budget(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(budget, "SAMPLES", 64)
    finished = train(config(), tmp_path / "run")
    assert FULL * 1500 <= finished.metrics["ebops"] <= 1500


def test_a_run_says_that_the_task_needs_less_than_the_budget(tmp_path: Path) -> None:
    finished = train(config(budget={"ebops": 100_000}, epochs=1), tmp_path / "run")
    lines = [str(line) for line in outcome_lines(finished.metrics, finished.directory)]
    cost = format_count(finished.metrics["ebops"])
    assert f"budget: {cost} of 100,000 EBOPs: the task needs no more" in lines


def test_a_margin_that_breaks_the_budget_is_refused(run: Run) -> None:
    with pytest.raises(BudgetError, match=r"^training.budget: calibrated with a margin of 3 bits, the model has"):
        recalibrate(run.directory, margin=3)
    assert ebops(load(run.directory)) == run.metrics["ebops"]


def test_a_killed_run_ends_as_an_undisturbed_one(run: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    class Kill(keras.callbacks.Callback):
        def on_epoch_begin(self, epoch: int, logs: Any = None) -> None:
            if epoch == 7:  # after the bits have settled
                raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(throttle, "SHARE", 1.0)  # every epoch is written
        patch.setattr(training_run, "_save_last_epoch", lambda *arguments: None)  # as if killed
        with pytest.raises(KeyboardInterrupt):
            train(config(), tmp_path / "run", callbacks=[Kill()])
    assert load_checkpoint(tmp_path / "run").epoch == 7
    resumed = resume(tmp_path / "run")
    assert {**resumed.metrics, "seconds": 0} == {**run.metrics, "seconds": 0}
    found, wanted = (Checkpoint.read(each.directory / CHECKPOINT) for each in (resumed, run))
    assert [value.tolist() for value in found.variables] == [value.tolist() for value in wanted.variables]
    assert str(found.callbacks) == str(wanted.callbacks)


def test_a_budget_out_of_reach_ends_with_the_smallest_cost_and_code_1(tmp_path: Path) -> None:
    file = tmp_path / "small.yaml"
    out_of_reach = document(budget={"ebops": 1}, epochs=1, callbacks=[{"kind": "pareto_front"}])
    file.write_text(yaml.safe_dump(out_of_reach))
    done = CliRunner().invoke(app, ["train", str(file), "-o", str(tmp_path / "run")])
    assert done.exit_code == 1
    assert "training.budget: no epoch ended within 1 EBOPs; the smallest calibrated cost was" in " ".join(
        done.output.split()
    )
    assert (tmp_path / "run" / "front" / "front.json").is_file()


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        (
            {"defaults": {"ebops_beta": 1e-6}},
            "defaults.ebops_beta: training.budget sets the price of bits itself. Leave one of them out.",
        ),
        (
            document(callbacks=[{"kind": "pareto_front"}, {"kind": "beta_schedule", "points": [[0, 1e-7]]}]),
            "training.callbacks.1: training.budget sets the price of bits itself. Leave one of them out.",
        ),
        (
            document(optimizer={"kind": "adam", "learning_rate": COSINE}),
            "training.schedule: cosine needs a number to begin with, and optimizer.learning_rate is a schedule of its "
            "own. Leave one of them out.",
        ),
        (
            document(budget={"ebops": 9, "luts": 9}),
            "training.budget.ebops: give the most EBOPs, or the most `luts`, and not both.",
        ),
        (document(budget={"ebops": 0}), "training.budget.ebops: must be greater than 0. Received: 0 (int)."),
        (
            document(budget={"ebop": 10}),
            "training.budget: unknown field 'ebop'. Allowed: ebops, luts, metric. Did you mean 'ebops'?",
        ),
    ],
)
def test_what_contradicts_a_budget_or_a_schedule_is_refused(changes: dict[str, Any], message: str) -> None:
    with pytest.raises(ConfigError) as caught:
        ModelConfig.parse({**DOCUMENT, **changes})
    assert str(caught.value) == message


def test_cosine_falls_from_the_optimizers_rate_to_0_over_all_steps() -> None:
    chosen = config()
    model = chosen.build()
    chosen.training.compile(model, samples=1000)  # 4 steps in each of 8 epochs
    rate = model.optimizer._learning_rate
    assert isinstance(rate, keras.optimizers.schedules.CosineDecay)
    assert (rate.initial_learning_rate, rate.decay_steps, rate.alpha) == (0.03, 32, 0.0)


def example(name: str, budget: float, seed: int, epochs: int) -> ModelConfig:
    found = yaml.safe_load((EXAMPLES / f"{name}.yaml").read_text())
    found["seed"] = seed
    found["defaults"].pop("ebops_beta", None)
    found["training"] |= {"budget": {"ebops": budget}, "epochs": epochs, "callbacks": [], "schedule": "cosine"}
    found["training"]["optimizer"]["learning_rate"] = 0.005
    return ModelConfig.parse(found)


SEEDS = [pytest.param(0, marks=pytest.mark.slow), *(pytest.param(n, marks=pytest.mark.nightly) for n in (1, 2))]


@pytest.mark.parametrize("seed", SEEDS)
@pytest.mark.parametrize(("name", "budget", "epochs"), [("digits", 4500, 60), ("magic", 6000, 20)])
def test_the_examples_use_their_budget(name: str, budget: float, epochs: int, seed: int, tmp_path: Path) -> None:
    finished = train(example(name, budget, seed, epochs), tmp_path / "run")
    assert FULL * budget <= finished.metrics["ebops"] <= budget


@pytest.mark.parametrize(("rate", "scale"), [(1.0, 8), (0.001, TRAVEL / (0.001 * 6))])
def test_bits_can_come_down_in_few_and_small_steps(rate: float, scale: float) -> None:
    keras.utils.set_random_seed(0)
    model = keras.Sequential([keras.Input([4]), QDense(1)])
    model.compile(BitOptimizer(keras.optimizers.Adam(rate), bit_learning_rate_scale=8), loss="mse")
    x, y = np.ones([64, 4], "float32"), np.ones([64, 1], "float32")
    callback = budget.Budget(100_000, calibration_data=x, validation_data=(x, y))
    model.fit(x, y, epochs=3, batch_size=32, verbose=0, callbacks=[callback])
    assert model.optimizer.bit_learning_rate_scale == pytest.approx(scale)
