"""Merging and recurrent layers, and Keras' own around them, have circuits: the contract also lets one be refused."""

from __future__ import annotations

import keras
import numpy as np
import pytest

pytest.importorskip("alkaid.trace", reason="alkaid is not installed: make install")


from hgq2_core import calibrate, freeze
from hgq2_core.exporting.export import exporter_of
from hgq2_layers import QGRU, QLSTM, QAdd, QConcatenate, QDot, QMaximum, QMultiply, QSimpleRNN, QSum


def recurrent(layer):
    inputs = keras.Input((2, 2))
    return keras.Model(inputs, layer(inputs))


def merging():
    a, b = keras.Input((2, 2)), keras.Input((2, 2))
    added = keras.layers.Permute((2, 1))(QAdd()([a, b]))
    merged = QConcatenate()([QMultiply()([a, b]), QMaximum()([added, a]), QDot((2, 1))([a, b])])
    return keras.Model([a, b], QSum(1)(keras.layers.Concatenate()([merged, keras.layers.Subtract()([added, added])])))


@pytest.mark.parametrize(
    "make",
    [
        merging,
        lambda: recurrent(QSimpleRNN(2, return_state=True)),
        lambda: recurrent(QGRU(2)),
        lambda: recurrent(QLSTM(2)),
        lambda: recurrent(keras.layers.Bidirectional(QSimpleRNN(2, "relu"))),
    ],
    ids=["merging", "simple_rnn", "gru", "lstm", "bidirectional"],
)
def test_the_circuit_gives_what_the_integers_give(make):
    model = make()
    rng = np.random.default_rng(1)
    x = [rng.normal(size=(200, *tensor.shape[1:])).astype(np.float32) * 3 for tensor in model.inputs]
    x = x if len(x) > 1 else x[0]
    calibrate(model, keras.tree.map_structure(lambda each: each[:50] / 3, x))
    assert exporter_of("alkaid").mismatches(freeze(model), x) == 0
