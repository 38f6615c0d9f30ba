"""Masks and initial states of recurrent layers: Keras' twin, exactness, both directions; docs/numerics.md#8."""

from __future__ import annotations

import itertools
from typing import Any

import keras
import numpy as np
import pytest
from arrays import float64_of
from arrays import unit_values as values
from selection import one_in

from hgq2_core import ConfigError, calibrate, freeze, verify
from hgq2_core.exporting.export import exporter_of
from hgq2_fixed_point import KBI, KIF
from hgq2_layers import QGRU, QLSTM, QDense, QSimpleRNN

layers = keras.layers
UNQUANTIZED = {
    f"{slot}_quantizer": "none"
    for slot in ("input", "kernel", "recurrent", "bias", "state", "activation", "activation_table")
}
GATED = {f"recurrent_activation{part}_quantizer": "none" for part in ("", "_table")}
CARRY = {f"carry{part}_quantizer": "none" for part in ("", "_table")}
TWINS = {
    "simple_rnn": (QSimpleRNN, layers.SimpleRNN, {}),
    "gru": (QGRU, layers.GRU, {"reset_quantizer": "none", **GATED}),
    "lstm": (QLSTM, layers.LSTM, {**GATED, **CARRY}),
}
STEPS = 5
FORMS: list[dict[str, Any]] = [
    {"return_sequences": True},
    {"return_state": True, "go_backwards": True},
    {"return_sequences": True, "zero_output_for_mask": True},
]
CASES = list(one_in(4, list(itertools.product(TWINS, FORMS))))


def masks(samples: int) -> np.ndarray:
    """Masks with false steps in front, inside and at the end, and one that is false throughout."""
    mask = np.random.default_rng(3).random((samples, STEPS)) < 0.6
    mask[0] = False
    return mask


def state_inputs(count: int) -> list[Any]:
    return [keras.Input((3,), name=f"state_{n}") for n in range(count)]


@pytest.mark.parametrize(("name", "form"), CASES)
def test_with_masks_and_states_it_is_its_keras_twin(name, form):
    cls, twin, unquantized = TWINS[name]
    # Only unrolled, Keras' outputs before the first step are 0 on every backend; but backwards it does not unroll on
    # torch, and on jax it does not zero the outputs of masked steps then.
    unroll = form == FORMS[0]
    layer, reference = cls(3, **form, **UNQUANTIZED, **unquantized), twin(3, **form, unroll=unroll)
    x, mask = values(16, STEPS, 2), keras.ops.convert_to_tensor(masks(16))
    states = [values(16, 3, seed=n) for n in range(layer.state_count)]
    layer.build((None, STEPS, 2))
    reference.build((None, STEPS, 2))
    reference.set_weights([layer.kernel, layer.recurrent_kernel, layer.bias])
    for given in ({}, {"initial_state": states}):
        got, wanted = (keras.tree.flatten(each(x, mask=mask, **given)) for each in (layer, reference))
        for a, b in zip(got, wanted, strict=True):
            assert np.allclose(float64_of(a)[1:], float64_of(b)[1:], rtol=0, atol=1e-6)


@pytest.mark.parametrize(("name", "form"), CASES)
def test_integers_take_masks_and_states(name, form):
    cls, *_ = TWINS[name]
    layer = cls(3, **form)
    x, states = keras.Input((STEPS, 2), name="x"), state_inputs(layer.state_count)
    masked = layers.Masking(name="masking")(x)
    outputs = keras.tree.flatten(layer(masked, initial_state=states))
    model = keras.Model([x, *states], [QDense(2, name="last")(outputs[0]), *outputs[1:]])
    data = [values(200, STEPS, 2) * 2, *(values(200, 3, seed=n) for n in range(len(states)))]
    data[0][~masks(200)] = 0.0
    calibrate(model, data)
    report = verify(model, data)
    assert report.ok, str(report)


def test_what_is_masked_changes_nothing():
    layer = QGRU(3, return_state=True)
    mask = masks(16)
    x = values(16, STEPS, 2)
    other = np.where(mask[..., None], x, 7.0).astype(np.float32)
    kept = keras.ops.convert_to_tensor(mask)
    for one, two in zip(layer(x, mask=kept), layer(other, mask=kept), strict=True):
        assert np.array_equal(float64_of(one), float64_of(two))


def test_no_quantizer_observes_what_is_masked():
    layer = QSimpleRNN(2, input_quantizer=KIF(overflow_mode="WRAP"))
    x, mask = values(4, STEPS, 2), np.ones((4, STEPS), bool)
    x[:, 0] = 1000.0
    mask[:, 0] = False
    layer(x, mask=keras.ops.convert_to_tensor(mask), training=True)
    assert float64_of(layer.input_quantizer.i).max() < 3


def test_initial_states_pass_the_quantizers_of_the_states():
    layer = QLSTM(2, return_state=True, name="it")
    x, off = values(1, 3, 2), [np.full((1, 2), 0.3), np.full((1, 2), -0.7)]
    layer.build((None, 3, 2))
    on = [float64_of(q.quantize(s)) for q, s in zip(layer.state_quantizers(), off, strict=True)]
    assert not np.array_equal(on, off)
    one, two = (layer(x, initial_state=[s.astype(np.float32) for s in states]) for states in (off, on))
    assert all(np.array_equal(float64_of(a), float64_of(b)) for a, b in zip(one, two, strict=True))
    with pytest.raises(ConfigError) as error:
        layer(x, initial_state=off[:1])
    assert str(error.value) == "it: has 2 states. Received: 1 initial states."


@pytest.mark.once
def test_a_decoder_starts_where_its_encoder_ends():
    x, y = keras.Input((STEPS, 2), name="x"), keras.Input((3, 2), name="y")
    _, *states = QLSTM(3, return_state=True, name="encoder")(layers.Masking(name="masking")(x))
    outputs = QDense(1, name="last")(QLSTM(3, return_sequences=True, name="decoder")(y, initial_state=states))
    model = keras.Model([x, y], outputs)
    data = [values(200, STEPS, 2), values(200, 3, 2, seed=1)]
    data[0][~masks(200)] = 0.0
    calibrate(model, data)
    report = verify(model, data)
    assert report.ok, str(report)


@pytest.mark.once
@pytest.mark.parametrize("state", [KIF(overflow_mode="WRAP"), KBI(b=5, overflow_mode="WRAP")], ids=["kif", "kbi"])
@pytest.mark.parametrize("name", TWINS)
def test_an_observed_state_is_fixed_by_calibration_and_wraps_alike_in_keras_integers_and_circuit(name, state):
    cls, *_ = TWINS[name]
    layer = cls(2, return_state=True, state_quantizer=state)
    x, states = keras.Input((STEPS, 2), name="x"), [keras.Input((2,), name=f"s{n}") for n in range(layer.state_count)]
    model = keras.Model([x, *states], layer(x, initial_state=states))

    def data(scale: float) -> list[np.ndarray]:
        return [values(200, STEPS, 2) * scale, *(values(200, 2, seed=n) * scale for n in range(len(states)))]

    calibrate(model, data(0.2))
    fixed = float64_of(layer.state_quantizer.i)
    calibrate(model, data(0.2))
    assert np.array_equal(float64_of(layer.state_quantizer.i), fixed)
    # The states that begin are beyond what was observed, and wrap.
    beyond = data(8.0)
    assert np.abs(beyond[1]).max() > 2.0 ** fixed.max()
    report = verify(model, beyond)
    assert report.ok, str(report)
    assert exporter_of("alkaid").mismatches(freeze(model), beyond) == 0
