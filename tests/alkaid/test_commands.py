"""`hgq2 export` and `hgq2 estimate` on a small run."""

from __future__ import annotations

import json

import keras
import pytest

pytest.importorskip("alkaid.trace", reason="alkaid is not installed: make install")

from tiny_run import CONFIG, hgq2


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    folder = tmp_path_factory.mktemp("digits")
    (folder / "tiny.yaml").write_text(CONFIG)
    hgq2("train", folder / "tiny.yaml", "-o", folder / "run")
    return folder / "run"


def test_estimate_prints_cost_beside_ebops_and_writes_nothing(run):
    before = sorted(run.parent.rglob("*"))
    first, *rest = hgq2("estimate", run, "--latency-cutoff", 4).stdout.splitlines()
    report = json.loads(hgq2("estimate", run, "--latency-cutoff", 4, "--json").stdout)
    assert sorted(run.parent.rglob("*")) == before
    assert first == (
        f"EBOPs {report['ebops']:,.0f}, cost {report['cost']:,.0f}, latency {report['latency']:g}, "
        f"{report['stages']} pipeline stages"
    )
    assert [line.split(" [")[0] for line in rest[:2]] == ["input pixels", "output logits"]
    assert rest[-1] == "0 mismatches in 259 samples (circuit == integers)"


@pytest.mark.slow
def test_export_simulates_the_whole_test_split(run, icarus, tmp_path):
    shown = hgq2("export", run, "--to", "alkaid", "-o", tmp_path / "rtl", "--simulate").stdout.splitlines()
    assert shown[-1] == "0 mismatches in 708 samples (simulated circuit == integers)"
    assert any(line.startswith("exported to") for line in shown[-4:-1])  # a long path goes to the next line


def test_an_option_without_a_flag_of_its_own(run):
    clocks = [hgq2("estimate", run, "--option", f"latency_cutoff={n}").stdout.splitlines()[0] for n in (1, 4)]
    stages = [int(line.split(", ")[-1].split()[0]) for line in clocks]
    assert stages[0] > stages[1]


def test_export_with_a_format_of_the_inputs(run, tmp_path):
    hgq2("export", run, "-o", tmp_path / "rtl", "--input-format", "0,1,4", "--flavor", "vhdl")
    elements = json.loads((tmp_path / "rtl/ports.json").read_text())["inputs"][0]["elements"]
    assert {(e["k"], e["i"], e["f"]) for e in elements if e["width"]} == {(0, 1, 4)}


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--input-format", "1,2"], "--input-format: must be three integers k,i,f. Received: '1,2'."),
        (["--input-format", "1,--2,3"], "--input-format: must be three integers k,i,f. Received: '1,--2,3'."),
        (["--to", "hls"], "export: unknown exporter kind. Received: 'hls'."),
        (["--option", "flavor"], "--option: must be NAME=VALUE, such as backend=Vivado. Received: 'flavor'."),
        (["--option", "flavor=c"], "export to alkaid: flavor: not allowed. Received: 'c' (str). Allowed: 'verilog', "),
        (
            ["--flavor", "vhdl", "--option", "flavor=vitis"],
            "--option flavor: it is given twice. Received: 'vitis', and 'vhdl'.",
        ),
        (["--latency-cutoff", "-1"], "export to alkaid: latency_cutoff: must be greater than 0. Received: -1.0"),
    ],
)
def test_what_cannot_be_used_ends_with_code_2_and_nothing_written(arguments, message, run, tmp_path):
    assert message in hgq2("export", run, "-o", tmp_path / "rtl", *arguments, code=2).stderr
    assert list(tmp_path.iterdir()) == []


def test_a_converted_model_is_exported_from_its_file(tmp_path):
    keras.utils.set_random_seed(4)
    model = keras.Sequential([keras.Input((64,)), keras.layers.Dense(4, "tanh"), keras.layers.Dense(2)])
    model.save(tmp_path / "float.keras")
    hgq2("quantize", tmp_path / "float.keras", "--bits", 4, "--data", "digits", "-o", tmp_path / "small.keras")
    hgq2("export", tmp_path / "small.keras", "-o", tmp_path / "rtl")
    assert (tmp_path / "rtl/ports.json").is_file()
    shown = hgq2("estimate", tmp_path / "small.keras").stdout.splitlines()
    assert shown[-1].endswith("samples (circuit == integers)")
    assert "keras.Dense has no exact arithmetic" in hgq2("estimate", tmp_path / "float.keras", code=2).stderr


def test_a_file_that_is_not_there(tmp_path):
    assert "none.keras: no such file" in hgq2("estimate", tmp_path / "none.keras", code=2).stderr
