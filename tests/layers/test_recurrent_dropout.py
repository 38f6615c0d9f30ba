"""Dropout inside recurrent layers: in training alone, one draw for all steps, in front of the quantizers."""

from __future__ import annotations

from pathlib import Path

import keras
import numpy as np
import pytest
from arrays import float64_of
from arrays import unit_values as values

from hgq2_core import ConfigError, calibrate, freeze, load_model, quantize_model, verify
from hgq2_layers import QGRU, QLSTM, QSimpleRNN, QSimpleRNNCell

UNQUANTIZED = {f"{slot}_quantizer": "none" for slot in ("input", "kernel", "recurrent", "state", "activation")}


def linear(kernel: float, recurrent: float, **arguments: float) -> QSimpleRNN:
    layer = QSimpleRNN(8, activation="linear", use_bias=False, return_sequences=True, **UNQUANTIZED, **arguments)
    layer.build((None, 3, 8))
    layer.kernel.assign(kernel * np.eye(8))
    layer.recurrent_kernel.assign(recurrent * np.eye(8))
    return layer


def test_features_are_dropped_in_all_steps_alike() -> None:
    ones = np.ones((4, 3, 8), np.float32)
    layer = linear(1.0, 0.0, dropout=0.5, seed=1)
    outputs = float64_of(layer(ones, training=True))
    assert set(outputs.ravel()) == {0.0, 2.0}
    assert (outputs == outputs[:, :1]).all()
    assert not np.array_equal(outputs, float64_of(layer(ones, training=True)))
    assert np.array_equal(float64_of(layer(ones)), ones)


def test_states_are_dropped_in_all_steps_alike() -> None:
    zeros, start = np.zeros((4, 3, 8), np.float32), np.ones((4, 8), np.float32)
    layer = linear(0.0, 1.0, recurrent_dropout=0.5, seed=1)
    outputs = float64_of(layer(zeros, initial_state=[start], training=True))
    assert set(outputs[:, 0].ravel()) == {0.0, 2.0}
    assert np.array_equal(outputs, outputs[:, :1] ** np.arange(1, 4)[:, None])
    assert (float64_of(layer(zeros, initial_state=[start])) == 1).all()


@pytest.mark.parametrize(
    "make",
    [QSimpleRNN, QLSTM, QGRU, pytest.param(lambda *a, **k: QGRU(*a, reset_after=False, **k), marks=pytest.mark.slow)],
)
def test_a_layer_with_dropout_trains_and_is_exact(make: type[QSimpleRNN], tmp_path: Path) -> None:
    layer = make(3, dropout=0.25, recurrent_dropout=0.25, seed=1, name="it")
    model = keras.Sequential([keras.Input((3, 2)), layer])
    x = values(64, 3, 2)
    model.compile("sgd", "mse")
    model.fit(x, values(64, 3), verbose=0)
    calibrate(model, x)
    report = verify(model, x)
    assert report.ok, str(report)
    frozen = freeze(model)
    frozen.save(tmp_path / "frozen.keras")
    assert np.array_equal(load_model(tmp_path / "frozen.keras").predict(x, verbose=0), frozen.predict(x, verbose=0))


def linear_cell(kernel: float, recurrent: float, **arguments: float) -> QSimpleRNNCell:
    cell = QSimpleRNNCell(8, activation="linear", use_bias=False, **UNQUANTIZED, **arguments)
    cell.build((None, 8))
    cell.kernel.assign(kernel * np.eye(8))
    cell.recurrent_kernel.assign(recurrent * np.eye(8))
    return cell


def test_a_cell_drops_in_all_steps_of_a_loop_alike() -> None:
    ones, zeros, start = np.ones((4, 3, 8), np.float32), np.zeros((4, 3, 8), np.float32), np.ones((4, 8), np.float32)
    loop = keras.layers.RNN(linear_cell(1.0, 0.0, dropout=0.5, seed=1), return_sequences=True)
    outputs = float64_of(loop(ones, training=True))
    assert set(outputs.ravel()) == {0.0, 2.0}
    assert (outputs == outputs[:, :1]).all()
    assert not np.array_equal(outputs, float64_of(loop(ones, training=True)))
    assert np.array_equal(float64_of(loop(ones)), ones)
    loop = keras.layers.RNN(linear_cell(0.0, 1.0, recurrent_dropout=0.5, seed=1), return_sequences=True)
    outputs = float64_of(loop(zeros, initial_state=[start], training=True))
    assert set(outputs[:, 0].ravel()) == {0.0, 2.0}
    assert np.array_equal(outputs, outputs[:, :1] ** np.arange(1, 4)[:, None])
    assert (float64_of(loop(zeros, initial_state=[start])) == 1).all()


def test_a_cell_by_itself_draws_in_each_call() -> None:
    cell, ones = linear_cell(1.0, 0.0, dropout=0.5, seed=1), np.ones((4, 8), np.float32)
    once, again = (float64_of(cell(ones, training=True)[0]) for _ in range(2))
    assert set(once.ravel()) == {0.0, 2.0}
    assert not np.array_equal(once, again)


def test_cells_with_dropout_train_and_are_exact(tmp_path: Path) -> None:
    """Also those that `quantize_model` makes of Keras' cells."""
    arguments = {"dropout": 0.25, "recurrent_dropout": 0.25, "seed": 1}
    cells = [keras.layers.LSTMCell(3, **arguments), keras.layers.GRUCell(2, **arguments)]
    plain = keras.Sequential([keras.Input((3, 2)), keras.layers.RNN(cells, name="loop")])
    model, x = quantize_model(plain), values(64, 3, 2)
    for cell in model.get_layer("loop").cell.cells:
        assert {name: cell.get_config()[name] for name in arguments} == arguments
    model.compile("sgd", "mse")
    model.fit(x, values(64, 2), verbose=0)
    calibrate(model, x)
    report = verify(model, x)
    assert report.ok, str(report)
    frozen = freeze(model)
    frozen.save(tmp_path / "frozen.keras")
    assert np.array_equal(load_model(tmp_path / "frozen.keras").predict(x, verbose=0), frozen.predict(x, verbose=0))


@pytest.mark.once
def test_a_share_is_below_one() -> None:
    with pytest.raises(ConfigError, match="dropout"):
        QLSTM(2, dropout=1.0)
