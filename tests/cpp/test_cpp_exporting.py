"""What an export to C++ writes, what it says, and what it refuses before anything is written."""

from __future__ import annotations

import importlib.util
import json
import re
import subprocess

import keras
import numpy as np
import pytest

pytest.importorskip("hgq2_cpp", reason="hgq2-cpp is not installed: make install")

from exported_models import oddly_named

from hgq2_core import ConfigError, ExactnessError, ToolError, calibrate, estimate, export, freeze, host_quantize
from hgq2_core.exporting.export import exporter_of
from hgq2_core.testing import check_exporter
from hgq2_fixed_point import KIF
from hgq2_layers import QDense

pytestmark = pytest.mark.once


def values(samples=300):
    return (np.random.default_rng(2).normal(size=(samples, 4)) * 3).astype(np.float32)


@pytest.fixture(scope="module")
def model():
    keras.utils.set_random_seed(3)
    model = keras.Sequential([keras.Input((4,), name="x"), QDense(3, "relu", name="hidden"), QDense(2, name="logits")])
    calibrate(model, values() / 3)
    return model


@pytest.fixture(scope="module")
def written(model, tmp_path_factory):
    directory = tmp_path_factory.mktemp("exported") / "out"
    export(model, "cpp", directory, values(), name="trigger")
    return directory


def test_the_directory_holds_all_that_software_needs(written):
    assert sorted(path.name for path in written.iterdir()) == sorted([
        "hgq2_host.h", "hgq2_rows.h", "host_quantize.h", "host_quantize.py", "ports.json", "report.json",
        "simulate.sh", "test.cpp", "trigger.h", "trigger.py", "trigger_c.cpp", "trigger_c.h", "vectors",
    ])  # fmt: skip
    for path in written.rglob("*"):
        text = path.read_bytes() if path.is_file() else b""
        assert not re.search(rb"@[A-Z]+@", text) and str(written).encode() not in text
    for path in written.glob("*.h"):  # the standard library, and each other
        included = re.findall(r"#include [<\"](.*)[>\"]", path.read_text())
        assert all("." not in name or name.startswith(("hgq2_", "host_", "math", "std")) for name in included)


def test_vectors_are_the_integers_of_the_ports(model, written):
    given, wanted = (np.loadtxt(written / "vectors" / f"{name}.txt", dtype=np.int64) for name in ("inputs", "outputs"))
    x = values()
    assert np.array_equal(given[: len(x)], host_quantize(written, x)["x"])
    f = [element["f"] for element in json.loads((written / "ports.json").read_text())["outputs"][0]["elements"]]
    assert np.array_equal(
        np.ldexp(wanted[: len(x)].astype(float), [-bits for bits in f]), freeze(model).predict(x, verbose=0)
    )


def test_the_report_names_its_loops(model):
    report = estimate(model, "cpp")
    assert report.path is None and report.cost > 0 and report.checked == 259
    assert str(report).splitlines()[0] == f"EBOPs {report.ebops:,.0f}, cost {report.cost:,.0f}"
    assert [row.name for row in report.layers] == ["hidden", "logits"]
    assert report.layers[-1].bits == report.outputs[0].bits


@pytest.mark.slow
def test_c_and_python_give_what_keras_gives(model, written, compiler):
    spec = importlib.util.spec_from_file_location("trigger", written / "trigger.py")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    module.build(written / "libtrigger.so", "-O2")
    emulator = module.Emulator()
    x = values(1000)
    x[0] = [1e30, -1e30, 1e-38, -1e-38]
    assert np.array_equal(emulator.predict(x), freeze(model).predict(x, verbose=0))
    with pytest.raises(ValueError, match="NaN or infinite"):
        emulator.predict(np.full((3, 4), np.nan))
    with pytest.raises(ValueError, match="takes an array for each of 1 inputs"):
        emulator.predict([x, x])
    with pytest.raises(ValueError, match=r"input 0 takes 4 numbers for each sample\. Received: shape \(2, 3\)"):
        emulator.predict(x[:2, :3])
    with pytest.raises(ValueError, match=r"input 0 takes 4 numbers for each sample\. Received: shape \(2, 8\)"):
        emulator.run([np.zeros((2, 8), dtype=np.int64)])


@pytest.mark.slow
def test_the_simulation_sees_a_wrong_bit(model, compiler, tmp_path):
    report = export(model, "cpp", tmp_path / "out", values())
    exporter = exporter_of("cpp")
    assert vars(exporter.simulate(report.path)) == {"samples": 559, "mismatches": 0}
    path = report.path / "vectors/outputs.txt"
    first, *rest = path.read_text().splitlines()
    numbers = first.split()
    path.write_text("\n".join([" ".join([str(int(numbers[0]) + 1), *numbers[1:]]), *rest]) + "\n")
    assert exporter.simulate(report.path).mismatches == 1


@pytest.mark.slow
def test_vectors_that_are_missing_or_cut_off_are_no_success(model, compiler, tmp_path):
    report = export(model, "cpp", tmp_path / "out")
    inputs, outputs = (report.path / "vectors" / f"{name}.txt" for name in ("inputs", "outputs"))
    for texts in ((inputs.read_text()[:200], outputs.read_text()), ("", "")):
        for path, text in zip((inputs, outputs), texts, strict=True):
            path.write_text(text)
        with pytest.raises(ToolError, match="the test vectors are cut off, or of unequal length"):
            exporter_of("cpp").simulate(report.path)


