"""Whole sweeps, each trial a process: they survive SIGKILL and trials that fail, on every runner."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path
from tempfile import TemporaryDirectory

import pytest
from slurm import one_node
from sweep_files import UNITS, make_sweep, sweep_document, write

pytest.importorskip("optuna", minversion="5", reason="sweeps need Optuna 5")

from hgq2_training.sweeps.config import load_sweep
from hgq2_training.sweeps.index import Index
from hgq2_training.sweeps.sweep import run_sweep
from hgq2_training.sweeps.trial_directory import TrialDirectory, trial_directories

pytestmark = [pytest.mark.once, pytest.mark.slow]

HGQ2 = [sys.executable, "-m", "hgq2_core.cli.main"]
BUDGET = "training.budget"
FAILS = {"ebops": 1}
"""A budget that no training meets."""


def finished(folder: Path) -> dict[str, dict]:
    return {each.path.name: each.outcome for each in trial_directories(folder) if each.outcome}


def kill_in_the_middle(command: list[str], folder: Path, outcomes: int) -> dict[str, dict]:
    """Start a sweep, kill it as soon as so many trials are finished and another has trained an epoch."""
    process = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE)
    try:
        while process.poll() is None:
            found = trial_directories(folder) if folder.is_dir() else []
            done = [each for each in found if each.outcome]
            if len(done) >= outcomes and any(each.epochs for each in found if each not in done):
                break
            time.sleep(0.02)
        assert process.poll() is None, process.stderr.read().decode()
        os.kill(process.pid, signal.SIGKILL)
    finally:
        process.kill()
        process.wait()
        process.stderr.close()
    return finished(folder)


def check_killed(tmp_path: Path, trials: int, kills: int, workers: int) -> None:
    space = {BUDGET: {"choices": [None, FAILS]}, UNITS: {"low": 4, "high": 8}}
    document = sweep_document(space=space, sampler="random")
    document["training"] = {**document["training"], "epochs": 12}
    folder = tmp_path / "sweep"
    counts = ["--trials", str(trials), "--workers", str(workers)]
    command = [*HGQ2, "sweep", str(write(tmp_path / "file.yaml", document)), "-o", str(folder), *counts]
    kept = [kill_in_the_middle(command, folder, (trials * kill) // (kills + 1)) for kill in range(1, kills + 1)]
    subprocess.run(command, check=True, stdout=subprocess.DEVNULL, timeout=3600)
    outcomes = finished(folder)
    assert all(outcomes[name] == outcome for before in kept for name, outcome in before.items())
    rows = json.loads((folder / "trials.json").read_text())
    states = [row["state"] for row in rows]
    assert states.count("complete") + states.count("failed") == trials and states.count("died") >= kills
    assert not {"running", "waiting"} & set(states) and {"complete", "failed"} < set(states)
    assert all("budget" in row["note"] for row in rows if row["state"] == "failed")
    assert all(len(each.epochs) == 12 for each in trial_directories(folder) if each.outcome["state"] == "complete")
    index = Index(load_sweep(folder / "sweep.yaml"), folder, rebuild=True)
    index.recover()
    assert [(row.number, row.state) for row in index.rows()] == [(row["number"], row["state"]) for row in rows]


def test_a_sweep_killed_in_the_middle_goes_on_and_loses_nothing(tmp_path):
    check_killed(tmp_path, trials=4, kills=1, workers=2)


@pytest.mark.nightly
def test_a_long_sweep_killed_twice_goes_on_and_loses_nothing(tmp_path):
    check_killed(tmp_path, trials=24, kills=2, workers=2)


def each_trial_once(tmp_path: Path, **section) -> list[TrialDirectory]:
    index = run_sweep(make_sweep(tmp_path, **section), tmp_path / "sweep", trials=2, workers=2)
    assert [row.state for row in index.rows()] == ["complete", "complete"]
    directories = trial_directories(tmp_path / "sweep")
    assert [len(each.epochs) for each in directories] == [3, 3]
    for each, row in zip(directories, index.rows(), strict=True):
        metrics = json.loads((each.path / "metrics.json").read_text())
        assert metrics["ebops"] == row.values["ebops"] and metrics["verify"]["mismatches"] == 0
    return directories


@pytest.mark.nightly
def test_two_workers_of_submitit_give_each_trial_once(tmp_path):
    pytest.importorskip("submitit", reason="submitit is optional")
    runner = {"kind": "submitit", "cluster": "local", "parameters": {"timeout_min": 10}}
    each_trial_once(tmp_path, runner=runner)
    assert len(list((tmp_path / "sweep" / "submitit").glob("*_result.pkl"))) == 2


@pytest.mark.nightly
def test_two_jobs_of_slurm_give_each_trial_once(tmp_path, monkeypatch):
    pytest.importorskip("submitit", reason="submitit is optional")
    with TemporaryDirectory() as folder, one_node(Path(folder)) as config:
        monkeypatch.setenv("SLURM_CONF", str(config))
        runner = {"kind": "submitit", "cluster": "slurm", "parameters": {"timeout_min": 10}}
        each_trial_once(tmp_path, runner=runner)
    assert len(list((tmp_path / "sweep" / "submitit").glob("*_result.pkl"))) == 2


@pytest.mark.nightly
def test_two_workers_of_ray_give_each_trial_once(tmp_path):
    pytest.importorskip("ray", reason="Ray is optional, and large")
    each_trial_once(tmp_path, runner="ray")
