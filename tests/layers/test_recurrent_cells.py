"""Cells for keras.layers.RNN and StackedRNNCells: equal to the layers, exact, converted, and in the loss once."""

from __future__ import annotations

from typing import Any

import keras
import numpy as np
import pytest
from arrays import float64_of
from arrays import unit_values as values

from hgq2_core import (
    ConfigError,
    ExactnessError,
    calibrate,
    ebops,
    freeze,
    layers_of,
    load_model,
    quantize_model,
    verify,
)
from hgq2_fixed_point import KIF
from hgq2_layers import QGRU, QLSTM, QDense, QGRUCell, QLSTMCell, QSimpleRNN, QSimpleRNNCell

layers = keras.layers
STEPS = 4
PAIRS = {"simple_rnn": (QSimpleRNN, QSimpleRNNCell), "gru": (QGRU, QGRUCell), "lstm": (QLSTM, QLSTMCell)}
NAMES = ["lstm", *(pytest.param(name, marks=pytest.mark.slow) for name in ("simple_rnn", "gru"))]
FORMS: list[dict[str, Any]] = [
    {"return_sequences": True, "return_state": True},
    {"go_backwards": True, "zero_output_for_mask": True},
]


def applied(layer: Any, masked: bool = False) -> keras.Model:
    x = keras.Input((STEPS, 2), name="x")
    return keras.Model(x, layer(layers.Masking(name="masking")(x) if masked else x))


def both(name: str, masked: bool = False, **form: Any) -> tuple[keras.Model, keras.Model]:
    """A layer, and its cell in Keras' loop, of the same weights."""
    cls, of_step = PAIRS[name]
    layer = cls(3, input_quantizer=KIF(granularity=[2], overflow_mode="SAT"), **form)
    cell = of_step(3, input_quantizer=KIF(granularity=[1], overflow_mode="SAT"), parallelization_factor=STEPS)
    models = applied(layer, masked), applied(layers.RNN(cell, **form, name="loop"), masked)
    for weight in ("kernel", "recurrent_kernel", "bias"):
        getattr(cell, weight).assign(float64_of(getattr(layer, weight)))
    return models


def data(masked: bool = False) -> np.ndarray:
    x = values(64, STEPS, 2) * 2
    if masked:
        x[np.random.default_rng(2).random((64, STEPS)) < 0.4] = 0.0
    return x


@pytest.mark.parametrize("form", FORMS)
@pytest.mark.parametrize("name", NAMES)
def test_a_cell_in_a_loop_is_the_layer(name, form):
    ours, theirs = both(name, **form)
    x = data()
    for one, two in zip(*(keras.tree.flatten(model(x)) for model in (ours, theirs)), strict=True):
        assert np.array_equal(float64_of(one), float64_of(two))
    assert np.isclose(ebops(theirs), ebops(ours), rtol=1e-6)
    losses = [sum(float64_of(loss) for loss in model.losses) for model in (ours, theirs)]
    assert np.isclose(*losses, rtol=1e-5)
    assert losses[0] > 0


@pytest.mark.parametrize("form", FORMS)
@pytest.mark.parametrize("name", NAMES)
def test_a_cell_in_a_loop_is_exact(name, form, tmp_path):
    _, model = both(name, masked=True, **form)
    x = data(masked=True)
    calibrate(model, x)
    report = verify(model, x)
    assert report.ok, str(report)
    frozen = freeze(model)
    frozen.save(tmp_path / "frozen.keras")
    wanted = keras.tree.flatten(frozen.predict(x, verbose=0))
    again = keras.tree.flatten(load_model(tmp_path / "frozen.keras").predict(x, verbose=0))
    assert all(map(np.array_equal, again, wanted))


def test_the_cost_by_hand():
    bits = KIF(i=1, f=2, overflow_mode="SAT_SYM", granularity="tensor")
    weight = {"kind": "fixed_point.kbi", "b": 3, "i": 1, "granularity": "tensor"}
    cell = QSimpleRNNCell(
        3, "linear", input_quantizer=bits, state_quantizer=bits, activation_quantizer=bits,
        kernel_quantizer=weight, recurrent_quantizer=weight, bias_quantizer=weight, parallelization_factor=2,
    )  # fmt: skip
    cell.build((None, 2))
    assert ebops(cell) == 2 * (2 * 3 * 3 * 3 + 3 * 3 * 3 * 3 + 3 * 3)  # x K, h R, b


