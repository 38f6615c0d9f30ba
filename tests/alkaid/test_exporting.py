"""What an export writes, what it says, and what it refuses before anything is written."""

from __future__ import annotations

import json
import re
import shutil
from pathlib import Path

import keras
import numpy as np
import pytest

pytest.importorskip("alkaid.trace", reason="alkaid is not installed: make install")

from alkaid.types import CombLogic

from hgq2_core import (
    CalibrationError,
    ConfigError,
    DataError,
    ExactnessError,
    KindError,
    QLayer,
    ToolError,
    ebops,
    estimate,
    export,
    freeze,
    host_quantize,
)
from hgq2_core.exporting.export import exporter_of
from hgq2_core.exporting.exporter import Simulation
from hgq2_fixed_point import KIF
from hgq2_layers import QDense, QDenseLUT


def chain(*layers, inputs=4):
    keras.utils.set_random_seed(3)
    return keras.Sequential([keras.Input((inputs,), name="x"), *layers], name="chain")


@pytest.fixture
def dense(fixed):
    return fixed(chain(QDense(3, "relu", name="hidden"), QDense(2, name="logits")))


def integers_of(word, port):
    """What a host reads from the bits of a port."""
    numbers = []
    for element in port["elements"]:
        bits = int(word, 16) >> element["offset"] & (1 << element["width"]) - 1
        negative = element["k"] and bits >> (element["width"] - 1)
        numbers.append((bits - (negative << element["width"])) * 2.0 ** -element["f"])
    return numbers


def test_the_directory_tells_a_host_all_it_needs(dense, inputs, tmp_path):
    x = inputs(dense)
    report = export(dense, "alkaid", tmp_path / "out", x, latency_cutoff=3)
    ports = json.loads((tmp_path / "out" / "ports.json").read_text())
    given, wanted = ((tmp_path / "out/vectors" / f"{name}.hex").read_text().split() for name in ("inputs", "outputs"))
    y = freeze(dense).predict(x, verbose=0)
    assert [integers_of(word, ports["outputs"][0]) for word in wanted[: len(x)]] == y.tolist()
    assert len(given) == len(wanted) == report.checked
    assert (ports["top"], ports["cycles"]) == ("model", report.stages + 1)
    assert [(port["name"], port["shape"]) for port in ports["inputs"] + ports["outputs"]] == [
        ("x", [4]), ("logits", [2]),
    ]  # fmt: skip
    element = ports["inputs"][0]["elements"][1]
    assert (element["round_mode"], element["overflow_mode"]) == ("RND", "WRAP")
    source = (tmp_path / "out/src/model.v").read_text()
    assert f"[{ports['signals']['model_inp'] - 1}:0] model_inp" in source
    assert f"[{ports['signals']['model_out'] - 1}:0] model_out" in source


def test_the_host_needs_only_the_format_of_each_input(dense, inputs, tmp_path):
    """Round half up and keep the low bits: what RND and WRAP of ports.json say."""
    x = inputs(dense)
    export(dense, "alkaid", tmp_path / "out", x)
    elements = json.loads((tmp_path / "out/ports.json").read_text())["inputs"][0]["elements"]
    for row, word in zip(x, (tmp_path / "out/vectors/inputs.hex").read_text().split(), strict=False):
        bits = 0
        for value, element in zip(row, elements, strict=True):
            number = int(np.floor(np.float64(value) * 2.0 ** element["f"] + 0.5))
            bits |= (number & (1 << element["width"]) - 1) << element["offset"]
        assert bits == int(word, 16)


def test_the_report_sets_the_cost_beside_the_ebops(dense, tmp_path):
    report = export(dense, "alkaid", tmp_path / "out")
    assert report.path == tmp_path / "out"
    assert report.ebops == ebops(dense)
    assert report.cost > 0 and report.latency > 0 and report.stages == 0
    assert [row.name for row in report.layers] == ["hidden", "logits"]
    assert report.layers[-1].bits == report.outputs[0].bits == sum(e.width for e in report.outputs[0].elements)
    assert json.loads(json.dumps(report.to_dict()))["outputs"][0]["name"] == "logits"
    lines = str(report).splitlines()
    assert lines[0].startswith(f"EBOPs {report.ebops:,.0f}, cost {report.cost:,.0f}, latency ")
    assert lines[-2:] == ["0 mismatches in 259 samples (circuit == integers)", f"exported to {tmp_path / 'out'}"]


