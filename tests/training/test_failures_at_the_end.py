"""Errors after the training, of which none costs the trained model, and few cost any of the results."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import yaml
from typer.testing import CliRunner

from hgq2_core import ebops
from hgq2_core.cli.main import app
from hgq2_core.config.model import ModelConfig
from hgq2_core.errors import DataError, ModelFileError
from hgq2_training.runs.directory import load, read_metrics
from hgq2_training.runs.results import recalibrate
from hgq2_training.runs.train import train


@pytest.fixture
def config(tmp_path: Path) -> ModelConfig:
    """One epoch of one logit."""
    x = np.random.default_rng(0).normal(size=(60, 2)).astype(np.float32)
    np.savez(tmp_path / "data.npz", x=x, y=x[:, 0] > 0)
    return ModelConfig.parse(
        {
            "model": {"inputs": {"x": {"shape": [2]}}, "layers": [{"kind": "dense", "name": "logit", "units": 1}]},
            "data": {"kind": "npz", "path": str(tmp_path / "data.npz")},
            "training": {"loss": {"kind": "binary_crossentropy", "from_logits": True}, "epochs": 1},
        }
    )


def with_thresholds(config: ModelConfig, number: int) -> ModelConfig:
    document = config.to_dict()
    document["training"]["metrics"] = [{"kind": "auc", "from_logits": True, "num_thresholds": number}]
    return ModelConfig.parse(document)


def test_a_metric_of_many_thresholds_is_in_the_file_of_the_model(config: ModelConfig, tmp_path: Path) -> None:
    train(with_thresholds(config, 2000), tmp_path / "run")
    assert load(tmp_path / "run").metrics_names == ["loss", "compile_metrics"]


def test_what_would_not_load_is_refused_before_it_trains(config: ModelConfig, tmp_path: Path) -> None:
    message = "the file of the trained model: compile_config.metrics.0.config.num_thresholds: must be a number from "
    with pytest.raises(ModelFileError, match=message + "-10000 to 10000. Received: 10001."):
        train(with_thresholds(config, 10_001), tmp_path / "run")
    assert not (tmp_path / "run" / "model.keras").exists()


def fails(monkeypatch: pytest.MonkeyPatch, name: str, error: Exception) -> None:
    def broken(*_: Any, **__: Any) -> None:
        raise error

    monkeypatch.setattr(f"hgq2_training.runs.results.{name}", broken)


@pytest.mark.parametrize("name", ["doctor", "analyze", "outcome", "page"])
def test_an_error_of_doctor_analysis_or_page_costs_no_results(
    name: str, config: ModelConfig, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    error = ValueError("a fault\nof ours")
    fails(monkeypatch, name, error)
    run = train(config, tmp_path / "run")
    (told,) = [each for each in run.metrics["findings"] if each["check"] == "untold"]
    assert told["seen"].endswith(". ValueError: a fault of ours")
    assert run.failures == (error,)
    assert run.metrics == read_metrics(tmp_path / "run") and run.metrics["verify"]["mismatches"] == 0


@pytest.mark.parametrize("error, code", [(KeyError("a fault of ours"), 3), (DataError("a test part like no other"), 2)])
def test_an_error_of_the_comparison_with_integers_costs_neither_model_nor_metrics(
    error: Exception, code: int, config: ModelConfig, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "model.yaml").write_text(yaml.safe_dump(config.to_dict()))
    with monkeypatch.context() as patch:
        fails(patch, "verify", error)
        ended = CliRunner().invoke(app, ["train", str(tmp_path / "model.yaml"), "-o", str(tmp_path / "run")])
    told = " ".join(ended.stdout.split())
    assert ended.exit_code == code
    assert "arithmetic not verified: the comparison failed" in told
    assert str(error) in told and "hgq2 calibrate RUN" in told
    assert "The model and its metrics are saved, but not all results." in told
    metrics = read_metrics(tmp_path / "run")
    assert metrics["verify"] is None and metrics["test"]["loss"] > 0
    assert (tmp_path / "run" / "frozen.keras").is_file()
    assert "not verified" in (tmp_path / "run" / "report.html").read_text()
    for again in (["report"], ["calibrate"], ["verify"]):
        assert CliRunner().invoke(app, [*again, str(tmp_path / "run")]).exit_code == 0
    assert read_metrics(tmp_path / "run")["verify"] == {"mismatches": 0, "samples": 15}


@pytest.mark.parametrize("name", ["calibrate", "freeze", "evaluate"])
def test_an_error_before_the_results_says_that_the_model_is_saved(
    name: str, config: ModelConfig, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "model.yaml").write_text(yaml.safe_dump(config.to_dict()))
    with monkeypatch.context() as patch:
        fails(patch, name, KeyError("a fault of ours"))
        ended = CliRunner().invoke(app, ["train", str(tmp_path / "model.yaml"), "-o", str(tmp_path / "run")])
    assert ended.exit_code == 3
    assert f"The trained model is saved: {tmp_path / 'run' / 'model.keras'}." in ended.stderr
    assert f"To complete the run: hgq2 calibrate {tmp_path / 'run'}" in ended.stderr
    assert CliRunner().invoke(app, ["calibrate", str(tmp_path / "run")]).exit_code == 0
    assert read_metrics(tmp_path / "run")["verify"]["mismatches"] == 0


@pytest.fixture
def ended(config: ModelConfig, tmp_path: Path) -> Path:
    """The directory of a run with all its results."""
    return train(config, tmp_path / "run").directory


@pytest.mark.parametrize("name", ["calibrate", "freeze", "evaluate"])
def test_results_of_before_stay_where_another_calibration_fails(
    name: str, ended: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    told = ("metrics.json", "analysis.json", "report.html")
    before, cost = {each: (ended / each).read_bytes() for each in told}, ebops(load(ended))
    with monkeypatch.context() as patch:
        fails(patch, name, KeyError("a fault of ours"))
        with pytest.raises(KeyError, match="a fault of ours"):
            recalibrate(ended, margin=2)
    assert {each: (ended / each).read_bytes() for each in told} == before
    assert ebops(load(ended)) == ebops(load(ended, frozen=True)) == cost


@pytest.mark.parametrize(("name", "missing"), [("analyze", "analysis.json"), ("page", "report.html")])
def test_no_result_tells_of_another_calibration(
    name: str, missing: str, ended: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with monkeypatch.context() as patch:
        fails(patch, name, KeyError("a fault of ours"))
        assert len(recalibrate(ended, margin=2).failures) == 1
    assert not (ended / missing).exists()
    assert CliRunner().invoke(app, ["report", str(ended)]).exit_code == 0
    assert (ended / missing).is_file()


def test_a_run_that_is_killed_while_it_is_calibrated_again_is_completed_by_another(
    ended: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with monkeypatch.context() as patch:
        patch.setattr("hgq2_training.runs.results.verify", lambda *_: (_ for _ in ()).throw(KeyboardInterrupt))
        with pytest.raises(KeyboardInterrupt):
            recalibrate(ended, margin=2)
    assert not read_metrics(ended)
    assert recalibrate(ended).metrics["ebops"] == ebops(load(ended)) == read_metrics(ended)["ebops"]
