"""Circuits with valid and ready: one block of positions at a time, and steps whose states are in registers."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import keras
import numpy as np
import pytest

pytest.importorskip("alkaid.trace", reason="alkaid is not installed: make install")

from hgq2_alkaid.exporter import HWCONF
from hgq2_alkaid.handshake.fingerprints import Fingerprints
from hgq2_alkaid.handshake.multiplexed import build_multiplexed
from hgq2_core import ConfigError, ExactnessError, ToolError, calibrate, ebops, estimate, export, freeze, host_quantize
from hgq2_core.exporting.export import exporter_of
from hgq2_core.exporting.vectors import vectors
from hgq2_fixed_point import KIF
from hgq2_layers import QLSTM, QAdd, QConv1D, QDense, QQuantize, QSimpleRNN, QSum, QUnaryFunction

POSITIONS = 8
OF_BENCH = 2 * 309 + 2 * 256
"""Samples of a simulation: all of them twice, and few of them twice."""


def narrow(**more: Any) -> Any:
    return KIF(i=1, f=2, overflow_mode="SAT_SYM", **{"granularity": "channel", **more})


def data(samples: int = 50, features: int = 3) -> np.ndarray:
    return np.random.default_rng(0).normal(size=(samples, POSITIONS, features)).astype(np.float32)


def dense(units: int = 3, name: str | None = None, **more: Any) -> QDense:
    return QDense(units, name=name, **{"input_quantizer": narrow(), **more})


def built(make: Any, x: Any = None) -> keras.Model:
    keras.utils.set_random_seed(1)
    inputs = keras.Input((POSITIONS, 3), name="x")
    model = keras.Model(inputs, make(inputs))
    calibrate(model, data() if x is None else x)
    return model


def chain(x: Any) -> Any:
    return dense(2, "second", parallelization_factor=2)(
        dense(4, "first", activation="relu", parallelization_factor=2)(x)
    )


def with_a_table(x: Any) -> Any:
    return dense(2, "last")(QUnaryFunction("tanh", input_quantizer=narrow(), name="table")(dense(name="first")(x)))


def pooled(x: Any) -> Any:
    """A table in front of the sum and one behind, whose modules must not have the same names."""
    sums = QSum(axes=1, input_quantizer=narrow(), name="pool")(with_a_table(x))
    return QUnaryFunction("tanh", input_quantizer=narrow(), name="behind")(sums)


def residual(x: Any) -> Any:
    x = QQuantize(quantizer=narrow(), name="enter")(x)
    return QAdd(input_quantizer=narrow(granularity="tensor"), name="sum")([x, dense(name="branch")(x)])


def two_outputs(x: Any) -> Any:
    first = dense(4, "first")(x)
    return [QSum(axes=1, input_quantizer=narrow(), name="pool")(first), first, dense(1, "last")(first)]


MODELS = {each.__name__: each for each in (with_a_table, pooled, residual, two_outputs)}


@pytest.mark.parametrize("blocks", [2, 8])
@pytest.mark.parametrize("make", MODELS.values(), ids=MODELS)
def test_a_circuit_of_one_block_computes_the_samples_of_the_integers(make, blocks):
    model = freeze(built(make))
    made = build_multiplexed(model, HWCONF, blocks)
    assert made.repetition.positions == POSITIONS // blocks
    assert vectors(model, made.inputs, data(), None).mismatches(made.interpret) == 0


def test_what_is_multiplexed_and_what_is_behind():
    made = build_multiplexed(freeze(built(pooled)), HWCONF, 4)
    assert made.repetition.layers == ("first", "table", "last")
    assert made.repetition.end == ("pool", "its output [2] does not have one entry for each of the 8 positions")
    assert [(row.name, row.outputs) for row in made.layers] == [
        ("first", 2 * 3),
        ("table", 2 * 3),
        ("last", 2 * 2),
        ("pool", 2),
        ("behind", 2),
    ]
    assert build_multiplexed(freeze(built(residual)), HWCONF, 4).tail is None


def test_a_circuit_used_n_times_costs_an_nth_as_its_ebops_do():
    model = built(chain)
    whole, part = estimate(model, "alkaid"), estimate(model, "alkaid", reuse=4)
    assert np.isclose(part.cost, whole.cost / 4, rtol=1e-12)  # sums of floats
    assert part.ebops == whole.ebops == ebops(model)
    model.get_layer("first").parallelization_factor = model.get_layer("second").parallelization_factor = None
    assert ebops(model) == 4 * part.ebops


def test_the_report_says_what_is_used_how_often():
    shown = str(estimate(built(chain), "alkaid", reuse=4)).splitlines()
    assert "initiation interval 4 clock cycles, latency 4 clock cycles from a sample to its result" in shown
    assert "one circuit for 2 of 8 positions at a time: first, second" in shown
    assert not any("EBOPs count" in line for line in shown)
    report = estimate(built(pooled), "alkaid", reuse=8, latency_cutoff=3)
    assert report.notes[2:] == (
        "for all positions at once: pool, behind; of pool, its output [2] does not have one entry for each of the 8 "
        "positions",
        "EBOPs count all positions of first, last; parallelization_factor counts those that are computed at once",
    )
    assert report.stages > 2


def test_the_host_gives_whole_samples(tmp_path):
    model, x = built(chain), data()
    export(model, "alkaid", tmp_path / "out", x, reuse=4)
    ports = json.loads((tmp_path / "out" / "ports.json").read_text())
    assert (ports["top"], ports["cycles"]) == ("handshake", 4)
    assert ports["signals"] == {"in_data": ports["inputs"][0]["elements"][-1]["offset"] + 4, "out_data": 8 * 2 * 11}
    assert [element["place"] for element in ports["inputs"][0]["elements"]] == list(range(24))
    integers = host_quantize(tmp_path / "out", x)["x"]
    assert np.array_equal(integers, np.clip(np.floor(x * 4 + 0.5), -7, 7).reshape(len(x), -1))


def per_position(x: Any) -> Any:
    return dense(name="seen", input_quantizer=narrow(granularity="element"))(x)


REFUSED = [
    (
        lambda x: dense(name="seen")(x),
        {"reuse": 3},
        ConfigError,
        "reuse: must divide the 8 positions of input 'x'. Received: reuse=3. Allowed: 1, 2, 4, 8; the nearest is 2.",
    ),
    (
        lambda x: dense(name="seen", parallelization_factor=2)(x),
        {"reuse": 2},
        ConfigError,
        "seen: its EBOPs count parallelization_factor=2 of 8 positions, and reuse=2 makes 4. Allowed: reuse=4.",
    ),
    (
        lambda x: QConv1D(2, 3, input_quantizer=narrow(), name="seen", padding="same")(x),
        {"reuse": 2},
        ExactnessError,
        "seen: what it gives for one position depends on others, so it cannot take one block of positions at a time, "
        "and no layer in front can. Allowed: reuse=1, or layers in front that compute each position by itself, such as "
        "layers.dense.",
    ),
    (
        per_position,
        {"reuse": 8},
        ExactnessError,
        "seen: its bits or weights differ from position to position, so it cannot take one block of positions at a "
        "time, and no layer in front can. Allowed: reuse=1, or quantizers that share their bits among positions, such "
        'as granularity="channel" or "tensor".',
    ),
    (
        lambda x: dense(1, "last", parallelization_factor=2)(
            QConv1D(2, 3, input_quantizer=narrow(), name="conv", padding="same")(dense(name="first")(x))
        ),
        {"reuse": 4},
        ConfigError,
        "last: its EBOPs count parallelization_factor=2 of 8 positions, and it is computed for all at once, since of "
        "conv, what it gives for one position depends on others. Allowed: parallelization_factor=None, reuse=1, or "
        "another order of the layers.",
    ),
    (
        lambda x: QSimpleRNN(2, parallelization_factor=1, input_quantizer=narrow(), name="last")(dense(name="seen")(x)),
        {"reuse": 4},
        ConfigError,
        "last: its EBOPs count parallelization_factor=1 of 8 positions, and it is computed for all at once, since of "
        "last, its output [2] does not have one entry for each of the 8 positions. Allowed: "
        "parallelization_factor=None, reuse=1, or another order of the layers.",
    ),
    (
        lambda x: QSum(axes=1, input_quantizer=narrow(), name="pool")(dense(name="first")(x)),
        {"reuse": 4, "flavor": "vhdl"},
        ConfigError,
        "export to alkaid: interface, reuse: a handshake is Verilog. Received: flavor='vhdl'.",
    ),
]


@pytest.mark.parametrize(("make", "options", "error", "message"), REFUSED)
def test_what_cannot_be_multiplexed_is_refused_with_the_reason(make, options, error, message, tmp_path):
    model = built(make)
    with pytest.raises(error) as raised:
        export(model, "alkaid", tmp_path / "out", **options)
    assert str(raised.value) == message
    assert list(tmp_path.iterdir()) == []


def test_inputs_of_different_lengths_are_refused():
    a, b = keras.Input((8, 2), name="a"), keras.Input((4, 2), name="b")
    model = keras.Model([a, b], [dense(1, "c")(a), dense(1, "d")(b)])
    calibrate(model, [np.ones((9, 8, 2)), np.ones((9, 4, 2))])
    with pytest.raises(ConfigError, match=r"reuse: needs inputs with the same static number .*Received: a \[8, 2\], b"):
        estimate(model, "alkaid", reuse=2)


def test_a_rolled_input_is_no_repetition_although_it_looks_alike():
    """Each position takes another one's number in the same way, so the expressions are equal and the blocks are not."""
    arrays = Fingerprints()
    x = arrays.numbers((1, 4, 2), 4, 0)
    rolled = arrays.gather(x, [3, 0, 1, 2], 1)
    assert np.array_equal(rolled.expression, x.expression)
    assert x.depend_alone(4)
    assert not rolled.depend_alone(4)
    assert not arrays.add(x, rolled).depend_alone(4)
    assert not arrays.sum(x, 1, keepdims=True).depend_alone(1)
    assert arrays.einsum("bpi,io->bpo", x, arrays.constant(np.ones((2, 3)))).depend_alone(4)


