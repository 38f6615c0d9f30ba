"""The examples, trained from their configs on three seeds: accuracy, bits, and the proof that integers agree."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest
from selection import nightly

EXAMPLES = Path(__file__).parents[2] / "examples"

pytestmark = pytest.mark.slow


def hgq2(*arguments):
    process = subprocess.run(
        [sys.executable, "-m", "hgq2_core.cli.main", *map(str, arguments)],
        env={**os.environ, "OMP_NUM_THREADS": "1"},
        capture_output=True,
        text=True,
        timeout=540,
    )
    assert process.returncode == 0, process.stderr
    return process.stdout


@pytest.mark.parametrize("seed", [0, nightly(1), nightly(2)])
@pytest.mark.parametrize(
    ("name", "metric", "least", "samples"),
    [("digits_minifloat", "accuracy", None, 449), nightly("magic_minifloat", "binary_accuracy", 0.84, 4755)],
)
def test_minifloats_of_six_bits_learn_and_are_exact(tmp_path, claims, name, metric, least, samples, seed):
    run = tmp_path / name
    hgq2("train", EXAMPLES / f"{name}.yaml", "-o", run, "--set", f"seed={seed}")
    metrics = json.loads((run / "metrics.json").read_text())
    least, most = claims.get(name, (least, float("inf")))
    assert metrics["test"][metric] >= least
    assert metrics["ebops"] <= most
    assert metrics["verify"] == {"mismatches": 0, "samples": samples}
    layers = json.loads(hgq2("report", run, "--json"))["summary"]["layers"]
    slots = [slot for layer in layers for slot in layer["slots"]]
    assert len(slots) >= 6
    assert all(slot["kind"].startswith("minifloat.") and slot["mean"] <= 6 for slot in slots)
