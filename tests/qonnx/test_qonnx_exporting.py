"""What an export to QONNX writes, what it says, and what it refuses before anything is written."""

from __future__ import annotations

import json
import re
import sys

import keras
import numpy as np
import pytest

pytest.importorskip("qonnx", reason="qonnx is not installed: make install")

from hgq2_core import ConfigError, ExactnessError, ToolError, WriteError, calibrate, defaults, estimate, export, freeze
from hgq2_core.exporting.export import exporter_of
from hgq2_fixed_point import KBI, KIF
from hgq2_layers import QDense

pytestmark = pytest.mark.once


def values(samples=40):
    return (np.random.default_rng(2).normal(size=(samples, 4)) * 3).astype(np.float32)


def model_with(overflow_mode, **arguments):
    keras.utils.set_random_seed(3)
    with defaults(weight=KBI(b=4, i=0), activation=KIF(i=2, f=3, overflow_mode=overflow_mode, **arguments)):
        layers = [QDense(3, "relu", bias_initializer="normal", name="hidden"), QDense(2, name="logits")]
        model = keras.Sequential([keras.Input((4,), name="x"), *layers], name="chain")
    calibrate(model, values() / 3)
    return model


@pytest.fixture(scope="module")
def model():
    return model_with("SAT_SYM", granularity="tensor")


@pytest.fixture(scope="module")
def written(model, tmp_path_factory):
    directory = tmp_path_factory.mktemp("exported") / "out"
    return export(model, "qonnx", directory, values())


def test_the_directory_holds_the_files_the_ports_and_the_vectors(written):
    assert sorted(path.name for path in written.path.iterdir()) == [
        "model.onnx", "model_batch.onnx", "notes.txt", "ports.json", "report.json", "vectors",
    ]  # fmt: skip
    ports = json.loads((written.path / "ports.json").read_text())
    assert [(port["name"], port["shape"]) for port in ports["inputs"] + ports["outputs"]] == [
        ("x", [4]), ("logits", [2]),
    ]  # fmt: skip
    assert (written.path / "notes.txt").read_text().splitlines() == list(written.notes)


def test_versions_and_names_are_those_that_the_page_says(written):
    import onnx

    file = onnx.load(written.path / "model.onnx")
    assert [(each.domain, each.version) for each in file.opset_import] == [("", 13), ("qonnx.custom_op.general", 1)]
    assert (file.ir_version, file.producer_name, file.graph.name) == (8, "hgq2-qonnx", "chain")
    sizes = [[d.dim_value for d in each.type.tensor_type.shape.dim] for each in (*file.graph.input, *file.graph.output)]
    assert ([each.name for each in (*file.graph.input, *file.graph.output)], sizes) == (
        ["x", "logits"],
        [[1, 4], [1, 2]],
    )


def test_a_model_that_saturates_by_tensor_is_quantizers_and_products(model, written):
    import onnx

    file = onnx.load(written.path / "model.onnx")
    assert {node.op_type for node in file.graph.node} == {"Quant", "Add", "MatMul", "Relu"}
    constants = {each.name: onnx.numpy_helper.to_array(each) for each in file.graph.initializer}
    for layer in freeze(model).layers:
        kernel = keras.ops.convert_to_numpy(layer.constants(False)["kernel"])
        assert any(np.array_equal(each, kernel) for each in constants.values())


def test_the_vectors_are_raw_inputs_and_what_keras_gives(model, written):
    given, wanted = (np.load(written.path / "vectors" / f"{name}.npz") for name in ("inputs", "outputs"))
    assert np.array_equal(given["x"][:40], values())
    assert np.array_equal(wanted["logits"], freeze(model).predict(given["x"], verbose=0))
    assert len(given["x"]) == written.checked == 40 + 259


def test_the_report_lists_what_other_tools_do_not_take(written):
    assert re.match(r"\d+ nodes: \d Quant, ", written.notes[0])
    assert set(written.notes) <= set(str(written).splitlines())
    wrapping = estimate(model_with("WRAP"), "qonnx", allow_plain=True)
    assert wrapping.path is None
    assert any(
        line.startswith("plain operations in place of a quantizer") and "hidden" in line for line in wrapping.notes
    )
    assert not any(line.startswith("plain operations") for line in written.notes)