def test_an_estimate_is_the_export_without_the_files(dense, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    guessed = estimate(dense, "alkaid", latency_cutoff=3)
    assert list(tmp_path.iterdir()) == []
    written = export(dense, "alkaid", tmp_path / "out", latency_cutoff=3)
    assert guessed.path is None
    other = {"path": None, "times": None}
    assert guessed.to_dict() | other == written.to_dict() | other


def test_a_format_of_the_inputs_may_be_a_list(dense):
    reports = [estimate(dense, "alkaid", input_format=each) for each in ((1, 3, 4), [1, 3, 4])]
    assert reports[0] == reports[1]


def test_a_frozen_model_exports_to_the_same_circuit(dense, tmp_path):
    reports = [export(model, "alkaid", tmp_path / str(n)) for n, model in enumerate((dense, freeze(dense)))]
    circuits = [CombLogic.load(report.path / "model/comb.json.gz") for report in reports]
    assert circuits[0] == circuits[1]


def test_no_file_names_a_directory_of_this_machine(dense, tmp_path):
    export(dense, "alkaid", tmp_path / "out")
    for path in (tmp_path / "out").rglob("*"):
        assert not path.is_file() or str(tmp_path).encode() not in path.read_bytes()


def test_the_test_bench_sees_a_wrong_bit(dense, icarus, tmp_path):
    report = export(dense, "alkaid", tmp_path / "out")
    vectors = tmp_path / "out/vectors/outputs.hex"
    first, *rest = vectors.read_text().splitlines()
    vectors.write_text("\n".join([f"{int(first, 16) ^ 1:x}", *rest]) + "\n")
    assert exporter_of("alkaid").simulate(report.path).mismatches == 1


def test_the_test_bench_sees_that_vectors_are_missing(dense, icarus, tmp_path):
    report = export(dense, "alkaid", tmp_path / "out")
    for path in (tmp_path / "out/vectors").iterdir():
        path.write_text("")
    assert exporter_of("alkaid").simulate(report.path) == Simulation(report.checked, mismatches=report.checked)


def test_without_icarus_the_remedy_is_named(dense, tmp_path, monkeypatch):
    export(dense, "alkaid", tmp_path / "out")
    monkeypatch.setattr(shutil, "which", lambda name: None)
    with pytest.raises(ToolError) as error:
        exporter_of("alkaid").simulate(tmp_path / "out")
    assert str(error.value) == (
        "simulate: iverilog is not installed. Install Icarus Verilog, such as apt-get install iverilog"
    )


class Silent(QLayer):
    """States no arithmetic."""

    def call(self, inputs):
        return inputs


SATURATING = KIF(i=2, f=2, overflow_mode="SAT")
LATE = KIF(i=2, f=2, overflow_mode="WRAP_SM")
REFUSED = {
    "no exact arithmetic": (
        lambda: [QDense(3, name="a"), keras.layers.LayerNormalization(name="norm")],
        r"^norm: keras.LayerNormalization has no exact arithmetic\. Use layer_normalization in its place",
    ),
    "no statement": (
        lambda: [QDense(3, name="a"), Silent(name="silent")],
        r"^silent: Silent defines no exact\(\)\.$",
    ),
    "an overflow without gates": (
        lambda: [QDense(3, name="a"), QDense(2, input_quantizer=LATE, name="late")],
        r"^late: overflow_mode='WRAP_SM' has no circuit, except in the quantizer of an input\. Allowed: WRAP, SAT, ",
    ),
    "raw inputs": (
        lambda: [keras.layers.ReLU(name="raw"), QDense(2, name="a")],
        r"^raw: it computes with input 'x' before any quantizer has given that a format\. Let a layer in front "
        r"quantize it, or say input_format=\(k, i, f\)\.$",
    ),
    "nothing but constants": (
        lambda: [QDense(2, kernel_initializer="zeros", name="a")],
        r"^chain: its outputs are constant, whatever the inputs are; there is no circuit to make\.$",
    ),
}


@pytest.mark.filterwarnings("ignore:Silent does not define:FutureWarning")
@pytest.mark.parametrize("name", REFUSED)
def test_what_has_no_circuit_is_refused_before_anything_is_written(name, fixed, tmp_path):
    layers, message = REFUSED[name]
    model = fixed(chain(*layers()))
    with pytest.raises(ExactnessError, match=message):
        export(model, "alkaid", tmp_path / "out")
    assert list(tmp_path.iterdir()) == []


def test_two_quantizers_of_one_input_are_two_elements_of_its_port(fixed, agree, inputs, tmp_path):
    x = keras.Input((2,), name="x")
    quantizers = (SATURATING, KIF(i=1, f=2, overflow_mode="SAT"), SATURATING)
    outputs = [QDense(1, input_quantizer=q, name=n)(x) for q, n in zip(quantizers, "abc", strict=True)]
    model = fixed(keras.Model(x, outputs))
    (port,) = agree(model).inputs
    assert [(element.place, element.i) for element in port.elements] == [(0, 2), (0, 1), (1, 2), (1, 1)]
    report = export(model, "alkaid", tmp_path / "out", inputs(model))
    first = (tmp_path / "out/vectors/inputs.hex").read_text().split()[: len(inputs(model))]
    given = host_quantize(report.path, inputs(model))["x"]
    ports = json.loads((tmp_path / "out/ports.json").read_text())
    scales = [2.0**-element.f for element in port.elements]
    assert [integers_of(word, ports["inputs"][0]) for word in first] == (given * scales).tolist()


LEVELS = {
    "minifloat": lambda: [QDense(3, input_quantizer={"kind": "minifloat.minifloat", "m": 2, "e": 3}, name="a")],
    "ternary": lambda: [QDense(3, input_quantizer={"kind": "fixed_point.ternary"}, name="a")],
    "lookup tables": lambda: [QDenseLUT(2, input_quantizer=KIF(i=1, f=2), name="a")],
}


@pytest.mark.parametrize("name", LEVELS)
def test_any_first_quantizer_is_the_work_of_the_host(name, fixed, agree):
    (port,) = agree(fixed(chain(*LEVELS[name](), QDense(2, name="b")))).inputs
    assert {element.steps is None for element in port.elements} == {name == "lookup tables"}


def test_an_uncalibrated_or_stale_model_is_refused(dense, tmp_path):
    with pytest.raises(CalibrationError, match=r"^export: uncalibrated activations: new\.input"):
        export(chain(QDense(2, name="new")), "alkaid", tmp_path / "out")
    dense.layers[0].kernel.assign(dense.layers[0].kernel + 1)
    for call in (lambda: export(dense, "alkaid", tmp_path / "out"), lambda: estimate(dense, "alkaid")):
        with pytest.raises(CalibrationError, match=r"(export|estimate): stale calibration"):
            call()
    assert list(tmp_path.iterdir()) == []


def test_a_directory_with_something_in_it_is_left_alone(dense, tmp_path):
    (tmp_path / "out").mkdir()
    (tmp_path / "out" / "mine").write_text("")
    with pytest.raises(ConfigError, match="exists and is not empty; an export needs a new directory"):
        export(dense, "alkaid", tmp_path / "out")
    assert [path.name for path in tmp_path.rglob("*")] == ["out", "mine"]


def test_a_write_that_fails_leaves_nothing(dense, tmp_path, monkeypatch):
    def full(path: Path, obj: object) -> None:
        raise OSError("no space left")

    monkeypatch.setattr("hgq2_core.exporting.host_files.write_json", full)
    with pytest.raises(OSError, match="no space left"):
        export(dense, "alkaid", tmp_path / "out")
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"flavor": "verilogg"}, "flavor: not allowed. Received: 'verilogg' (str). Allowed: 'verilog', 'vhdl', "),
        ({"latency_cutof": 5}, "unknown field 'latency_cutof'. Allowed: bus_bits, clock_period, flavor, "),
        ({"part": "my part"}, r"part: must be a string that matches ^[\w.-]+$. Received: 'my part' (str)."),
        ({"latency_cutoff": 0}, "latency_cutoff: must be greater than 0. Received: 0"),
        ({"latency_cutoff": 5, "flavor": "vitis"}, "latency_cutoff: vitis makes its own pipeline. Leave it out"),
        ({"input_format": (2, 1, 1)}, "input_format.0: not allowed. Received: 2 (int). Allowed: 0, 1."),
    ],
)  # fmt: skip
def test_options_are_checked(options, message, dense, tmp_path):
    with pytest.raises(ConfigError, match=re.escape(f"export to alkaid: {message}")):
        export(dense, "alkaid", tmp_path / "out", **options)
    assert list(tmp_path.iterdir()) == []


