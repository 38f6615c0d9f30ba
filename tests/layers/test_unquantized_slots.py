"""A slot with `none` costs the bits that its values have: those of the quantizers in front. docs/numerics.md#10."""

from __future__ import annotations

from typing import Any

import keras
import numpy as np
import pytest

from hgq2_core import ebops, load_model
from hgq2_fixed_point import KIF
from hgq2_layers import QGRU, QDense, QQuantize, QSimpleRNNCell

layers = keras.layers
STEPS, FEATURES, UNITS = 5, 8, 4
BITS = KIF(i=1, f=2, overflow_mode="SAT_SYM", granularity="tensor")
WEIGHTS = {
    "kernel_quantizer": {"kind": "fixed_point.kbi", "b": 3, "i": 1},
    "bias_quantizer": {"kind": "fixed_point.kbi", "b": 4, "i": 1, "overflow_mode": "SAT_SYM"},
}

WRAPPED = {
    "TimeDistributed": lambda **slots: layers.TimeDistributed(QDense(UNITS, **WEIGHTS, **slots)),
    "RNN": lambda **slots: layers.RNN(QSimpleRNNCell(UNITS, activation="relu", **WEIGHTS, **slots)),
    "Bidirectional": lambda **slots: layers.Bidirectional(QGRU(UNITS, **slots)),
}


def behind_a_quantizer(layer: keras.layers.Layer) -> keras.Model:
    x = keras.Input((STEPS, FEATURES))
    return keras.Model(x, layer(QQuantize(quantizer=BITS)(x)))


@pytest.mark.parametrize("name", WRAPPED)
def test_inside_a_wrapper_it_costs_what_a_quantizer_with_these_bits_costs(name: str, tmp_path: Any) -> None:
    quantized = behind_a_quantizer(WRAPPED[name](input_quantizer=BITS))
    passing = behind_a_quantizer(WRAPPED[name](input_quantizer="none"))
    assert np.isclose(ebops(passing), ebops(quantized), rtol=1e-6)
    x = np.ones((2, STEPS, FEATURES), np.float32)
    losses = []
    for model in (quantized, passing):
        model(x)
        losses.append(sum(float(keras.ops.convert_to_numpy(loss)) for loss in model.losses))
    assert np.isclose(*losses, rtol=1e-3)  # the penalties of the quantizer's own bits
    assert losses[1] > 0.9 * 1e-5 * ebops(passing)
    passing.save(tmp_path / "model.keras")
    assert np.isclose(ebops(load_model(tmp_path / "model.keras")), ebops(passing), rtol=1e-6)


@pytest.mark.once
def test_by_hand() -> None:
    model = behind_a_quantizer(WRAPPED["TimeDistributed"](input_quantizer="none"))
    assert ebops(model) == STEPS * (FEATURES * UNITS * 3 * 3 + UNITS * 4)


def test_raw_inputs_have_the_bits_of_their_dtype() -> None:
    x = keras.Input((STEPS, FEATURES))
    model = keras.Model(x, WRAPPED["TimeDistributed"](input_quantizer="none")(x))
    assert ebops(model) == STEPS * (FEATURES * UNITS * 32 * 3 + UNITS * 4)
