"""Spiking neurons that keep their potential from batch to batch: steps of a stream are one sequence."""

from __future__ import annotations

from typing import Any

import keras
import numpy as np
import pytest
from arrays import float64_of

from hgq2_core import ConfigError, DataError, calibrate, ebops, freeze, load_model, reset_states, verify
from hgq2_core.exact import Integers
from hgq2_core.exact.integers import from_float, to_float
from hgq2_fixed_point import KIF
from hgq2_layers import QDense, QIntegrateAndFire, QLeakyIntegrateAndFire

BATCH, STEPS, NEURONS = 4, 6, 3
ALL_STEPS_ALIKE = KIF(granularity=[2], overflow_mode="SAT")
COARSE = KIF(i=1, f=1, overflow_mode="SAT_SYM", granularity="tensor")
"""Coarser than the threshold of 3/4, so the potential is on a finer grid than the membrane's quantizer."""

CASES: list[tuple[Any, dict[str, Any]]] = [
    (QIntegrateAndFire, {"threshold": 0.75, "reset_mechanism": "zero"}),
    (QLeakyIntegrateAndFire, {"beta": 0.75, "threshold": 0.75}),
    (QLeakyIntegrateAndFire, {"beta": 0.5, "learn_threshold": True, "learn_beta": True, "inhibition": True}),
    (QIntegrateAndFire, {"reset_mechanism": "none", "return_state": True}),
]


def model_of(cls: Any, steps: int, **arguments: Any) -> keras.Model:
    keras.utils.set_random_seed(1)
    x = keras.Input((steps, NEURONS), BATCH, name="x")
    neurons = cls(input_quantizer=ALL_STEPS_ALIKE, membrane_quantizer=COARSE, name="it", **arguments)(x)
    spikes = neurons[0] if arguments.get("return_state") else neurons
    return keras.Model(x, QDense(2, input_quantizer=ALL_STEPS_ALIKE, name="last")(spikes))


def data() -> np.ndarray:
    return (np.random.default_rng(0).integers(-16, 48, (BATCH, STEPS, NEURONS)) / 16).astype(np.float32)


def both(cls: Any, arguments: dict[str, Any]) -> tuple[keras.Model, keras.Model]:
    whole, stream = model_of(cls, STEPS, **arguments), model_of(cls, 1, stateful=True, **arguments)
    for weight in whole.get_layer("it").trainable_weights:
        if weight.name == "threshold":
            weight.assign([0.5, 0.75, -0.25])  # the last one fires at rest
    stream.set_weights(whole.get_weights())
    return whole, stream


@pytest.mark.parametrize(("cls", "arguments"), CASES)
def test_calls_of_one_step_are_one_sequence(cls, arguments, tmp_path):
    whole, stream = both(cls, arguments)
    x = data()
    wanted = whole.predict(x, verbose=0)

    def step_by_step(model: keras.Model) -> np.ndarray:
        return np.concatenate([model.predict(x[:, n : n + 1], verbose=0) for n in range(STEPS)], axis=1)

    assert np.array_equal(step_by_step(stream), wanted)
    assert float64_of(stream.get_layer("it").states[0]).any()  # it goes on
    reset_states(stream)
    assert np.array_equal(step_by_step(stream), wanted)
    assert np.isclose(ebops(stream), ebops(whole) / STEPS, rtol=1e-6)

    steps = np.moveaxis(x, 1, 0).reshape(-1, 1, NEURONS)
    calibrate(stream, steps)
    report = verify(stream, steps)
    assert report.ok, str(report)
    frozen = freeze(stream)
    assert np.array_equal(step_by_step(frozen), wanted)
    frozen.save(tmp_path / "stream.keras")
    assert np.array_equal(step_by_step(load_model(tmp_path / "stream.keras")), wanted)


@pytest.mark.parametrize(("cls", "arguments"), CASES)
def test_integers_carry_the_potential(cls, arguments):
    _, stream = both(cls, arguments)
    layer, x = freeze(stream).get_layer("it"), data()
    states: list[Any] = []
    for n in range(STEPS):
        step = x[:, n : n + 1]
        *given, v = layer.exact(Integers(), from_float(step), *states)
        states = [v]
        wanted = layer(step)
        assert np.array_equal(to_float(given[0]), float64_of(wanted[0] if arguments.get("return_state") else wanted))
        assert np.array_equal(to_float(v), float64_of(layer.states[0]))


def test_what_is_refused():
    with pytest.raises(ConfigError, match="a stateful layer goes forwards"):
        QIntegrateAndFire(stateful=True, go_backwards=True)
    with pytest.raises(ConfigError, match="a batch of any size"):
        QIntegrateAndFire(stateful=True).build((None, 1, 2))
    with pytest.raises(ConfigError, match=r"r.membrane: a state that is kept has a fixed range"):
        QIntegrateAndFire(stateful=True, membrane_quantizer=KIF(overflow_mode="WRAP"), name="r").build((1, 1, 2))
    layer = QIntegrateAndFire(stateful=True, name="r")
    layer.build((2, 1, 2))
    with pytest.raises(DataError, match=r"r: it keeps states for batches of 2 samples. Received: 3"):
        layer(np.zeros((3, 1, 2), np.float32))
