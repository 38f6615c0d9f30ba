"""What an export to hls4ml writes, what it says, and what it refuses before anything is written."""

from __future__ import annotations

import json
import re
import shutil
import sys

import keras
import numpy as np
import pytest

pytest.importorskip("hls4ml", reason="hls4ml is not installed: make install")

from exported_models import calibrated

from hgq2_core import ConfigError, ExactnessError, ToolError, calibrate, ebops, estimate, export, freeze, host_quantize
from hgq2_core.exporting.export import exporter_of
from hgq2_fixed_point import KIF
from hgq2_hls4ml.project import Project
from hgq2_layers import QGRU, QConv1D, QDense, QQuantize

X = np.random.default_rng(3).normal(size=(20, 4)).astype(np.float32)


def files(directory):
    return {str(path.relative_to(directory)): path.read_bytes() for path in directory.rglob("*") if path.is_file()}


@pytest.fixture(scope="module")
def written(tmp_path_factory):
    """One export, of the model of the fixture `dense`, which several tests look at."""
    keras.utils.set_random_seed(3)
    layers = [QDense(3, "relu", bias_initializer="normal", name="hidden"), QDense(2, name="logits")]
    model = keras.Sequential([keras.Input((4,), name="x"), *layers], name="chain")
    calibrate(model, X)
    directory = tmp_path_factory.mktemp("hls4ml") / "out"
    return model, export(model, "hls4ml", directory, X, clock_period=4, part="xc7z020clg400-1")


def test_the_directory_is_a_project_of_hls4ml(written):
    _, report = written
    config = (report.path / "hls4ml_config.yml").read_text()
    assert "ClockPeriod: 4" in config and "Part: xc7z020clg400-1" in config and "Backend: Vitis" in config
    source = (report.path / "firmware/model.cpp").read_text()
    assert source.count("nnet::dense<") == 2
    assert "(x_in, " in source.partition("nnet::dense<")[2].splitlines()[0]  # nothing in front of the first layer
    assert "input_t x_in[4]" in source
    ports = json.loads((report.path / "ports.json").read_text())
    assert [(port["name"], port["shape"]) for port in ports["inputs"] + ports["outputs"]] == [
        ("x", [4]), ("logits", [2]),
    ]  # fmt: skip


def test_the_test_vectors_are_those_of_the_host_and_of_keras(written):
    model, report = written
    given = np.loadtxt(report.path / "tb_data/tb_input_features.dat")
    wanted = np.loadtxt(report.path / "tb_data/tb_output_predictions.dat")
    f = [element.f for element in report.inputs[0].elements]
    assert np.array_equal(given[: len(X)], np.ldexp(host_quantize(report.path, X)["x"], np.negative(f)))
    assert np.array_equal(wanted[: len(X)], freeze(model).predict(X, verbose=0))
    assert len(given) == len(wanted) == report.checked


def test_weights_and_biases_are_exact(written):
    model, report = written
    text = (report.path / "firmware/weights").glob("*.h")
    numbers = [re.search(r"= \{(.*)\};", path.read_text())[1] for path in sorted(text)]
    found = {tuple(float(x) for x in each.split(",")) for each in numbers}
    for layer in freeze(model).layers:
        for constant in layer.constants(False).values():
            assert tuple(keras.ops.convert_to_numpy(constant).ravel().tolist()) in found


def test_the_report_has_no_cost_that_hls4ml_does_not_know(written):
    model, report = written
    assert (report.exporter, report.cost, report.latency, report.stages) == ("hls4ml.hls4ml", None, None, None)
    assert str(report).splitlines()[0] == f"EBOPs {ebops(model):,.0f}"
    assert {**estimate(model, "hls4ml", clock_period=4).to_dict(), "checked": None, "path": None} == {
        **report.to_dict(),
        "checked": None,
        "path": None,
    }


def test_an_export_repeats_itself_and_names_no_directory_of_this_machine(written, tmp_path):
    model, report = written
    export(model, "hls4ml", tmp_path / "again", X, clock_period=4, part="xc7z020clg400-1")
    assert files(tmp_path / "again") == files(report.path)
    assert not [name for name, content in files(report.path).items() if str(report.path.parent).encode() in content]


