"""Recurrent layers that keep their states from batch to batch: steps of a stream are one sequence; numerics.md#8."""

from __future__ import annotations

from typing import Any

import keras
import numpy as np
import pytest
from arrays import float64_of
from arrays import unit_values as values

from hgq2_core import (
    ConfigError,
    DataError,
    ExactnessError,
    ModelConfig,
    calibrate,
    doctor,
    ebops,
    freeze,
    load_model,
    reset_states,
    verify,
)
from hgq2_core.exact import Integers
from hgq2_core.exact.integers import from_float, to_float
from hgq2_fixed_point import KIF
from hgq2_layers import QGRU, QLSTM, QDense, QSimpleRNN

layers = keras.layers
BATCH, STEPS = 3, 5
ALL_STEPS_ALIKE = KIF(granularity=[2], overflow_mode="SAT")
CLASSES = [QSimpleRNN, QGRU, QLSTM]
CASES = [(QLSTM, True), *(pytest.param(cls, masked, marks=pytest.mark.slow) for cls in CLASSES for masked in (0, 1))]


def model_of(cls: Any, steps: int, masked: bool = False, **arguments: Any) -> keras.Model:
    keras.utils.set_random_seed(1)
    x = keras.Input((steps, 2), BATCH, name="x")
    inner = layers.Masking(name="masking")(x) if masked else x
    h = cls(3, return_sequences=True, input_quantizer=ALL_STEPS_ALIKE, name="it", **arguments)(inner)
    return keras.Model(x, QDense(2, input_quantizer=ALL_STEPS_ALIKE, name="last")(h))


def data(masked: bool = False) -> np.ndarray:
    x = values(BATCH, STEPS, 2) * 2
    if masked:
        x[np.random.default_rng(2).random((BATCH, STEPS)) < 0.5] = 0.0
    return x


def step_by_step(model: keras.Model, x: np.ndarray) -> np.ndarray:
    return np.concatenate([model.predict(x[:, n : n + 1], verbose=0) for n in range(STEPS)], axis=1)


def as_stream(x: np.ndarray) -> np.ndarray:
    """The steps as batches one after the other."""
    return np.moveaxis(x, 1, 0).reshape(-1, 1, 2)


def both(cls: Any, masked: bool = False) -> tuple[keras.Model, keras.Model]:
    whole, stream = model_of(cls, STEPS, masked), model_of(cls, 1, masked, stateful=True)
    stream.set_weights(whole.get_weights())
    return whole, stream


@pytest.mark.parametrize(("cls", "masked"), CASES)
def test_calls_of_one_step_are_one_sequence(cls, masked):
    whole, stream = both(cls, masked)
    x = data(masked)
    wanted = whole.predict(x, verbose=0)
    assert np.array_equal(step_by_step(stream, x), wanted)
    assert not np.array_equal(stream.predict(x[:, :1], verbose=0), wanted[:, :1])  # it goes on
    reset_states(stream)
    assert np.array_equal(step_by_step(stream, x), wanted)
    stream.get_layer("it").reset_state()
    assert np.array_equal(step_by_step(freeze(stream), x), wanted)


@pytest.mark.parametrize("cls", CLASSES)
def test_it_costs_one_step(cls):
    whole, stream = both(cls)
    assert np.isclose(ebops(stream.get_layer("it")), ebops(whole.get_layer("it")) / STEPS, rtol=1e-6)
    assert np.isclose(ebops(stream), ebops(whole) / STEPS, rtol=1e-6)


def test_the_cost_by_hand():
    bits = KIF(i=1, f=2, overflow_mode="SAT_SYM", granularity="tensor")
    weight = {"kind": "fixed_point.kbi", "b": 3, "i": 1, "granularity": "tensor"}
    layer = QSimpleRNN(
        3, "linear", stateful=True, input_quantizer=bits, state_quantizer=bits, activation_quantizer=bits,
        kernel_quantizer=weight, recurrent_quantizer=weight, bias_quantizer=weight,
    )  # fmt: skip
    layer.build((BATCH, 1, 2))
    assert ebops(layer) == 2 * 3 * 3 * 3 + 3 * 3 * 3 * 3 + 3 * 3  # x K, h R, b


@pytest.mark.parametrize("cls", CLASSES)
def test_integers_carry_the_states(cls):
    _, stream = both(cls)
    layer, x = freeze(stream).get_layer("it"), data()
    states: list[Any] = []
    for n in range(STEPS):
        step = x[:, n : n + 1]
        y, *states = layer.exact(Integers(), from_float(step), *states)
        assert np.array_equal(to_float(y), float64_of(layer(step)))
    assert len(states) == layer.state_count