def test_a_cell_trains_in_a_loop():
    cell = QGRUCell(3, kernel_regularizer=keras.regularizers.L2(0.5), name="cell")
    model = keras.Sequential([keras.Input((STEPS, 2)), layers.RNN(cell), QDense(1)])
    own = [float64_of(loss) for loss in model.losses]
    assert any(loss > 0.5 * float64_of(keras.ops.sum(cell.kernel**2)) for loss in own)
    model.compile(keras.optimizers.Adam(0.01), "mse")
    before = {variable.path: float64_of(variable) for variable in cell.trainable_variables}
    x = values(64, STEPS, 2)
    model.fit(x, x[:, :, 0].sum(1), epochs=2, verbose=0)
    assert [v.path for v in cell.trainable_variables if (before[v.path] == float64_of(v)).all()] == []


def test_a_kernel_that_no_longer_trains_leaves_the_cost_in_the_loss():
    cell = QGRUCell(3)
    model = keras.Sequential([keras.Input((STEPS, 2)), layers.RNN(cell)])
    before = sum(float64_of(loss) for loss in model.losses)
    assert before > 0
    for weight in (cell.kernel, cell.recurrent_kernel, cell.bias):
        weight.trainable = False
        assert sum(float64_of(loss) for loss in model.losses) == before
    cell.trainable = False
    assert model.losses == []


def test_a_cell_by_itself_takes_and_gives_its_states():
    cell = QLSTMCell(2)
    x, states = values(8, 3), [values(8, 2, seed=n) for n in (1, 2)]
    y, after = cell(x, states)
    assert np.array_equal(float64_of(y), float64_of(after[0]))
    inputs = [keras.Input((3,), name="x"), keras.Input((2,), name="h"), keras.Input((2,), name="c")]
    y, after = cell(inputs[0], inputs[1:])
    model = keras.Model(inputs, [y, *after])
    calibrate(model, [x, *states])
    assert verify(model, [x, *states]).ok


def plain() -> keras.Model:
    cells = [layers.LSTMCell(3, name="first"), layers.GRUCell(2, name="second")]
    x = keras.Input((STEPS, 2), name="x")
    h = layers.RNN(layers.StackedRNNCells(cells, name="cells"), return_sequences=True, name="loop")(x)
    return keras.Model(x, layers.RNN(layers.SimpleRNNCell(2, name="third"), name="last")(h))


def test_cells_are_converted(tmp_path):
    keras.utils.set_random_seed(1)
    model, x = plain(), data()
    converted = quantize_model(model, bits=10)
    kinds = {layer.name: type(layer) for layer in layers_of(converted)}
    assert (kinds["first"], kinds["second"], kinds["third"]) == (QLSTMCell, QGRUCell, QSimpleRNNCell)
    assert np.abs(converted.predict(x, verbose=0) - model.predict(x, verbose=0)).max() < 0.25
    calibrate(converted, x)
    report = verify(converted, x)
    assert report.ok, str(report)
    converted.save(tmp_path / "model.keras")
    assert verify(load_model(tmp_path / "model.keras"), x).ok


def test_what_is_refused():
    with pytest.raises(ConfigError) as refused:
        QLSTMCell(2, input_quantizer=KIF(overflow_mode="WRAP"), name="cell").build((None, 2))
    assert str(refused.value) == (
        "cell.input: a cell runs in a loop of Keras, in which no range may follow the values, nor a seed change. Let "
        "it saturate (overflow_mode SAT_SYM or SAT), without stochastic rounding."
    )
    with pytest.raises(ConfigError) as refused:
        QLSTMCell(2, name="cell").build((None, 3, 2))
    assert str(refused.value) == "cell: takes (batch, features), features of static size. Received: (None, 3, 2)."
    x = keras.Input((STEPS, 2), 4)
    model = keras.Model(x, layers.RNN(QLSTMCell(2), stateful=True, name="loop")(x))
    with pytest.raises(ExactnessError) as refused:
        verify(model, values(4, STEPS, 2))
    assert str(refused.value) == (
        "loop: keras.layers.RNN keeps its states out of the exact arithmetic. Received: stateful=True. Use a layer in "
        "place of the cell, such as QLSTM(units, stateful=True)."
    )
