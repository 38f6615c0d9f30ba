"""`hgq2 doctor`: the findings of a run, and exit codes."""

from __future__ import annotations

import json

import numpy as np
import pytest
import yaml
from typer.testing import CliRunner

import hgq2_core.cli.main as cli
from hgq2_core import load_config
from hgq2_training.demo import CONFIG
from hgq2_training.runs import directory as runs
from hgq2_training.runs import train as training_run


@pytest.fixture(scope="module")
def demo(tmp_path_factory):
    """The demo's run directory, after two epochs."""
    directory = tmp_path_factory.mktemp("demo") / "run"
    training_run.train(load_config(CONFIG), directory, epochs=2)
    return directory


def hgq2_doctor(*arguments, code=0):
    result = CliRunner().invoke(cli.app, ["doctor", *map(str, arguments)])
    assert result.exit_code == code, result.output
    return result


@pytest.mark.once
def test_the_demo_is_healthy(demo):
    assert hgq2_doctor(demo, "--split", "train", "--strict").stdout.startswith("nothing to report; 1168 samples\n")
    data = json.loads(hgq2_doctor(demo, "--json").stdout)
    assert (data["ok"], data["samples"]) == (True, 449)
    # Unseen images may hold a value or two beyond what training data needed.
    assert {finding["check"] for finding in data["findings"]} <= {"overflows"}
    assert json.loads(hgq2_doctor(demo, "--json", "--samples", 7, "--split", "validation").stdout)["samples"] == 7


def test_strict_fails_where_a_finding_is_an_error(demo, tmp_path):
    model = runs.load(demo)
    model.get_layer("logits").bias.assign(np.ones(10))
    (tmp_path / "config.yaml").write_text((demo / "config.yaml").read_text())
    runs.save(model, tmp_path / "model.keras")
    text = hgq2_doctor(tmp_path).stdout
    assert "error logits.input: its layer, or an earlier one" in text
    assert all(len(line) <= 80 for line in text.splitlines())
    assert hgq2_doctor(tmp_path, "--strict", code=4).stdout == text


def test_a_part_that_the_data_do_not_have(demo, tmp_path):
    document = yaml.safe_load((demo / "config.yaml").read_text())
    document["data"]["validation_fraction"] = 0
    (tmp_path / "config.yaml").write_text(yaml.safe_dump(document))
    (tmp_path / "model.keras").write_bytes((demo / "model.keras").read_bytes())
    assert hgq2_doctor(tmp_path, "--split", "validation", code=2).stderr.startswith(
        "error: doctor: the data set has no validation part."
    )
    assert "no such file" in hgq2_doctor(tmp_path / "nowhere", code=2).stderr