@pytest.mark.slow
def test_it_keeps_the_rules_of_the_kit(model, compiler):
    check_exporter("cpp.cpp", model, values(20))


def test_without_a_compiler_the_remedy_is_named(written, monkeypatch):
    monkeypatch.setenv("CXX", "no-such-compiler -m64")
    with pytest.raises(ToolError, match=r"^simulate: CXX='no-such-compiler -m64' is not there\. Install one, such as"):
        exporter_of("cpp").simulate(written)
    monkeypatch.delenv("CXX")
    monkeypatch.setattr("shutil.which", lambda name: None)
    with pytest.raises(ToolError, match=r"^simulate: no C\+\+ compiler is installed\. Install one, such as"):
        exporter_of("cpp").simulate(written)


def test_a_compiler_that_fails_is_quoted(written, monkeypatch):
    def run(*arguments, **named):
        return subprocess.CompletedProcess(arguments, 1, "", "out of memory")

    monkeypatch.setattr("shutil.which", lambda name: name)
    monkeypatch.setattr("subprocess.run", run)
    with pytest.raises(ToolError, match="failed: out of memory"):
        exporter_of("cpp").simulate(written)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"flavor": "verilog"}, "unknown field 'flavor'. Allowed: input_format, name."),
        ({"name": "3d model"}, "name: "),
        ({"name": "class"}, "name: is a keyword of C++. Received: 'class'. Allowed: another name, such as 'trigger'."),
        ({"name": "std"}, "name: is a name in the code or beside it. Received: 'std'."),
        ({"name": "host_quantize"}, "name: is a name in the code or beside it. Received: 'host_quantize'."),
        ({"name": "quantize"}, "name: is a name in the code or beside it. Received: 'quantize'."),
        ({"name": "enter"}, "name: is a name in the code or beside it. Received: 'enter'."),
        ({"name": "Row"}, "name: is a name in the code or beside it. Received: 'Row'."),
        ({"name": "linux"}, "name: is a macro of some compilers. Received: 'linux'."),
        ({"name": "json"}, "name: is a module that Python's loader imports, or could. Received: 'json'."),
        ({"name": "None"}, "name: is a keyword of Python. Received: 'None'."),
        ({"input_format": (2, 1, 1)}, "input_format.0: not allowed. Received: 2 (int). Allowed: 0, 1."),
    ],
)
def test_options_are_checked(options, message, model, tmp_path):
    with pytest.raises(ConfigError, match=re.escape(f"export to cpp: {message}")):
        export(model, "cpp", tmp_path / "out", **options)
    assert list(tmp_path.iterdir()) == []


@pytest.mark.slow
@pytest.mark.parametrize("name", ["main", "exp", "Rows"])
def test_names_of_c_and_of_the_model_itself_are_names_like_others(name, model, compiler, tmp_path):
    report = export(model, "cpp", tmp_path / "out", name=name)
    assert exporter_of("cpp").simulate(report.path).mismatches == 0


@pytest.mark.slow
def test_whatever_layers_and_ports_are_called_the_code_compiles(compiler, tmp_path):
    report = export(oddly_named(), "cpp", tmp_path / "out")
    assert exporter_of("cpp").simulate(report.path).mismatches == 0


@pytest.mark.slow
def test_a_name_that_is_a_macro_where_it_is_compiled_is_told(model, compiler, tmp_path, monkeypatch):
    report = export(model, "cpp", tmp_path / "out", name="trigger")
    monkeypatch.setenv("CXXFLAGS", "-Dtrigger=1")
    with pytest.raises(ToolError, match=r"trigger is a macro here\. Export the model under another name"):
        exporter_of("cpp").simulate(report.path)


def test_numbers_beyond_64_bits_are_refused_by_the_layer(tmp_path):
    wide = KIF(i=22, f=24, overflow_mode="SAT")
    model = keras.Sequential([
        keras.Input((2,)),
        QDense(2, input_quantizer=wide, kernel_quantizer=wide, name="wide"),
    ])  # fmt: skip
    calibrate(model, np.ones((4, 2), dtype=np.float32))
    with pytest.raises(
        ExactnessError, match=r"^wide: .* needs \d+ bits, and the emulator computes with integers of 64"
    ):
        export(model, "cpp", tmp_path / "out")
    assert list(tmp_path.iterdir()) == []


def test_outputs_that_float64_would_round_are_refused(tmp_path):
    wide = KIF(i=7, f=22, overflow_mode="SAT")
    weights = keras.initializers.RandomUniform(60, 120, seed=1)
    model = keras.Sequential([
        keras.Input((8,)),
        QDense(2, input_quantizer=wide, kernel_quantizer=wide, kernel_initializer=weights),
    ], name="wide")  # fmt: skip
    calibrate(model, values(8).reshape(4, 8))
    message = r"^wide: a number of a port needs \d+ bits, and test vectors hold 53\. Give its "
    with pytest.raises(ExactnessError, match=message):
        export(model, "cpp", tmp_path / "out")
    assert list(tmp_path.iterdir()) == []


def test_a_format_of_the_input_leaves_the_quantizers_to_the_emulator(model, tmp_path):
    x = np.round(values() * 16) / 16
    report = export(model, "cpp", tmp_path / "out", x, input_format=(1, 6, 4))
    assert {(element.k, element.i, element.f) for element in report.inputs[0].elements} <= {(1, 6, 4), (0, 0, 0)}
