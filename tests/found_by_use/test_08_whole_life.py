"""Whatever the lists offer is trained, verified, saved, loaded, frozen and exported; see `whole_life`.

Here for a few kinds; `make nightly` does it for every kind, and a test holds docs/results/kinds.json to be complete.
"""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest

PROGRAM = Path(__file__).with_name("whole_life.py")

pytestmark = pytest.mark.once


@pytest.mark.slow
def test_a_few_kinds() -> None:
    kinds = ("keras.Dense", "keras.UnitNormalization")
    done = subprocess.run([sys.executable, PROGRAM, *kinds], capture_output=True, text=True, timeout=600)
    assert done.returncode == 0, done.stderr[-3000:]
    dense, refused = map(json.loads, done.stdout.splitlines())
    assert dense["error"] is None
    assert refused["error"].startswith(
        "ConfigError: quantize_model: unit_normalization: UnitNormalization has no quantized form"
    )
