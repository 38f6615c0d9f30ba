"""What tracing takes is estimated before, and refused above the limits; afterwards the report says what it took."""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import sys
import time

import keras
import numpy as np
import pytest

pytest.importorskip("alkaid.trace", reason="alkaid is not installed: make install")

from hgq2_alkaid import exporter as module
from hgq2_alkaid.effort import Effort, traced_ebops
from hgq2_core import calibrate, ebops, estimate, export
from hgq2_core.errors import ConfigError, ToolError
from hgq2_core.exporting.stages import shown, stage, timed
from hgq2_layers import QGRU, QDense

pytestmark = pytest.mark.once


@pytest.fixture(scope="module")
def model():
    keras.utils.set_random_seed(0)
    layers = [QDense(3, "relu", name="hidden"), QDense(2, name="out")]
    model = keras.Sequential([keras.Input((4,)), *layers], name="tiny")
    calibrate(model, np.random.default_rng(0).normal(size=(50, 4)).astype("float32"))
    return model


def test_the_estimate_grows_with_the_ebops():
    assert (Effort(10_000_000).minutes, Effort(10_000_000).memory_gb) == pytest.approx((10.0, 2.5))
    assert Effort(10_000_000).over(20, 12) == ""
    assert Effort(30_000_000).over(20, 12) == (
        "tracing 30,000,000 EBOPs takes about 30.0 minutes of a core and 5.5 GB. Allowed: 20 minutes, 12 GB. Train "
        "with fewer bits, or go on with --option max_minutes=30."
    )
    assert Effort(30_000_000).over(40, 4).endswith("go on with --option max_memory_gb=6.")


def test_a_model_over_the_limits_is_refused_before_it_is_traced(model, tmp_path, monkeypatch):
    monkeypatch.setattr(module, "build", None)
    with pytest.raises(ConfigError, match=r"tiny: tracing [\d,]+ EBOPs .* go on with --option max_minutes=1\."):
        export(model, "alkaid", tmp_path / "rtl", max_minutes=1e-9)
    assert not any(tmp_path.iterdir())


@pytest.mark.parametrize("factor", [None, 1, 4])
def test_what_is_traced_does_not_depend_on_the_positions_that_the_cost_counts(factor):
    def built(**more):
        keras.utils.set_random_seed(0)
        layers = [QDense(3, name="hidden", **more), QGRU(2, name="last", **more)]
        made = keras.Sequential([keras.Input((8, 4)), *layers])
        calibrate(made, np.random.default_rng(0).normal(size=(50, 8, 4)).astype("float32"))
        return made

    whole = ebops(built())
    model = built(parallelization_factor=factor)
    assert ebops(model) == pytest.approx(whole * (factor or 8) / 8)
    assert [traced_ebops(model, blocks) for blocks in (1, 2)] == pytest.approx([whole, whole / 2])


def test_an_estimate_is_refused_too(model, monkeypatch):
    monkeypatch.setattr(module, "build", None)
    with pytest.raises(ConfigError, match="go on with --option max_memory_gb=2"):
        estimate(model, "alkaid", max_memory_gb=0.5)


def test_the_report_has_time_and_memory_of_each_stage(model, tmp_path):
    seen = []
    with shown(seen.append):
        report = export(model, "alkaid", tmp_path / "rtl")
    stages = [(each.stage, each.part) for each in report.times]
    assert stages == [("tracing", "hidden"), ("tracing", "out"), ("optimizing", ""), ("checking", ""), ("writing", "")]
    assert seen == [f"{name} {part}".rstrip() for name, part in stages]
    assert all(each.seconds >= 0 and each.memory_mb > 1 for each in report.times)
    assert [row["stage"] for row in report.to_dict()["times"]] == [name for name, _ in stages]
    shown_line = next(line for line in str(report).splitlines() if line.startswith("tracing "))
    assert shown_line.count(" s") == 4 and shown_line.endswith("GB of memory at most")


def test_a_stage_that_fails_is_not_in_the_times():
    with timed() as times, pytest.raises(ZeroDivisionError), stage("tracing"):
        1 / 0  # noqa: B018
    assert times == []


@pytest.mark.slow
@pytest.mark.skipif(shutil.which("verilator") is None, reason="Verilator is not installed: apt-get install verilator")
@pytest.mark.parametrize("options", [{}, {"latency_cutoff": 2}])
def test_verilator_agrees_and_sees_a_wrong_vector(model, tmp_path, monkeypatch, options):
    monkeypatch.setenv("SIMULATOR", "verilator")
    checked = export(model, "alkaid", tmp_path / "rtl", **options).checked
    simulation = module.AlkaidExporter().simulate(tmp_path / "rtl")
    assert (simulation.samples, simulation.mismatches) == (checked, 0)
    assert (tmp_path / "rtl" / "sim" / "testbench" / "simulation").is_file()
    vectors = tmp_path / "rtl" / "vectors" / "outputs.hex"
    first, *others = vectors.read_text().splitlines()
    wrong = f"{int(first, 16) ^ 1:0{len(first)}x}"
    vectors.write_text("\n".join([wrong, *others]) + "\n")
    assert module.AlkaidExporter().simulate(tmp_path / "rtl").mismatches == 1


@pytest.mark.parametrize(
    ("simulator", "said"), [("verilator", "verilator is not installed"), ("modelsim", "Allowed: i")]
)
def test_a_simulator_that_is_not_there(model, tmp_path, monkeypatch, simulator, said):
    export(model, "alkaid", tmp_path / "rtl")
    monkeypatch.setenv("SIMULATOR", simulator)
    monkeypatch.setattr(shutil, "which", lambda command: None)
    with pytest.raises(ToolError, match=said):
        module.AlkaidExporter().simulate(tmp_path / "rtl")


KILLED = """
import sys, hgq2_core, keras, time
from hgq2_core import export, load_model
import hgq2_alkaid.exporter as exporter
def stuck(*args, **kwargs):
    print("tracing", flush=True)
    time.sleep(60)
exporter.build = stuck
export(load_model("model.keras"), "alkaid", "rtl")
"""


@pytest.mark.slow
def test_a_killed_export_leaves_no_directory(model, tmp_path):
    model.save(tmp_path / "model.keras")
    command = [sys.executable, "-c", KILLED]
    with subprocess.Popen(command, cwd=tmp_path, stdout=subprocess.PIPE, env=dict(os.environ)) as process:
        assert process.stdout.readline() == b"tracing\n"
        time.sleep(0.1)
        process.send_signal(signal.SIGKILL)
    assert not (tmp_path / "rtl").exists()
    export(model, "alkaid", tmp_path / "rtl")
    assert (tmp_path / "rtl" / "ports.json").is_file()
