"""Circuits that take and give the states of their layers, and keep them in registers."""

from __future__ import annotations

import json
from typing import Any

import keras
import numpy as np
import pytest

from hgq2_alkaid.circuit import Circuit, build
from hgq2_alkaid.exporter import HWCONF
from hgq2_core import ExactnessError, calibrate, estimate, export, freeze, host_quantize
from hgq2_core.exporting.export import exporter_of
from hgq2_fixed_point import KIF
from hgq2_layers import QGRU, QLSTM, QDense, QLeakyIntegrateAndFire, QQuantize, QSimpleRNN

STEPS = 20
CASES = [(QSimpleRNN, {"activation": "relu"}), (QGRU, {}), (QLSTM, {})]


def model_of(cls: Any, steps: int, masked: bool = False, name: str = "x", **arguments: Any) -> keras.Model:
    """One input of two features, a recurrent layer of two units, and a number for each step."""
    keras.utils.set_random_seed(1)
    narrow = KIF(i=1, f=2, overflow_mode="SAT_SYM", granularity="tensor")
    quantizers = {"input_quantizer": narrow, "state_quantizer": narrow, "activation_quantizer": narrow}
    x = keras.Input((steps, 2), 1, name=name)
    inner = keras.layers.Masking(name="masking")(QQuantize(quantizer=narrow, name="enter")(x)) if masked else x
    h = cls(2, return_sequences=True, name="first", **quantizers, **arguments)(inner)
    return keras.Model(x, QDense(1, input_quantizer=narrow, name="last")(h))


def data(masked: bool = False) -> np.ndarray:
    """Steps of one stream, the multiples of 1/8 below 2."""
    rng = np.random.default_rng(1)
    x = (rng.integers(-16, 16, (STEPS, 1, 2)) / 8).astype(np.float32)
    return x * (rng.random((STEPS, 1, 1)) < 0.5) if masked else x


def stream_of(cls: Any, masked: bool = False, **arguments: Any) -> keras.Model:
    model = model_of(cls, 1, masked, stateful=True, **arguments)
    calibrate(model, data(masked))
    return model


def stepped(circuit: Circuit, x: np.ndarray) -> np.ndarray:
    """Return the outputs of the circuit, called once for each step with the states that the call before gave."""
    states = [np.zeros((1, *port.shape)) for port in circuit.inputs[1:]]
    results = []
    for step in x:
        result = circuit.interpret(circuit.quantize_inputs([step[np.newaxis], *states]))
        output, *states = np.split(result, np.cumsum([len(port.elements) for port in circuit.outputs])[:-1], axis=1)
        results.append(output)
    return np.concatenate(results)


@pytest.mark.parametrize(("cls", "arguments"), CASES)
@pytest.mark.parametrize("masked", [False, True])
def test_calls_of_the_circuit_are_one_sequence(cls, arguments, masked):
    stream, x = stream_of(cls, masked, **arguments), data(masked)
    circuit = build(freeze(stream), HWCONF, estimate=False)
    count = stream.get_layer("first").state_count
    assert [port.name for port in circuit.inputs] == ["x", *(f"state_{n}_in" for n in range(count))]
    assert [port.name for port in circuit.outputs] == ["last", *(f"state_{n}_out" for n in range(count))]
    assert {(element.k, element.i, element.f) for element in circuit.inputs[1].elements} == {(1, 1, 2)}
    whole = model_of(cls, STEPS, masked, **arguments)
    whole.set_weights(stream.get_weights())
    wanted = whole.predict(np.moveaxis(x, 0, 1), verbose=0).reshape(STEPS, 1)
    assert np.array_equal(stepped(circuit, x), wanted)
    assert len(np.unique(wanted)) > 3


def test_the_host_finds_the_states_behind_the_inputs(tmp_path):
    stream, x = stream_of(QSimpleRNN, activation="relu"), data()
    report = export(stream, "alkaid", tmp_path / "out", x)
    ports = json.loads((tmp_path / "out" / "ports.json").read_text())
    assert ports["states"] == 1
    assert [(port["name"], port["shape"]) for port in ports["inputs"]] == [("x", [1, 2]), ("state_0_in", [2])]
    assert [(port["name"], port["shape"]) for port in ports["outputs"]] == [("last", [1, 1]), ("state_0_out", [2])]
    assert report.inputs[1].bits == 2 * 4
    integers = host_quantize(tmp_path / "out", {"x": x[:1], "state_0_in": [[0.5, -4.0]]})
    assert integers["state_0_in"].tolist() == [[2, -7]]  # in quarters, SAT_SYM
    assert report.checked == STEPS + 256 + 3


