import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

import hgq2_core
from hgq2_core.demo import CONFIG

EXAMPLES = Path(__file__).parents[2] / "examples"


def test_the_demo_is_the_example():
    assert CONFIG.read_bytes() == (EXAMPLES / "digits.yaml").read_bytes()


@pytest.mark.parametrize("path", sorted(EXAMPLES.glob("*.yaml")), ids=lambda path: path.name)
def test_examples_build(path):
    config = hgq2_core.load_config(path)
    assert config.build().built and config.training and config.data


def hgq2(*arguments):
    environment = {**os.environ, "OMP_NUM_THREADS": "1"}
    process = subprocess.run(
        [sys.executable, "-m", "hgq2_core.cli.main", *map(str, arguments)],
        env=environment,
        capture_output=True,
        text=True,
        timeout=540,
    )
    assert process.returncode == 0, process.stderr
    return process.stdout


@pytest.mark.slow
def test_the_demo_learns_cheaply_and_exactly(tmp_path):
    text = hgq2("demo", "-o", tmp_path / "demo")
    metrics = json.loads((tmp_path / "demo" / "metrics.json").read_text())
    assert metrics["test"]["accuracy"] >= 0.96
    assert metrics["ebops"] <= 10_000
    assert metrics["verify"] == {"mismatches": 0, "samples": 449}
    assert "0 mismatches in 449 test samples" in text
    assert "0 mismatches in 449 samples" in hgq2("verify", tmp_path / "demo")
    health = json.loads(hgq2("doctor", tmp_path / "demo", "--split", "train", "--strict", "--json"))
    assert {finding["severity"] for finding in health["findings"]} <= {"note"}


@pytest.mark.slow
def test_magic_learns_cheaply_and_exactly(tmp_path):
    hgq2("train", EXAMPLES / "magic.yaml", "-o", tmp_path / "magic")
    metrics = json.loads((tmp_path / "magic" / "metrics.json").read_text())
    assert metrics["test"]["binary_accuracy"] >= 0.86
    assert metrics["ebops"] <= 13_000
    assert metrics["verify"] == {"mismatches": 0, "samples": 4755}
