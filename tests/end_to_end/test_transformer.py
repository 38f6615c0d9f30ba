"""The transformer block of the examples: trained on digits, exact, reported part by part, the same elsewhere."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from hgq2_core import load_model
from hgq2_training.datasets.digits import Digits

EXAMPLE = Path(__file__).parents[2] / "examples" / "transformer.yaml"
PREDICT = """
import sys
import numpy as np
from hgq2_core import load_model
model = load_model(sys.argv[1])
np.save(sys.argv[3], model.predict(np.load(sys.argv[2]), verbose=0))
"""


def python(*arguments):
    process = subprocess.run(
        [sys.executable, *map(str, arguments)],
        env={**os.environ, "OMP_NUM_THREADS": "1"},
        capture_output=True,
        text=True,
        timeout=540,
    )
    assert process.returncode == 0, process.stderr
    return process.stdout


@pytest.mark.nightly
@pytest.mark.parametrize("seed", range(3))
def test_it_learns_in_few_bits_and_exactly(tmp_path, claims, seed):
    directory = tmp_path / "run"
    text = python("-m", "hgq2_core.cli.main", "train", EXAMPLE, "-o", directory, "--set", f"seed={seed}", "--json")
    found = json.loads(text)
    least, most = claims["transformer"]
    assert found["test"]["accuracy"] >= least
    assert found["ebops"] <= most
    assert np.isfinite(found["test"]["loss"])
    assert (found["verify"]["mismatches"], found["verify"]["samples"]) == (0, 449)

    rows = {row["name"]: row for row in found["summary"]["layers"]}
    parts = ("", "/query_key_value", "/softmax", "/attention_output")
    assert all(rows[f"attention{part}"]["ebops"] > 0 for part in parts)
    activations = [slot["mean"] for row in rows.values() for slot in row["slots"] if slot["zeroed"] is None]
    assert np.mean(activations) <= 8

    x = Digits(shape=[8, 8]).load().test.x[:100]
    np.save(tmp_path / "x.npy", x)
    python("-c", PREDICT, directory / "frozen.keras", tmp_path / "x.npy", tmp_path / "y.npy")
    here = load_model(directory / "frozen.keras").predict(x, verbose=0)
    assert (np.load(tmp_path / "y.npy") == here).all()
