"""VHDL in GHDL and functions for Vitis HLS by g++ give what the integers give, on the vectors of Verilog."""

from __future__ import annotations

import json
import shutil

import pytest

pytest.importorskip("alkaid.trace", reason="alkaid is not installed: make install")

from exported_models import calibrated, samples_of
from test_streams import data, stream_of

from hgq2_core import ToolError, export
from hgq2_core.exporting.export import exporter_of
from hgq2_core.exporting.exporter import Simulation
from hgq2_layers import QSimpleRNN

TOOLS = {"vhdl": "ghdl", "vitis": "g++"}
BENCHES = {"vhdl": "sim/testbench.vhd", "vitis": "sim/testbench.cc"}

FLAVOR = pytest.mark.parametrize("flavor", TOOLS)


@pytest.fixture
def tool(flavor):
    if shutil.which(TOOLS[flavor]) is None:
        pytest.skip(f"{TOOLS[flavor]} is not installed: apt-get install {TOOLS[flavor]}")


def of(name):
    """A model, and samples of which many lie outside the calibrated range."""
    if name == "stateful":
        return stream_of(QSimpleRNN, activation="relu"), data()
    model = calibrated(name)
    return model, samples_of(model, 3.0, samples=200)


@pytest.mark.parametrize(
    ("flavor", "name"),
    [
        pytest.param(flavor, name, marks=pytest.mark.slow if flavor == "vhdl" or name == "mlp" else pytest.mark.nightly)
        for flavor in TOOLS
        for name in ("mlp", "softmax", "stateful")
    ],
)
def test_every_output_is_that_of_the_integers(flavor, name, tool, tmp_path):
    model, x = of(name)
    reports = [export(model, "alkaid", tmp_path / each, x, flavor=each) for each in (flavor, "verilog")]
    assert exporter_of("alkaid").simulate(tmp_path / flavor) == Simulation(reports[0].checked, mismatches=0)
    for vectors in ("inputs.hex", "outputs.hex"):
        texts = [(report.path / "vectors" / vectors).read_text() for report in reports]
        assert texts[0] == texts[1]


@pytest.mark.parametrize(
    "flavor",
    [pytest.param("vhdl", marks=pytest.mark.slow), pytest.param("vitis", marks=pytest.mark.nightly)],
)
def test_the_bench_sees_wrong_and_missing_samples(flavor, tool, tmp_path):
    model, x = of("mlp")
    report = export(model, "alkaid", tmp_path / "out", x, flavor=flavor)
    vectors = tmp_path / "out" / "vectors" / "outputs.hex"
    first, *rest = vectors.read_text().splitlines()
    wrong = f"{int(first, 16) ^ 1:0{len(first)}x}"
    vectors.write_text("\n".join([wrong, *rest]) + "\n")
    assert exporter_of("alkaid").simulate(report.path).mismatches == 1
    vectors.write_text("\n".join([wrong, *rest[:-1]]) + "\n")
    with pytest.raises(ToolError, match=r"^simulate: .*simulate\.sh failed: "):
        exporter_of("alkaid").simulate(report.path)


@pytest.mark.slow
@pytest.mark.skipif(shutil.which("ghdl") is None, reason="ghdl is not installed: apt-get install ghdl")
def test_a_pipeline_in_vhdl_is_read_after_its_cycles(tmp_path):
    model, x = of("mlp")
    report = export(model, "alkaid", tmp_path / "out", x, flavor="vhdl", latency_cutoff=3)
    assert report.cycles > 1
    assert exporter_of("alkaid").simulate(report.path) == Simulation(report.checked, mismatches=0)


@pytest.fixture(scope="module")
def written(tmp_path_factory):
    """An export in each flavor, which several tests look at."""
    model = calibrated("mlp")
    folder = tmp_path_factory.mktemp("flavors")
    for flavor in TOOLS:
        export(model, "alkaid", folder / flavor, flavor=flavor)
    return folder


@FLAVOR
def test_a_flavor_comes_with_vectors_a_bench_and_a_script(flavor, written):
    for name in ("ports.json", "vectors/inputs.hex", "simulate.sh", BENCHES[flavor]):
        assert (written / flavor / name).is_file()


@pytest.mark.parametrize(
    ("flavor", "message"),
    [
        ("vhdl", "simulate: ghdl is not installed. Install GHDL, such as apt-get install ghdl"),
        (
            "vitis",
            "simulate: no C++ compiler is installed. Install one, such as apt-get install g++, or name it in CXX.",
        ),
    ],
)
def test_without_its_tool_the_remedy_is_named(flavor, message, written, monkeypatch):
    for variable in ("CXX", "SIMULATOR"):
        monkeypatch.delenv(variable, raising=False)
    monkeypatch.setattr(shutil, "which", lambda name: None)
    with pytest.raises(ToolError) as error:
        exporter_of("alkaid").simulate(written / flavor)
    assert str(error.value) == message


def test_a_simulator_of_another_language_is_refused(written, monkeypatch):
    monkeypatch.setenv("SIMULATOR", "verilator")
    with pytest.raises(ToolError, match=r"^simulate: SIMULATOR='verilator'\. Allowed: ghdl\.$"):
        exporter_of("alkaid").simulate(written / "vhdl")


def test_a_directory_that_does_not_say_its_flavor_is_refused(written, tmp_path):
    shutil.copytree(written / "vhdl", tmp_path / "out")
    (tmp_path / "out" / "metadata.json").write_text(json.dumps({"flavor": "chisel"}))
    with pytest.raises(
        ToolError, match=r"metadata\.json: flavor: Received: 'chisel'\. Allowed: verilog, vhdl, vitis\.$"
    ):
        exporter_of("alkaid").simulate(tmp_path / "out")
