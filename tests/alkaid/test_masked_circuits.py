"""Masks and states as ports of a circuit: one bit for each step, and the format of the state."""

from __future__ import annotations

from collections.abc import Callable

import keras
import numpy as np
import pytest
from alkaid.trace import HWConfig

from hgq2_alkaid.circuit import Circuit, build
from hgq2_core import calibrate, defaults, freeze, verify
from hgq2_core.exporting.vectors import expected
from hgq2_fixed_point import KBI
from hgq2_layers import QEmbedding, QGlobalAveragePooling1D, QQuantize, QSimpleRNN

pytestmark = pytest.mark.once
STEPS = 3


def masked_input() -> keras.Model:
    x = keras.Input((STEPS, 2), name="x")
    kept = keras.layers.Masking(name="masking")(QQuantize(name="quantize")(x))
    return keras.Model(x, QSimpleRNN(2, activation="relu", name="steps")(kept))


def mask_of_its_own() -> keras.Model:
    x, mask = keras.Input((STEPS, 2), name="x"), keras.Input((STEPS,), dtype="bool", name="mask")
    h = QSimpleRNN(2, activation="relu", return_sequences=True, name="steps")(x, mask=mask)
    return keras.Model([x, mask], QGlobalAveragePooling1D(masked=True, name="mean")(h, mask=mask))


def tokens() -> keras.Model:
    x = keras.Input((STEPS,), dtype="uint8", name="x")
    rows = QEmbedding(4, 2, mask_zero=True, embeddings_initializer="orthogonal", name="rows")(x)
    return keras.Model(x, QGlobalAveragePooling1D(masked=True, name="mean")(rows))


def one_step() -> keras.Model:
    x, state = keras.Input((1, 2), name="x"), keras.Input((2,), name="state")
    layer = QSimpleRNN(2, activation="relu", return_state=True, name="steps")
    return keras.Model([x, state], layer(x, initial_state=[state]))


def circuit_of(model: keras.Model, data: list[np.ndarray], input_format: tuple[int, int, int] | None) -> Circuit:
    calibrate(model, data)
    assert verify(model, data).ok
    frozen = freeze(model)
    circuit = build(frozen, HWConfig(1, -1, -1), input_format, estimate=False)
    assert np.array_equal(circuit.interpret(circuit.quantize_inputs(data)), expected(frozen, data))
    return circuit


@pytest.mark.parametrize("make", [masked_input, mask_of_its_own, tokens, one_step])
def test_a_circuit_takes_masks_and_states(make: Callable[[], keras.Model]) -> None:
    rng = np.random.default_rng(0)
    with defaults(activation=KBI(b=4, overflow_mode="SAT")):
        model = make()
    data = []
    for tensor in model.inputs:
        x = rng.normal(size=(300, *tensor.shape[1:])) * 2
        kept = rng.random((300, *tensor.shape[1:2], *(1,) * (x.ndim - 2))) < 0.6
        data.append({"bool": x > 0, "uint8": rng.integers(0, 4, x.shape)}.get(tensor.dtype, x * kept))
    circuit = circuit_of(model, data, (0, 2, 0) if make is tokens else None)
    widths = {port.name: port.bits for port in circuit.inputs}
    if make is mask_of_its_own:
        assert widths["mask"] == STEPS
    if make is one_step:
        assert widths["state"] == 2 * (4 + 1)
