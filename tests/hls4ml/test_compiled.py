"""Projects of hls4ml, compiled: every output is that of the integers, inside and outside the calibrated range."""

from __future__ import annotations

import shutil

import pytest

pytest.importorskip("hls4ml", reason="hls4ml is not installed: make install")

from compiled_models import MODELS, SAMPLES, calibrated, inside_and_outside

from hgq2_core import export
from hgq2_core.exporting.export import exporter_of

IN_CI = ("mlp", "softmax", "minifloat", "third_party")


@pytest.mark.skipif(shutil.which("g++") is None, reason="g++ is not installed: apt-get install g++")
@pytest.mark.parametrize(
    "name",
    [pytest.param(name, marks=pytest.mark.slow if name in IN_CI else pytest.mark.nightly) for name in MODELS],
)
def test_the_compiled_project_gives_what_the_integers_give(name, tmp_path):
    model = calibrated(name)
    report = export(model, "hls4ml", tmp_path / "out", inside_and_outside(model))
    simulation = exporter_of("hls4ml").simulate(report.path)
    assert simulation.samples == report.checked >= 2 * SAMPLES
    assert simulation.mismatches == 0