@pytest.mark.parametrize(("cls", "masked"), CASES)
def test_a_stream_is_calibrated_and_verified(cls, masked, tmp_path):
    stream = model_of(cls, 1, masked, stateful=True, output_quantizer=KIF(overflow_mode="WRAP", granularity="tensor"))
    x = as_stream(data(masked))
    stream(x[:BATCH])
    before = [float64_of(state) for state in stream.get_layer("it").states]
    calibrate(stream, x)
    report = verify(stream, x)
    assert report.ok, str(report)
    assert report.trainable == 0
    doctor(stream, x)
    after = [float64_of(state) for state in stream.get_layer("it").states]
    assert all(map(np.array_equal, before, after))
    stream.save(tmp_path / "stream.keras")
    again = load_model(tmp_path / "stream.keras")
    assert all((float64_of(state) == 0).all() for state in again.get_layer("it").states)
    assert verify(again, x).ok
    reset_states(stream)
    assert np.array_equal(again.predict(x, BATCH, verbose=0), stream.predict(x, BATCH, verbose=0))


def test_it_trains_as_keras_does():
    stream = model_of(QGRU, 1, stateful=True, dropout=0.25, seed=1)
    stream.compile("sgd", "mse")
    x = as_stream(data())
    assert np.isfinite(stream.fit(x, x, batch_size=BATCH, shuffle=False, verbose=0).history["loss"]).all()
    assert (float64_of(stream.get_layer("it").states[0]) != 0).any()


def test_a_config_says_how_large_a_batch_is():
    layer = {"kind": "lstm", "name": "it", "units": 2, "stateful": True}
    model = {"inputs": {"x": {"shape": [1, 2], "batch_size": 4}}, "layers": [layer]}
    built = ModelConfig.model_validate({"model": model}).build()
    assert [tuple(state.shape) for state in built.get_layer("it").states] == [(4, 2), (4, 2)]


def refused(make: Any, error: type[Exception] = ConfigError) -> str:
    with pytest.raises(error) as caught:
        make()
    return str(caught.value)


def test_what_is_refused():
    assert refused(lambda: QLSTM(2, stateful=True, go_backwards=True, name="r")) == (
        "r: a stateful layer goes forwards: a stream has no end to begin at. Received: stateful=True, "
        "go_backwards=True (also what Bidirectional makes of a stateful layer). Leave stateful out for whole sequences."
    )
    assert "Bidirectional" in refused(lambda: layers.Bidirectional(QLSTM(2, stateful=True)))
    assert refused(lambda: QLSTM(2, stateful=True, name="r").build((None, 1, 2))) == (
        "r: a stateful layer keeps states for each sample of a batch, which is then of static size. Received: a batch "
        "of any size. Use keras.Input(batch_shape=(batch, steps, features)), in a config batch_size beside the shape "
        "of the input."
    )
    wraps = KIF(overflow_mode="WRAP")
    message = refused(lambda: QLSTM(2, stateful=True, state_quantizer=wraps, name="r").build((1, 1, 2)))
    assert message == (
        "r.state: a state that is kept has a fixed range, in which it enters and leaves the circuit. Received: one "
        "that follows the values. Let it saturate: overflow_mode SAT_SYM or SAT."
    )
    layer = QGRU(2, stateful=True, name="r")
    layer.build((2, 1, 2))
    wrong = (
        "r: it keeps states for batches of 2 samples. Received: 3. Use batch_size=2, and a multiple of it in samples."
    )
    assert wrong in refused(lambda: layer(values(3, 1, 2)), DataError)
    assert refused(lambda: layer(values(2, 1, 2), initial_state=values(2, 2))) == (
        "r: a stateful layer begins with the states that it kept. Received: initial_state. Leave out one of the two: "
        "stateful=True, or initial_state."
    )


def test_inside_time_distributed_there_is_no_circuit():
    x = keras.Input((2, 1, 2), BATCH)
    model = keras.Model(x, layers.TimeDistributed(QGRU(2, stateful=True), name="each")(x))
    calibrate(model, values(BATCH, 2, 1, 2))
    message = refused(lambda: verify(model, values(BATCH, 2, 1, 2)), ExactnessError)
    assert message == (
        "each: a stateful layer inside TimeDistributed goes on at each step where the step before ended. Leave "
        "stateful out."
    )
