"""Projects of hls4ml, compiled: every output is that of the integers, inside and outside the calibrated range."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from itertools import product
from pathlib import Path

import keras
import numpy as np
import pytest

pytest.importorskip("hls4ml", reason="hls4ml is not installed: make install")

from exported_models import MODELS, SAMPLES, calibrated, inside_and_outside, oddly_named

from hgq2_core import calibrate, export
from hgq2_core.exporting.export import exporter_of
from hgq2_fixed_point import KIF
from hgq2_layers import QQuantize

IN_CI = ("mlp", "softmax", "minifloat")
HERE = Path(__file__).parent
EXAMPLE = HERE.parents[1] / "examples" / "third_party_plugin"

pytestmark = pytest.mark.skipif(shutil.which("g++") is None, reason="g++ is not installed: apt-get install g++")


@pytest.mark.parametrize(
    "name",
    [
        pytest.param(name, marks=pytest.mark.slow if name in IN_CI else pytest.mark.nightly)
        for name in MODELS
        if name != "third_party"
    ],
)
def test_the_compiled_project_gives_what_the_integers_give(name, tmp_path):
    model = calibrated(name)
    report = export(model, "hls4ml", tmp_path / "out", inside_and_outside(model))
    simulation = exporter_of("hls4ml").simulate(report.path)
    assert simulation.samples == report.checked >= 2 * SAMPLES
    assert simulation.mismatches == 0


THIRD_PARTY = """
from exported_models import calibrated, inside_and_outside
from hgq2_core import export
from hgq2_core.exporting.export import exporter_of
model = calibrated("third_party")
export(model, "hls4ml", "out", inside_and_outside(model))
print(exporter_of("hls4ml").simulate(__import__("pathlib").Path("out")).mismatches)
"""


@pytest.mark.slow
def test_a_layer_and_a_quantizer_of_others_need_no_more_than_their_exact_statement(tmp_path):
    metadata = tmp_path / "acme_quantizers-1.0.0.dist-info"
    metadata.mkdir()
    (metadata / "METADATA").write_text("Metadata-Version: 2.1\nName: acme-quantizers\nVersion: 1.0.0\n")
    (metadata / "entry_points.txt").write_text("[hgq2.plugins]\nacme = acme_quantizers.plugin\n")
    path = os.pathsep.join(map(str, [tmp_path, EXAMPLE, HERE.parent, *filter(None, sys.path)]))
    process = subprocess.run(
        [sys.executable, "-W", "ignore", "-c", THIRD_PARTY],
        env={**os.environ, "PYTHONPATH": path},
        cwd=tmp_path,
        capture_output=True,
        text=True,
        timeout=600,
    )
    assert process.stdout.split() == ["0"], process.stderr


ROUNDING = ("TRN", "TRN_ZERO", "RND", "RND_ZERO", "RND_INF", "RND_MIN_INF", "RND_CONV")
OVERFLOW = ("WRAP", "SAT", "SAT_SYM", "SAT_ZERO")
MODES = [(1, "RND", "WRAP_SM"), (1, "RND_CONV", "WRAP_SM"), *product((0, 1), ROUNDING, OVERFLOW)]


@pytest.mark.nightly
def test_every_rounding_and_overflow_is_that_of_the_compiler(tmp_path):
    x = keras.Input((4,))
    formats = [KIF(k=k, i=1, f=1, round_mode=rounding, overflow_mode=overflow) for k, rounding, overflow in MODES]
    model = keras.Model(x, [QQuantize(each)(x) for each in formats])
    calibrate(model, np.random.default_rng(1).normal(size=(50, 4)).astype(np.float32) * 4)
    export(model, "hls4ml", tmp_path / "out", input_format=(1, 3, 4))
    assert exporter_of("hls4ml").simulate(tmp_path / "out").mismatches == 0


@pytest.mark.nightly
@pytest.mark.parametrize("backend", ["Vivado", "Vitis"])
def test_a_dense_layer_with_shared_multipliers(backend, tmp_path):
    model = calibrated("mlp", "SAT_SYM")
    options = {"strategy": "Resource", "reuse_factor": 4, "backend": backend}
    export(model, "hls4ml", tmp_path / "out", inside_and_outside(model), **options)
    assert exporter_of("hls4ml").simulate(tmp_path / "out").mismatches == 0


@pytest.mark.parametrize(
    ("name", "options"),
    [
        pytest.param("mlp", {}, marks=pytest.mark.slow),
        pytest.param("cnn", {}, marks=pytest.mark.slow),
        pytest.param("cnn", {"strategy": "Resource", "reuse_factor": 2}, marks=pytest.mark.nightly),
        pytest.param("residual", {"backend": "Vivado"}, marks=pytest.mark.nightly),
        pytest.param("softmax", {}, marks=pytest.mark.nightly),
    ],
)
def test_streams_give_what_the_integers_give(name, options, tmp_path):
    model = calibrated(name)
    export(model, "hls4ml", tmp_path / "out", inside_and_outside(model), io_type="io_stream", **options)
    assert "hls::stream<" in (tmp_path / "out/firmware/model.h").read_text()
    found = exporter_of("hls4ml").simulate(tmp_path / "out")
    assert (found.mismatches, found.samples >= 2 * SAMPLES) == (0, True)


@pytest.mark.slow
def test_whatever_layers_and_ports_are_called_the_project_compiles(tmp_path):
    export(oddly_named(), "hls4ml", tmp_path / "out")
    assert exporter_of("hls4ml").simulate(tmp_path / "out").mismatches == 0
