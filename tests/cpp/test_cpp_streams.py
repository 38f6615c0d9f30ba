"""Stateful layers in C++: the states are inputs behind the model's own, and outputs."""

from __future__ import annotations

import importlib.util
import json

import keras
import numpy as np
import pytest

pytest.importorskip("hgq2_cpp", reason="hgq2-cpp is not installed: make install")

from hgq2_core import calibrate, export, freeze
from hgq2_core.exporting.export import exporter_of
from hgq2_core.exporting.host import quantize_inputs
from hgq2_cpp.model import record
from hgq2_fixed_point import KIF
from hgq2_layers import QGRU, QLSTM, QSimpleRNN

pytestmark = pytest.mark.once
STEPS = 20
CASES = [(QSimpleRNN, 1), (QGRU, 1), (QLSTM, 2)]


def model_of(cls, steps, **arguments):
    keras.utils.set_random_seed(1)
    alike = KIF(granularity="tensor", overflow_mode="SAT")
    x = keras.Input((steps, 2), 1, name="x")
    return keras.Model(x, cls(2, return_sequences=True, input_quantizer=alike, name="first", **arguments)(x))


def both(cls):
    """A calibrated stream, its steps, and what one long sequence gives for them."""
    stream, whole = model_of(cls, 1, stateful=True), model_of(cls, STEPS)
    x = np.random.default_rng(1).normal(size=(STEPS, 1, 2)).astype(np.float32)
    calibrate(stream, x)
    whole.set_weights(stream.get_weights())
    return stream, x, whole.predict(np.moveaxis(x, 0, 1), verbose=0)[0]


@pytest.mark.parametrize(("cls", "count"), CASES)
def test_calls_of_the_program_are_one_sequence(cls, count):
    stream, x, wanted = both(cls)
    emulator = record(freeze(stream))
    assert [port.name for port in emulator.inputs] == ["x", *(f"state_{n}_in" for n in range(count))]
    assert [port.name for port in emulator.outputs] == ["first", *(f"state_{n}_out" for n in range(count))]
    states = [np.zeros((1, 2))] * count
    for step, output in zip(x, wanted, strict=True):
        row = emulator.interpret(quantize_inputs(emulator.inputs, [step[np.newaxis], *states]))
        result, *states = np.split(row, 1 + count, axis=1)
        assert np.array_equal(result[0], output)


@pytest.mark.slow
def test_the_loader_takes_and_gives_states(compiler, tmp_path):
    stream, x, wanted = both(QLSTM)
    export(stream, "cpp", tmp_path / "out", x)
    assert json.loads((tmp_path / "out" / "ports.json").read_text())["states"] == 2
    assert vars(exporter_of("cpp").simulate(tmp_path / "out")) == {"samples": STEPS + 259, "mismatches": 0}
    spec = importlib.util.spec_from_file_location("stream_model", tmp_path / "out" / "model.py")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    module.build(tmp_path / "out" / "libmodel.so", "-O1")
    emulator, states = module.Emulator(), [np.zeros((1, 2))] * 2
    for step, output in zip(x, wanted, strict=True):
        y, *states = emulator.predict([step[np.newaxis], *states])
        assert np.array_equal(y[0, 0], output)