def test_a_format_that_does_not_hold_the_data_is_refused(fixed, tmp_path):
    model = fixed(chain(QDense(2, input_quantizer=SATURATING, name="a")))
    x = np.array([[0.5, 1.0, -2.0, 1.5], [0.25, 1.0, 2.0, 1.5]], dtype=np.float32)
    with pytest.raises(DataError) as error:
        export(model, "alkaid", tmp_path / "out", x, input_format=(1, 1, 1))
    assert str(error.value) == (
        "input_format: the format does not hold 2 of 8 values of the data, such as 0.25. Widen it, bring the data into "
        "it first, or leave input_format out."
    )


def test_the_first_samples_become_test_vectors_and_the_report_says_so(dense, inputs, tmp_path):
    x = inputs(dense)
    cut, whole = (export(dense, "alkaid", tmp_path / str(n), x, max_samples=n) for n in (20, len(x)))
    assert cut.checked == 20 + 259 and whole.checked == len(x) + 259
    assert cut.notes == ("the first 20 of 1,000 samples are test vectors (max_samples)",) and whole.notes == ()
    assert cut.notes[0] in str(cut).splitlines()
    texts = [(report.path / "vectors/inputs.hex").read_text().split() for report in (cut, whole)]
    assert texts[0][:20] == texts[1][:20] and texts[0][20:] == texts[1][len(x) :]


@pytest.mark.parametrize("max_samples", [0, -1, 2.0, True])
def test_at_least_one_sample_is_a_test_vector(max_samples, dense, inputs, tmp_path):
    with pytest.raises(
        ConfigError, match=rf"max_samples` must be an integer .* Received: max_samples={max_samples!r}$"
    ):
        export(dense, "alkaid", tmp_path / "out", inputs(dense), max_samples=max_samples)
    assert list(tmp_path.iterdir()) == []


def test_an_exporter_that_is_not_there_is_named(dense, tmp_path):
    with pytest.raises(KindError, match=r"export: unknown exporter kind\. Received: 'alkade'.*Did you mean 'alkaid'\?"):
        export(dense, "alkade", tmp_path / "out")
