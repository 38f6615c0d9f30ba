"""Circuits as an AXI4-Stream, and the driver that packs what goes through it."""

from __future__ import annotations

import importlib
import json
import sys
from pathlib import Path
from typing import Any

import keras
import numpy as np
import pytest

pytest.importorskip("alkaid.trace", reason="alkaid is not installed: make install")

from hgq2_alkaid.handshake.axi_stream import AxiStream
from hgq2_alkaid.handshake.module import Handshake
from hgq2_core import ConfigError, calibrate, export, host_quantize
from hgq2_core.exporting.export import exporter_of
from hgq2_fixed_point import KIF
from hgq2_layers import QDense, QSum
from hgq2_minifloat import Float4E2M1FN

SAMPLES = 20
X = {
    "a": np.random.default_rng(0).normal(size=(SAMPLES, 4, 3)).astype(np.float32),
    "b": np.random.default_rng(1).normal(size=(SAMPLES, 4, 2)).astype(np.float32),
}


@pytest.fixture(scope="module")
def model() -> keras.Model:
    """Two inputs, one of them quantized by steps, and two outputs, one for each position and one for all of them."""
    keras.utils.set_random_seed(1)
    inputs = {name: keras.Input(x.shape[1:], name=name) for name, x in X.items()}
    narrow = KIF(i=1, f=2, overflow_mode="SAT_SYM", granularity="channel")
    first = QDense(2, input_quantizer=narrow, name="first")(inputs["a"])
    second = QDense(3, input_quantizer=Float4E2M1FN(), name="second")(inputs["b"])
    made = keras.Model(inputs, [first, QSum(axes=1, input_quantizer=narrow, name="pool")(second)])
    calibrate(made, X)
    return made


@pytest.fixture
def exported(model: keras.Model, tmp_path: Path) -> Path:
    export(model, "alkaid", tmp_path / "out", X, interface="axi_stream", reuse=2, bus_bits=16)
    return tmp_path / "out"


@pytest.fixture
def driver(exported: Path, monkeypatch: pytest.MonkeyPatch) -> Any:
    monkeypatch.syspath_prepend(str(exported))
    for name in ("host_quantize", "pynq_driver"):
        monkeypatch.delitem(sys.modules, name, raising=False)
    yield importlib.import_module("pynq_driver")
    for name in ("host_quantize", "pynq_driver"):
        sys.modules.pop(name, None)


def beats(directory: Path, side: str) -> np.ndarray:
    """Return the words that the simulation sends, or expects, as bytes."""
    lines = (directory / "vectors" / f"axi_stream_{side}.hex").read_text().split()
    return np.array([int(line, 16) for line in lines], dtype="<u2").view(np.uint8)


def test_the_driver_packs_what_the_simulation_sends(exported, driver):
    packing = driver.Packing()
    packed = packing.pack(X)
    assert packing.bus == 2
    assert packed.shape == (SAMPLES, packing.size("inputs"))
    assert np.array_equal(packed.ravel(), beats(exported, "inputs")[: packed.size])


def test_the_driver_packs_the_integers_of_host_quantize(exported, driver):
    integers = host_quantize(exported, X)
    rows = np.concatenate([integers["a"], integers["b"]], axis=1).tolist()
    packing = driver.Packing()
    assert np.array_equal(packing.words(rows, "inputs"), packing.pack(X))


def test_the_driver_gives_what_keras_predicts(exported, driver, model):
    """The board is replaced by the words that the simulated circuit gives."""
    sent = []

    def transfer(given: np.ndarray, size: int) -> np.ndarray:
        sent.append(given)
        return beats(exported, "outputs")[:size]

    predicted = driver.Accelerator(transfer=transfer).predict(X)
    wanted = model.predict(X, verbose=0)
    assert np.array_equal(predicted["first"], wanted[0])
    assert np.array_equal(predicted["pool"], wanted[1])
    assert [len(each) for each in sent] == [SAMPLES * driver.Packing().size("inputs")]


