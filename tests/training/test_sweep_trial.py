"""A trial by itself: what it trains, measures and writes, and how it is stopped, interrupted and trained further."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from sweep_files import MODEL, RATE

from hgq2_training.sweeps.space import apply
from hgq2_training.sweeps.trial import run_trial
from hgq2_training.sweeps.trial_directory import TrialDirectory, trial_directory

pytestmark = pytest.mark.once

OBJECTIVES = ["val_accuracy", "ebops"]


@pytest.fixture
def trial(tmp_path) -> TrialDirectory:
    directory = trial_directory(tmp_path, 0)
    ask(directory)
    return directory


def ask(directory: TrialDirectory, **values) -> None:
    document = apply(MODEL, {RATE: 0.05, **values})
    directory.ask({"document": document, "objectives": OBJECTIVES, "measured": OBJECTIVES, "cwd": str(Path.cwd())})


@pytest.mark.slow
def test_a_trial_is_a_run_directory_with_an_outcome(trial):
    run_trial(trial.path)
    metrics = json.loads((trial.path / "metrics.json").read_text())
    outcome = trial.outcome
    assert (outcome["state"], outcome["stopped"], outcome["epochs"]) == ("complete", "", 3)
    assert outcome["values"]["ebops"] == metrics["ebops"] and 0 < outcome["values"]["val_accuracy"] <= 1
    assert [each.keys() for each in trial.epochs] == [set(OBJECTIVES)] * 3
    assert {"config.yaml", "model.keras", "frozen.keras", "report.html"} <= {path.name for path in trial.path.iterdir()}
    assert not trial.is_alive


def test_a_trial_that_is_asked_to_stop_is_measured(trial):
    trial.stop("far behind")
    run_trial(trial.path)
    assert (trial.outcome["state"], trial.outcome["stopped"], trial.outcome["epochs"]) == ("complete", "far behind", 1)
    assert trial.outcome["values"].keys() == set(OBJECTIVES)


@pytest.mark.slow
def test_a_trial_whose_sweep_has_ended_is_trained_further_from_its_checkpoint(trial, tmp_path):
    whole = trial_directory(tmp_path, 1)
    ask(whole)
    run_trial(whole.path)
    with pytest.raises(KeyboardInterrupt):
        run_trial(trial.path, parent=1 << 30)
    assert len(trial.epochs) == 1 and not trial.outcome and not trial.is_alive
    run_trial(trial.path)
    assert len(trial.epochs) == 3 and trial.outcome["values"] == whole.outcome["values"]


def test_a_trial_that_raises_says_so(trial, capsys):
    ask(trial, **{"training.budget": {"ebops": 1}, "training.epochs": 1})
    run_trial(trial.path)
    assert trial.outcome["state"] == "failed" and "budget" in trial.outcome["error"]
    assert "Traceback" in capsys.readouterr().err


def test_a_trial_in_which_another_process_trains_is_left_alone(trial):
    with trial.alive() as held:
        assert held
        run_trial(trial.path)
    assert not trial.outcome and not trial.epochs


def test_epochs_are_read_also_after_a_line_that_was_cut(trial):
    trial.add_epoch(0, {"ebops": 3.0})
    with (trial.folder / "epochs.jsonl").open("a") as file:
        file.write('\n{"epoch": 1, "ebo')
    assert trial.epochs == [{"ebops": 3.0}]
    trial.add_epoch(1, {"ebops": 2.0})
    trial.add_epoch(1, {"ebops": 1.0})  # trained again
    assert trial.epochs == [{"ebops": 3.0}, {"ebops": 1.0}]