def test_a_model_without_states_says_nothing_of_them(tmp_path):
    model = model_of(QSimpleRNN, 1, activation="relu")
    calibrate(model, data())
    export(model, "alkaid", tmp_path / "out", data())
    assert "states" not in json.loads((tmp_path / "out" / "ports.json").read_text())
    assert not list((tmp_path / "out").rglob("*stream*"))


@pytest.mark.slow
@pytest.mark.parametrize(("cls", "arguments"), CASES)
def test_registers_keep_the_states(cls, arguments, tmp_path, icarus):
    directory = tmp_path / "out"
    export(stream_of(cls, **arguments), "alkaid", directory, data())
    simulation = exporter_of("alkaid").simulate(directory)
    assert (simulation.mismatches, simulation.samples) == (0, STEPS + 259 + 2 * 32)
    source = directory / "src" / "stream.v"
    for right, wrong in {"state <= next": "state <= 0", "if (reset)": "if (0)", "(enable)": "(1)"}.items():
        text = source.read_text()
        source.write_text(text.replace(right, wrong))
        assert exporter_of("alkaid").simulate(directory).mismatches > 0
        source.write_text(text)


@pytest.mark.slow
def test_a_pipeline_leaves_the_registers_to_the_host(tmp_path, icarus):
    directory = tmp_path / "out"
    report = export(stream_of(QSimpleRNN, activation="relu"), "alkaid", directory, data(), latency_cutoff=3)
    assert report.stages > 1
    assert not (directory / "src" / "stream.v").exists()
    assert exporter_of("alkaid").simulate(directory).mismatches == 0


def test_states_that_nothing_reads_need_no_registers(tmp_path):
    stream = stream_of(QSimpleRNN, activation="relu")
    layer = stream.get_layer("first")
    layer.recurrent_kernel.assign(np.zeros((2, 2)))
    report = export(stream, "alkaid", tmp_path / "out", data())
    assert report.inputs[1].bits == 0
    assert not (tmp_path / "out" / "src" / "stream.v").exists()


def test_an_input_with_the_name_of_a_state_is_refused():
    with pytest.raises(ExactnessError, match="input 'state_0_in': a state of the export has this name"):
        estimate(stream_of(QSimpleRNN, activation="relu", name="state_0_in"), "alkaid")


def spiking(steps: int, **arguments: Any) -> keras.Model:
    """Two leaky neurons, whose potential is on a finer grid than their membrane's quantizer, and their spikes."""
    narrow = KIF(i=1, f=1, overflow_mode="SAT_SYM", granularity="tensor")
    x = keras.Input((steps, 2), 1, name="x")
    layer = QLeakyIntegrateAndFire(0.75, 0.75, input_quantizer=narrow, membrane_quantizer=narrow, **arguments)
    return keras.Model(x, layer(x))


def test_neurons_keep_their_potential():
    stream, x = spiking(1, stateful=True), data()
    calibrate(stream, x)
    circuit = build(freeze(stream), HWCONF, estimate=False)
    assert {(element.k, element.i, element.f) for element in circuit.inputs[1].elements} == {(1, 1, 2)}
    wanted = spiking(STEPS).predict(np.moveaxis(x, 0, 1), verbose=0).reshape(STEPS, 2)
    assert np.array_equal(stepped(circuit, x), wanted)
    assert set(wanted.ravel()) == {0, 1}


@pytest.mark.slow
def test_registers_keep_the_potential(tmp_path, icarus):
    stream = spiking(1, stateful=True)
    calibrate(stream, data())
    export(stream, "alkaid", tmp_path / "out", data())
    simulation = exporter_of("alkaid").simulate(tmp_path / "out")
    assert (simulation.mismatches, simulation.samples) == (0, STEPS + 259 + 2 * 32)
