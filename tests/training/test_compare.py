"""Runs side by side: read from their files alone, which are written here by hand."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from rich.text import Text
from typer.testing import CliRunner

import hgq2_core.cli.main as cli
from hgq2_core.errors import ConfigError
from hgq2_training import compare

CONFIG = """\
seed: {seed}
model:
  inputs: {{x: {{shape: [2]}}}}
  layers: [{{kind: layers.dense, name: out, units: {units}}}]
"""


def write_run(directory: Path, accuracy: float, ebops: float, units: int = 1, seed: int = 0) -> Path:
    (directory / "front").mkdir(parents=True)
    (directory / "config.yaml").write_text(CONFIG.format(units=units, seed=seed))
    metrics = {"test": {"loss": 0.5, "accuracy": accuracy}, "ebops": ebops, "seconds": 1.5}
    (directory / "metrics.json").write_text(json.dumps(metrics))
    entries = [
        {"epoch": epoch, "metrics": {"val_accuracy": accuracy - 0.1 * epoch, "ebops": ebops / (epoch + 1)}, "file": "x"}
        for epoch in range(3)
    ]
    front = {"directions": {"val_accuracy": "max", "ebops": "min"}, "entries": entries}
    (directory / "front" / "front.json").write_text(json.dumps(front))
    return directory


@pytest.fixture
def runs(tmp_path: Path) -> tuple[Path, Path]:
    return write_run(tmp_path / "a", 0.9, 3000), write_run(tmp_path / "b", 0.8, 1000, units=2, seed=5)


def test_metrics_cost_and_the_settings_that_differ(runs: tuple[Path, Path]) -> None:
    found = compare(*runs)
    assert [(run.test["accuracy"], run.ebops, len(run.front)) for run in found.runs] == [(0.9, 3000, 3), (0.8, 1000, 3)]
    assert found.differences == {"seed": [0, 5], "model.layers.out.units": [1, 2]}


def test_runs_are_told_apart_where_their_directories_have_one_name(runs: tuple[Path, Path], tmp_path: Path) -> None:
    assert compare(*runs).names == ["a", "b"]
    twin = write_run(tmp_path / "other" / "a", 0.7, 2000, seed=1)
    found = compare(runs[0], twin)
    assert found.names == [str(runs[0]), str(twin)]
    assert [column.header for column in found.tables()[1].columns][1:] == [Text(name) for name in found.names]


def test_a_setting_that_a_run_lacks_differs(tmp_path: Path) -> None:
    a, b = write_run(tmp_path / "a", 0.9, 1), write_run(tmp_path / "b", 0.9, 1)
    (b / "config.yaml").write_text((b / "config.yaml").read_text() + "defaults: {ebops_beta: 1.0e-6}\n")
    assert compare(a, b).differences == {"defaults.ebops_beta": [None, 1e-6]}


def test_a_price_is_shown_once_where_it_was_changed(tmp_path: Path) -> None:
    """A run writes the price out at each layer."""
    runs = [write_run(tmp_path / name, 0.9, 1) for name in "abc"]
    for run, price, default in zip(runs, (1e-5, 1e-6, 1e-6), ("", "1.0e-6", "1.0e-6"), strict=True):
        text = (run / "config.yaml").read_text().replace("units: 1", f"units: 1, ebops_beta: {price:.1e}")
        (run / "config.yaml").write_text(text + (f"defaults: {{ebops_beta: {default}}}\n" if default else ""))
    assert compare(*runs).differences == {"defaults.ebops_beta": [None, 1e-6, 1e-6]}
    path = runs[2] / "config.yaml"
    path.write_text(path.read_text().replace("ebops_beta: 1.0e-06", "ebops_beta: 2.0e-06"))
    assert compare(*runs[1:]).differences == {"model.layers.out.ebops_beta": [1e-6, 2e-6]}


def test_the_command_prints_tables_json_and_an_image(runs: tuple[Path, Path], tmp_path: Path) -> None:
    pytest.importorskip("matplotlib", reason="it draws the plot")

    def hgq2(*arguments: Any) -> str:
        result = CliRunner().invoke(cli.app, ["compare", *map(str, arguments)])
        assert result.exit_code == 0, result.output
        return result.stdout

    text = hgq2(*runs, "--plot", tmp_path / "plot.png")
    assert "0.9000" in text and "3,000" in text and "model.layers.out.units" in text
    assert (tmp_path / "plot.png").read_bytes().startswith(b"\x89PNG")
    found = json.loads(hgq2(*runs, "--json"))
    assert found == json.loads(json.dumps(compare(*runs).to_dict()))


@pytest.mark.parametrize("count", [0, 1])
def test_one_run_alone_is_compared_with_nothing(runs: tuple[Path, Path], count: int) -> None:
    with pytest.raises(ConfigError, match="takes two runs or more, each once"):
        compare(*runs[:count])
    with pytest.raises(ConfigError, match="takes two runs or more, each once"):
        compare(runs[0], runs[0])


def test_a_run_that_did_not_end_is_named_with_the_remedy(runs: tuple[Path, Path]) -> None:
    (runs[1] / "metrics.json").unlink()
    with pytest.raises(ConfigError, match=r"the training did not end.*hgq2 train -o .*b --resume"):
        compare(*runs)


def test_runs_without_a_common_metric_have_no_plot(runs: tuple[Path, Path]) -> None:
    path = runs[0] / "metrics.json"
    path.write_text(path.read_text().replace('"loss"', '"mse"').replace('"accuracy"', '"auc"'))
    with pytest.raises(ConfigError, match="no metric in common"):
        _ = compare(*runs).plotted_metric