def test_constants_of_positions_are_seen():
    arrays = Fingerprints()
    x = arrays.numbers((1, 4, 2), 4, 0)
    scaled = arrays.multiply(x, arrays.constant(np.array([1.0, 1.0, 1.0, 2.0]).reshape(1, 4, 1)))
    assert len(np.unique(scaled.expression[0, :, 0])) == 2
    wider = arrays.quantize(x, 1, 2, np.array([3, 3, 3, 4]).reshape(1, 4, 1), "RND", "SAT")
    assert len(np.unique(wider.expression[0, :, 0])) == 2


@pytest.mark.slow
@pytest.mark.parametrize(
    ("make", "options"),
    [
        (chain, {"reuse": 4}),
        (chain, {"reuse": 4, "latency_cutoff": 2.0}),
        (chain, {"interface": "handshake"}),
        (with_a_table, {"reuse": 8, "latency_cutoff": 1.5}),
        (pooled, {"reuse": 2}),
        (pooled, {"reuse": 8, "latency_cutoff": 2.0}),
        (residual, {"reuse": 4}),
        (two_outputs, {"reuse": 2, "latency_cutoff": 2.0}),
        (two_outputs, {"interface": "handshake", "latency_cutoff": 2.0}),
    ],
)
def test_both_sides_may_wait_at_any_time(make, options, tmp_path, icarus):
    """The bench also fails where interval and latency are not those of the report."""
    export(built(make), "alkaid", tmp_path / "out", data(), **options)
    simulation = exporter_of("alkaid").simulate(tmp_path / "out")
    assert (simulation.mismatches, simulation.samples) == (0, OF_BENCH)