def test_the_directory_says_that_no_board_was_there(exported):
    ports = json.loads((exported / "ports.json").read_text())
    assert (ports["top"], ports["signals"]) == ("axi_stream", {"s_axis_tdata": 16, "m_axis_tdata": 16})
    assert "it has run on no board" in (exported / "pynq_driver.py").read_text()
    assert "has run in no Vivado and on no board" in (exported / "pynq_project.tcl").read_text()


@pytest.mark.parametrize(
    ("options", "top", "clock", "entering", "leaving"),
    [
        (
            {"interface": "axi_stream", "reuse": 2},
            "axi_stream",
            "aclk",
            "aresetn s_axis_tvalid s_axis_tlast s_axis_tdata[*] m_axis_tready",
            "s_axis_tready m_axis_tvalid m_axis_tlast m_axis_tdata[*]",
        ),
        (
            {"interface": "handshake"},
            "handshake",
            "clk",
            "reset in_valid in_last in_data[*] out_ready",
            "in_ready out_valid out_last out_data[*]",
        ),
    ],
)
def test_the_scripts_synthesize_the_module_around_the_circuit(model, tmp_path, options, top, clock, entering, leaving):
    export(model, "alkaid", tmp_path / "out", X, latency_cutoff=2, **options)
    for tool in ("vivado", "quartus"):
        assert f'set project_name "{top}"\n' in (tmp_path / "out" / f"build_{tool}_prj.tcl").read_text()
    assert {path.name for path in (tmp_path / "out" / "src").glob("*.?dc")} == {f"{top}.xdc", f"{top}.sdc"}
    for suffix in ("xdc", "sdc"):
        constraints = (tmp_path / "out" / "src" / f"{top}.{suffix}").read_text()
        assert f"-name sys_clk [get_ports {{{clock}}}]" in constraints
        assert constraints.count(f"[get_ports {{{entering}}}]") == constraints.count(f"[get_ports {{{leaving}}}]") == 2
        assert "model_" not in constraints


def test_the_clock_is_constrained_where_the_circuit_itself_has_none(exported):
    for suffix in ("xdc", "sdc"):
        constraints = (exported / "src" / f"axi_stream.{suffix}").read_text()
        assert constraints == "create_clock -period 5.0 -name sys_clk [get_ports {aclk}]\n"


def test_a_bus_of_other_widths_is_refused(model):
    with pytest.raises(ConfigError, match=r"export to alkaid: bus_bits: not allowed. Received: 24"):
        exporter_of("alkaid").estimate(model, interface="axi_stream", bus_bits=24)


def test_the_longest_of_words_in_computing_and_words_out_is_the_interval():
    def timing(inputs: int, outputs: int, blocks: int, bus: int = 8) -> tuple[int, int]:
        inside = Handshake("", inputs, outputs, blocks, outputs // blocks, "block", latency=3)
        axi = AxiStream(inside, bus)
        return axi.interval, axi.cycles

    assert timing(32, 8, 1) == (4, 4 + 1 + 3 + 1)
    assert timing(32, 8, 4) == (4 + 3, 4 + 4 + 3 + 1)  # a sample stays until its last block
    assert timing(8, 40, 1) == (5, 1 + 1 + 3 + 5)


@pytest.mark.slow
@pytest.mark.parametrize(
    "options",
    [
        {"reuse": 2, "bus_bits": 16},
        {"reuse": 4, "bus_bits": 512, "latency_cutoff": 2.0},
        {"bus_bits": 8},
        {"bus_bits": 32, "latency_cutoff": 2.0},
    ],
)
def test_words_may_wait_at_any_time(model, options, tmp_path, icarus):
    """Both modules are simulated; the bench also fails where interval and latency are not those of the report."""
    export(model, "alkaid", tmp_path / "out", X, interface="axi_stream", **options)
    simulation = exporter_of("alkaid").simulate(tmp_path / "out")
    samples = SAMPLES + 259
    assert (simulation.mismatches, simulation.samples) == (0, 2 * (2 * samples + 2 * 256))
