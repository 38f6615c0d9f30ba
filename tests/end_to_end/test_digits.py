import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

import hgq2_core
from hgq2_training.demo import CONFIG

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
def test_the_demo_learns_cheaply_and_exactly(tmp_path, claims):
    text = hgq2("demo", "-o", tmp_path / "demo")
    metrics = json.loads((tmp_path / "demo" / "metrics.json").read_text())
    least, most = claims["digits"]
    assert metrics["test"]["accuracy"] >= least
    assert metrics["ebops"] <= most
    assert metrics["verify"] == {"mismatches": 0, "samples": 449}
    assert "arithmetic verified: 0 mismatches in 449 samples" in text
    assert "0 mismatches in 449 samples" in hgq2("verify", tmp_path / "demo")
    health = json.loads(hgq2("doctor", tmp_path / "demo", "--split", "train", "--strict", "--json"))
    assert {finding["severity"] for finding in health["findings"]} <= {"note"}


@pytest.mark.nightly
@pytest.mark.parametrize("seed", range(3))
@pytest.mark.parametrize(
    ("name", "metric", "samples"), [("digits", "accuracy", 449), ("magic", "binary_accuracy", 4755)]
)
def test_every_seed_learns_as_cheaply_and_exactly_as_readme_says(tmp_path, claims, name, metric, samples, seed):
    hgq2("train", EXAMPLES / f"{name}.yaml", "-o", tmp_path / name, "--set", f"seed={seed}")
    metrics = json.loads((tmp_path / name / "metrics.json").read_text())
    least, most = claims[name]
    assert metrics["test"][metric] >= least
    assert metrics["ebops"] <= most
    assert metrics["verify"] == {"mismatches": 0, "samples": samples}