def test_wrapping_needs_plain_operations(tmp_path):
    message = (
        r"^hidden: its quantizer has overflow_mode WRAP, and QONNX's Quant saturates\. Say allow_plain=true "
        r"\(--option allow_plain=true\), with which plain operations compute the same, or train with SAT or SAT_SYM\."
    )
    with pytest.raises(ExactnessError, match=message):
        export(model_with("WRAP"), "qonnx", tmp_path / "out")
    assert list(tmp_path.iterdir()) == []


def test_wrapping_that_never_happens_is_a_quantizer(tmp_path):
    with defaults(weight=KBI(b=4, i=0), activation=KIF(i=2, f=3, overflow_mode="SAT")):
        layers = [QDense(3, name="hidden"), QDense(2, input_quantizer=KIF(i=9, f=8, i_decay=0.0), name="logits")]
        model = keras.Sequential([keras.Input((4,), name="x"), *layers])
    calibrate(model, values(), margin=4)
    assert not any("plain" in line for line in estimate(model, "qonnx").notes)


def test_sums_beyond_float32_are_refused_by_the_layer_and_the_bits(tmp_path):
    wide = KIF(i=4, f=12, overflow_mode="SAT")
    weights = keras.initializers.RandomUniform(8, 15, seed=1)
    model = keras.Sequential([
        keras.Input((4,)),
        QDense(2, input_quantizer=wide, kernel_quantizer=wide, kernel_initializer=weights, name="wide"),
    ])  # fmt: skip
    calibrate(model, values())
    with pytest.raises(ExactnessError, match=r"^wide: a sum or product needs \d+ bits, and float32, in which QONNX "):
        export(model, "qonnx", tmp_path / "out")
    assert list(tmp_path.iterdir()) == []


def test_inputs_of_float64_are_refused(tmp_path):
    model = keras.Sequential([keras.Input((4,), dtype="float64", name="x"), QDense(2)])
    calibrate(model, values())
    with pytest.raises(ExactnessError, match=r"^input 'x': QONNX computes in float32\. Received: dtype=float64\."):
        export(model, "qonnx", tmp_path / "out", allow_plain=True)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"flavor": "verilog"}, "unknown field 'flavor'. Allowed: allow_plain, input_format."),
        ({"allow_plain": "yes"}, "allow_plain: "),
        ({"input_format": (2, 1, 1)}, "input_format.0: not allowed. Received: 2 (int). Allowed: 0, 1."),
    ],
)
def test_options_are_checked(options, message, model, tmp_path):
    with pytest.raises(ConfigError, match=re.escape(f"export to qonnx: {message}")):
        export(model, "qonnx", tmp_path / "out", **options)
    assert list(tmp_path.iterdir()) == []


def test_the_simulation_sees_a_wrong_bit_and_what_is_missing(model, tmp_path):
    report = export(model, "qonnx", tmp_path / "out", values())
    exporter = exporter_of("qonnx")
    assert vars(exporter.simulate(report.path)) == {"samples": 299, "mismatches": 0}
    path = report.path / "vectors/outputs.npz"
    with np.load(path) as archive:
        outputs = dict(archive)
    outputs["logits"][7, 0] += 0.125
    np.savez(path, **outputs)
    assert exporter.simulate(report.path).mismatches == 1
    np.savez(path, logits=outputs["logits"][:100])
    with pytest.raises(ToolError, match="the test vectors are of unequal length"):
        exporter.simulate(report.path)
    path.write_bytes(path.read_bytes()[:50])
    with pytest.raises(ToolError, match="the test vectors cannot be read: "):
        exporter.simulate(report.path)
    (report.path / "model_batch.onnx").unlink()
    with pytest.raises(ToolError, match=r"model_batch\.onnx is not there; only what `export` wrote is simulated"):
        exporter.simulate(report.path)


@pytest.mark.parametrize(("module", "what"), [("onnx", "export"), ("qonnx.core.modelwrapper", "simulate")])
def test_a_package_that_is_missing_is_named(module, what, model, written, monkeypatch, tmp_path):
    monkeypatch.setitem(sys.modules, module, None)
    with pytest.raises(ToolError, match=rf"^{what}: q?onnx cannot be imported: .* Install it with pip install 'q?onnx"):
        export(model, "qonnx", tmp_path / "out") if what == "export" else exporter_of("qonnx").simulate(written.path)
    assert list(tmp_path.iterdir()) == []


def test_a_full_disk_leaves_nothing(model, tmp_path, monkeypatch):
    def full(*arguments, **named):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("os.fsync", full)
    with pytest.raises(WriteError, match="No space left on device"):
        export(model, "qonnx", tmp_path / "out")
    assert list(tmp_path.iterdir()) == []