@pytest.mark.slow
@pytest.mark.skipif(shutil.which("g++") is None, reason="g++ is not installed: apt-get install g++")
def test_the_test_bench_sees_a_wrong_number(written, tmp_path):
    _, report = written
    shutil.copytree(report.path, tmp_path / "out")
    vectors = tmp_path / "out/tb_data/tb_output_predictions.dat"
    first, *rest = vectors.read_text().splitlines()
    vectors.write_text("\n".join([first.replace(first.split()[0], "0.3", 1), *rest]) + "\n")
    assert exporter_of("hls4ml").simulate(tmp_path / "out").mismatches == 1
    (tmp_path / "out/firmware/model.cpp").write_text("int wrong = ;")
    with pytest.raises(ToolError, match=r"^simulate: .*simulate.sh failed: .*error: "):
        exporter_of("hls4ml").simulate(tmp_path / "out")


def test_without_a_compiler_the_remedy_is_named(written, monkeypatch):
    monkeypatch.delenv("CXX", raising=False)
    monkeypatch.setattr(shutil, "which", lambda name: None)
    with pytest.raises(ToolError, match=r"^simulate: no C\+\+ compiler is installed\. Install one, such as"):
        exporter_of("hls4ml").simulate(written[1].path)


@pytest.mark.parametrize("missing", ["hls4ml", "hls4ml.model"])
def test_without_hls4ml_or_what_it_needs_the_remedy_is_named(missing, written, monkeypatch, tmp_path):
    monkeypatch.setitem(sys.modules, missing, None)
    message = rf"^export: hls4ml cannot be imported: .*{missing}.*\. Install it with pip install 'hls4ml>=1\.3,<1\.4'$"
    with pytest.raises(ToolError, match=message):
        export(written[0], "hls4ml", tmp_path / "out")
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"backend": "vitis"}, "backend: not allowed. Received: 'vitis' (str). Allowed: 'Vitis', 'Vivado', 'oneAPI', "),
        ({"reuse_factr": 2}, "unknown field 'reuse_factr'. Allowed: backend, clock_period, "),
        ({"reuse_factor": 0}, "reuse_factor: must be greater than or equal to 1. Received: 0"),
        ({"io_type": "io_stream", "backend": "oneAPI"}, "io_type: streams are for Vitis and Vivado alone. Received: "),
        ({"strategy": "Unrolled"}, "strategy: not allowed. Received: 'Unrolled' (str). Allowed: 'Latency', 'Resource'"),
    ],
)  # fmt: skip
def test_options_are_checked(options, message, written, tmp_path):
    with pytest.raises(ConfigError, match=re.escape(f"export to hls4ml: {message}")):
        export(written[0], "hls4ml", tmp_path / "out", **options)
    assert list(tmp_path.iterdir()) == []


def test_a_write_that_fails_leaves_nothing(written, tmp_path, monkeypatch):
    def full(*args: object) -> None:
        raise OSError("no space left")

    monkeypatch.setattr("hgq2_hls4ml.exporter.write_simulation", full)
    with pytest.raises(OSError, match="no space left"):
        export(written[0], "hls4ml", tmp_path / "out")
    assert list(tmp_path.iterdir()) == []


def test_a_failure_of_hls4ml_is_told(written, tmp_path, monkeypatch):
    monkeypatch.setattr("hls4ml.model.ModelGraph.from_layer_list", lambda *args: {}["layer"])
    with pytest.raises(ToolError, match=r"^export: hls4ml failed, so nothing is exported: KeyError\('layer'\)\. "):
        export(written[0], "hls4ml", tmp_path / "out")
    assert list(tmp_path.iterdir()) == []


def test_a_type_that_hls4ml_changes_is_no_export(written, tmp_path, monkeypatch):
    monkeypatch.setattr("hgq2_hls4ml.project.Project._config", with_a_type_of_its_own)
    with pytest.raises(ExactnessError, match=r"^hidden_\d+: hls4ml changed the type of this layer, .* fixed<3,3>\. "):
        export(written[0], "hls4ml", tmp_path / "out")
    assert list(tmp_path.iterdir()) == []


def with_a_type_of_its_own(project, directory, configured=Project._config):
    config = configured(project, directory)
    layer = next(name for name in config["HLSConfig"]["LayerName"] if name.startswith("hidden"))
    config["HLSConfig"]["LayerName"][layer]["Precision"] = {"result": "fixed<3,3>"}
    return config