def stream_of(cls: Any) -> keras.Model:
    keras.utils.set_random_seed(1)
    quantizers = {f"{slot}_quantizer": narrow(granularity="tensor") for slot in ("input", "state", "activation")}
    x = keras.Input((1, 2), 1, name="x")
    h = cls(2, return_sequences=True, name="cell", stateful=True, **quantizers)(x)
    model = keras.Model(x, dense(1, "last", input_quantizer=narrow(granularity="tensor"))(h))
    calibrate(model, steps())
    return model


def steps() -> np.ndarray:
    return (np.random.default_rng(1).integers(-16, 16, (20, 1, 2)) / 8).astype(np.float32)


def test_states_stay_inside(tmp_path):
    report = export(stream_of(QLSTM), "alkaid", tmp_path / "out", steps(), interface="handshake", latency_cutoff=3)
    ports = json.loads((tmp_path / "out" / "ports.json").read_text())
    assert [port["name"] for port in (*ports["inputs"], *ports["outputs"])] == ["x", "last"]
    assert "states" not in ports
    interval, latency = (int(word) for word in report.notes[0].split() if word.isdigit())
    assert interval == latency > 1  # a step needs what the one before has left
    with pytest.raises(ConfigError, match="reuse: a model that keeps states computes one step at a time already"):
        estimate(stream_of(QSimpleRNN), "alkaid", reuse=2)


@pytest.mark.slow
@pytest.mark.parametrize("options", [{}, {"latency_cutoff": 3.0}])
@pytest.mark.parametrize("cls", [QSimpleRNN, QLSTM])
def test_a_step_waits_for_its_states_and_the_last_one_resets_them(cls, options, tmp_path, icarus):
    export(stream_of(cls), "alkaid", tmp_path / "out", steps(), interface="handshake", **options)
    simulation = exporter_of("alkaid").simulate(tmp_path / "out")
    assert (simulation.mismatches, simulation.samples) == (0, 4 * 64)


FAULTS = {
    "in_ready = step && closes": "in_ready = step",
    "begun < ": "begun <= ",
    "turn <= closes ? 0 : turn + 1": "turn <= closes ? 0 : turn",
    "{computed, collected};": "{collected, computed};",
    "wire given = out_valid && out_ready": "wire given = out_ready",
    "{in_last, result}": "{1'b0, result}",
}


@pytest.mark.slow
def test_the_bench_finds_every_fault(tmp_path, icarus):
    export(built(chain), "alkaid", tmp_path / "out", data(), reuse=4)
    source = tmp_path / "out" / "src" / "handshake.v"
    text = source.read_text()
    for right, wrong in FAULTS.items():
        assert right in text
        source.write_text(text.replace(right, wrong))
        assert found(tmp_path / "out"), right
    source.write_text(text)
    assert not found(tmp_path / "out")


def found(directory: Path) -> bool:
    """Whether the bench finds a fault: other results, or none."""
    try:
        return exporter_of("alkaid").simulate(directory).mismatches > 0
    except ToolError as error:
        return "simulate.sh failed" in str(error)  # it takes other times
