"""Whatever the lists offer is trained, proved, saved, loaded, frozen and exported; see `whole_life`."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest

from hgq2_core.discovery.known_plugins import is_official
from hgq2_core.discovery.registry import registry
from hgq2_core.schema.keras_layers import KERAS, KERAS_LAYERS

PROGRAM = Path(__file__).with_name("whole_life.py")
NOT_CONVERTED = {
    *("Average", "Conv3DTranspose", "GroupNormalization", "LayerNormalization", "Masking", "UnitNormalization")
}
"""Layers of Keras of which `hgq2 list --table` says "by a rule only"."""
KINDS = (
    *(kind for kind in registry().names("layers") if is_official(kind) and not kind.startswith(KERAS)),
    *(f"{KERAS}{name}" for name in KERAS_LAYERS),
)
BATCHES = 4
FEW = ("keras.Dense", "keras.Average")

pytestmark = pytest.mark.once


def failures(*kinds: str) -> dict[str, str]:
    done = subprocess.run([sys.executable, PROGRAM, *kinds], capture_output=True, text=True, timeout=1800)
    assert done.returncode == 0, done.stderr[-3000:]
    return dict(json.loads(done.stdout.splitlines()[-1]))


def check(kinds: tuple[str, ...]) -> None:
    found = failures(*kinds)
    refused = {kind for kind in kinds if kind.removeprefix(KERAS) in NOT_CONVERTED}
    assert found.keys() == refused, found
    assert all(message.startswith("ConfigError: ") for message in found.values()), found


def test_a_few_kinds() -> None:
    check(FEW)


@pytest.mark.nightly
@pytest.mark.parametrize("batch", range(BATCHES))
def test_every_kind(batch: int) -> None:
    check(KINDS[batch::BATCHES])