@pytest.mark.parametrize("backend", ["oneAPI", "Quartus"])
def test_other_backends_are_written_and_not_simulated(backend, written, tmp_path):
    report = export(written[0], "hls4ml", tmp_path / "out", backend=backend)
    (code,) = report.path.rglob("hgq2_nodes.h")
    assert "ac_fixed<" in code.read_text() and "ap_fixed<" not in code.read_text()
    with pytest.raises(ToolError, match="only the backends 'Vitis' and 'Vivado' are simulated"):
        exporter_of("hls4ml").simulate(report.path)


REFUSED = {
    "oneAPI": (
        lambda: [QDense(3, name="a"), QQuantize(KIF(k=1, i=0, f=0, overflow_mode="SAT"), name="b")],
        (4,),
        r"^b_\d+: a quantizer to 1 bit\. oneAPI and Quartus have no type of fewer than 2 bits\.$",
    ),
    "Quartus": (
        lambda: [QConv1D(2, 2, name="c")],
        (4, 2),
        r"^c_\d+: a product of matrices\. hls4ml's Quartus has none; oneAPI has\.$",
    ),
    "Vitis": (
        lambda: [QDense(2, kernel_initializer="zeros", name="a")],
        (4,),
        r"^chain: its outputs are constant, whatever the inputs are; there is nothing to export\.$",
    ),
}


@pytest.mark.parametrize("backend", REFUSED)
def test_what_a_backend_lacks_is_refused_before_anything_is_written(backend, calibrated, tmp_path):
    layers, shape, message = REFUSED[backend]
    model = calibrated(keras.Sequential([keras.Input(shape, name="x"), *layers()], name="chain"))
    with pytest.raises(ExactnessError, match=message):
        export(model, "hls4ml", tmp_path / "out", backend=backend)
    assert list(tmp_path.iterdir()) == []


def test_a_reuse_factor_that_a_layer_cannot_take_is_told(written, tmp_path):
    message = (
        r"^export to hls4ml: not every layer can take these factors\. "
        r"Used: hidden_\d+ reuse_factor 4; logits_\d+ reuse_factor 6\.$"
    )
    with pytest.warns(UserWarning, match=message):
        export(written[0], "hls4ml", tmp_path / "out", strategy="Resource", reuse_factor=7)


def test_inputs_whose_names_differ_in_case_alone(calibrated, tmp_path):
    inputs = [keras.Input((2,), name=name) for name in ("x", "X")]
    model = calibrated(keras.Model(inputs, [QDense(1)(each) for each in inputs]))
    report = export(model, "hls4ml", tmp_path / "out")
    assert re.findall(r"input\d*_t (\w+)\[2\]", (report.path / "firmware/model.cpp").read_text()) == ["x_in0", "x_in1"]


@pytest.mark.parametrize("wanted", [(1, 3, 6), [1, 3, 6]])
def test_inputs_that_the_project_quantizes_itself(wanted, written):
    report = estimate(written[0], "hls4ml", input_format=wanted)
    assert {(element.k, element.i, element.f) for element in report.inputs[0].elements} == {(1, 3, 6)}


def test_states_are_refused_before_anything_is_written(tmp_path):
    x = keras.Input((1, 2), 1, name="x")
    model = keras.Model(x, QGRU(2, stateful=True, name="steps")(x))
    for refused in (lambda: estimate(model, "hls4ml"), lambda: export(model, "hls4ml", tmp_path / "out")):
        with pytest.raises(ExactnessError) as error:
            refused()
        assert str(error.value).partition(": ")[2] == (
            "what hls4ml makes begins every call at 0, and steps begins where the call before ended. Leave stateful "
            "out, and use initial_state and return_state=True."
        )
    assert list(tmp_path.iterdir()) == []


def test_streams_refuse_products_of_data(tmp_path):
    model = calibrated("attention")
    with pytest.raises(
        ExactnessError, match=r"a product of data\. hls4ml's streams have none; io_type=io_parallel has"
    ):
        export(model, "hls4ml", tmp_path / "out", io_type="io_stream")
    assert list(tmp_path.iterdir()) == []


def test_streams_refuse_more_readers_than_hls4ml_copies_them_for(tmp_path):
    x = keras.Input((4,))
    hidden = QDense(3, "relu", name="hidden")(x)
    model = keras.Model(x, [QQuantize(KIF(i=2, f=f))(hidden) for f in range(8)])
    calibrate(model, X)
    with pytest.raises(
        ExactnessError, match=r"^hidden_\d+: 8 layers read its numbers, and hls4ml copies a stream for 7"
    ):
        export(model, "hls4ml", tmp_path / "out", io_type="io_stream")
    assert list(tmp_path.iterdir()) == []
