"""Files of QONNX, run by qonnx's executor: every output is that of the integers, inside and outside calibration."""

from __future__ import annotations

import os
import subprocess
import sys
from itertools import product
from pathlib import Path

import keras
import numpy as np
import pytest

pytest.importorskip("qonnx", reason="qonnx is not installed: make install")

from exported_models import MODELS, SAMPLES, calibrated, inside_and_outside

from hgq2_core import calibrate, defaults, export, freeze
from hgq2_core.exporting.export import exporter_of
from hgq2_fixed_point import KBI, KIF
from hgq2_layers import QDense, QQuantize
from hgq2_minifloat import Minifloat

pytestmark = pytest.mark.once

HERE = Path(__file__).parent
EXAMPLE = HERE.parents[1] / "examples" / "third_party_plugin"


@pytest.mark.slow
@pytest.mark.parametrize("overflow_mode", ["WRAP", "SAT_SYM"])
@pytest.mark.parametrize("name", [name for name in MODELS if name != "third_party"])
def test_the_executor_gives_what_the_integers_give(name, overflow_mode, tmp_path):
    model = calibrated(name, overflow_mode)
    report = export(model, "qonnx", tmp_path / "out", inside_and_outside(model), allow_plain=overflow_mode == "WRAP")
    simulation = exporter_of("qonnx").simulate(report.path)
    assert simulation.samples == report.checked >= 2 * SAMPLES
    assert simulation.mismatches == 0


THIRD_PARTY = """
from exported_models import calibrated, inside_and_outside
from hgq2_core import export
from hgq2_core.exporting.export import exporter_of
model = calibrated("third_party")
export(model, "qonnx", "out", inside_and_outside(model), allow_plain=True)
print(exporter_of("qonnx").simulate(__import__("pathlib").Path("out")).mismatches)
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

HARD = [0.49999997, 0.5, 0.50000006, 0.25, 0.24999999, 0.75, 1.25, 2.5, 3.0, 8388609.0, 1e-30, 1e30, 3.4e38]
"""Numbers next to halves of steps, at the ends of formats, and far out."""


def hard_numbers():
    rng = np.random.default_rng(1)
    numbers = np.array([*HARD, *(-x for x in HARD), *(rng.normal(size=230) * 3), *(rng.integers(-99, 99, 256) / 8)])
    return np.stack([np.roll(numbers, n) for n in range(4)], axis=1).astype(np.float32)


@pytest.mark.slow
@pytest.mark.parametrize("behind", ["an input", "a sum"])
def test_every_rounding_and_overflow_is_that_of_the_executor(behind, tmp_path):
    x = keras.Input((4,))
    y = x if behind == "an input" else QQuantize(KIF(k=1, i=4, f=5, overflow_mode="SAT"))(x)
    spread = [[1, 0, 2, 1]]
    formats = [
        KIF(k=k, i=1, f=1, round_mode=rounding, overflow_mode=overflow, granularity="element")
        for k, rounding, overflow in MODES
    ]
    model = keras.Model(x, [QQuantize(each)(y) for each in formats])
    for layer in model.layers:
        for variable in layer.variables:
            if variable.path.endswith(("/i", "/f")) and variable.shape == (1, 4) and layer.name != "q_quantize":
                variable.assign(np.array(spread, dtype=np.float32))
    calibrate(model, np.random.default_rng(1).normal(size=(50, 4)).astype(np.float32) * 4)
    export(model, "qonnx", tmp_path / "out", hard_numbers(), allow_plain=True)
    assert exporter_of("qonnx").simulate(tmp_path / "out").mismatches == 0


@pytest.mark.slow
@pytest.mark.parametrize("behind", ["an input", "a sum"])
def test_every_minifloat_format_is_that_of_the_executor(behind, tmp_path):
    x = keras.Input((4,))
    y = x if behind == "an input" else QQuantize(KIF(k=1, i=6, f=8, overflow_mode="SAT"))(x)
    formats = [
        Minifloat(m=m, e=e, e0=e0) for m, e, e0 in ((1, 2, 1), (3, 2, 0), (2, 3, 1), (3, 4, 0), (2, 0, 1), (4, 3, -2))
    ]
    named = ["float8_e4m3fn", "float8_e5m2", "float8_e3m4"]
    model = keras.Model(
        x, [QQuantize(each)(y) for each in (*formats, *({"kind": f"minifloat.{name}"} for name in named))]
    )
    calibrate(model, hard_numbers())
    report = export(model, "qonnx", tmp_path / "out", hard_numbers())
    assert "9 FloatQuant" in report.notes[0]
    assert exporter_of("qonnx").simulate(tmp_path / "out").mismatches == 0


def test_keras_and_the_executor_agree_on_raw_inputs(tmp_path):
    from qonnx.core.modelwrapper import ModelWrapper
    from qonnx.core.onnx_exec import execute_onnx

    keras.utils.set_random_seed(1)
    with defaults(weight=KBI(b=4, i=0), activation=KIF(i=2, f=3, overflow_mode="SAT")):
        model = keras.Sequential([keras.Input((4,), name="x"), QDense(3, "relu"), QDense(2, name="y")])
    x = hard_numbers()
    calibrate(model, x[:100] / 4)
    export(model, "qonnx", tmp_path / "out", x)
    files = [ModelWrapper(str(tmp_path / "out" / name)) for name in ("model.onnx", "model_batch.onnx")]
    wanted = freeze(model).predict(x, verbose=0)
    with np.errstate(over="ignore"):  # the executor divides the largest floats by a step before it saturates
        assert np.array_equal(execute_onnx(files[0], {"x": x[:1]})["y"], wanted[:1])
        assert np.array_equal(execute_onnx(files[1], {"x": x[:256]})["y"], wanted[:256])
