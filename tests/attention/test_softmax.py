"""QSoftmax: Keras' softmax with fine tables, masks, cost, tables, exactness; docs/numerics.md#7, #8, #9.14."""

from __future__ import annotations

import keras
import numpy as np
import pytest
from arrays import float64_of

from hgq2_attention import QSoftmax
from hgq2_core import ConfigError, calibrate, ebops, fit_ranges, freeze, quantize_model, verify
from hgq2_fixed_point import KIF

FINE = {
    "input_quantizer": "none",
    "difference_quantizer": "none",
    "exp_quantizer": "none",
    "sum_quantizer": "none",
    "inverse_quantizer": "none",
}
COARSE = {
    "input_quantizer": KIF(i=3, f=3, overflow_mode="SAT_SYM"),
    "sum_quantizer": KIF(k=0, i=3, f=4, overflow_mode="SAT"),
}


def logits(*shape, seed=0):
    return np.random.default_rng(seed).normal(size=shape).astype(np.float32) * 2


def modelled(layer, *shape, masked=False):
    x = keras.Input(shape)
    if not masked:
        return keras.Model(x, layer(x))
    mask = keras.Input(shape, dtype="bool")
    return keras.Model([x, mask], layer(x, mask=mask))


@pytest.mark.parametrize("stable", [True, False])
@pytest.mark.parametrize("axis", [-1, 1, (1, 3)])
@pytest.mark.parametrize("mask", ["none", "bool", "float", "nothing left"])
def test_without_quantizers_it_is_keras_softmax(stable, axis, mask):
    slots = FINE if stable else {**FINE, "difference_quantizer": None}
    x = logits(4, 3, 2, 5)
    rng = np.random.default_rng(1)
    masks = {"none": None, "bool": rng.random(x.shape) < 0.6, "float": rng.random(x.shape).astype(np.float32)}
    masks["nothing left"] = np.zeros(x.shape, bool)
    given = None if masks[mask] is None else keras.ops.convert_to_tensor(masks[mask])
    got = float64_of(QSoftmax(axis=axis, stable=stable, **slots)(x, mask=given))
    assert np.abs(got - float64_of(keras.layers.Softmax(axis)(x, mask=given))).max() < 1e-6


def test_the_scale_is_in_the_table():
    x = logits(4, 6)
    got = float64_of(QSoftmax(scale=0.25, **FINE)(x))
    assert np.abs(got - float64_of(keras.ops.softmax(x * 0.25))).max() < 1e-6


@pytest.mark.parametrize("stable", [True, False])
@pytest.mark.parametrize("mode", ["WRAP", "SAT_SYM"])
@pytest.mark.parametrize("masked", [True, False])
def test_integers_equal_keras(stable, mode, masked):
    quantizer = KIF(i=3, f=3, overflow_mode=mode)
    layer = QSoftmax(stable=stable, input_quantizer=quantizer, sum_quantizer=quantizer, output_quantizer=quantizer)
    model = modelled(layer, 2, 5, masked=masked)
    x = logits(2000, 2, 5)
    mask = np.random.default_rng(2).random(x.shape) < 0.5
    data = [x, mask] if masked else x
    calibrate(model, data)
    report = verify(model, data)
    assert (report.mismatches, report.samples) == (0, 2000)
    if masked:
        predicted = model.predict(data, verbose=0)
        assert (predicted[~mask] == 0).all()
        assert (~mask).all(axis=-1).sum() > 20  # rows of nothing


def test_masked_positions_move_no_range():
    layer = QSoftmax()
    model = modelled(layer, 4, masked=True)
    x = logits(64, 4)
    mask = np.ones(x.shape, bool)
    mask[:, 0] = False
    wild = x.copy()
    wild[:, 0] = 1000.0
    found = []
    for values in (x, wild):
        calibrate(model, [values, mask])
        found.append([float64_of(variable) for quantizer in layer.quantizers for variable in quantizer.variables[:2]])
    assert all((a == b).all() for a, b in zip(*found, strict=True))


def test_a_sum_of_zero_gives_the_largest_entry():
    layer = QSoftmax(stable=False, inverse_quantizer=KIF(k=0, i=2, f=3, overflow_mode="SAT"), **COARSE)
    modelled(layer, 4)
    assert float64_of(layer.constants()["inverse"]).max() == 4 - 2**-3
    assert float64_of(layer.constants()["inverse"])[0] == 4 - 2**-3


def test_tables_of_their_own():
    fine = KIF(k=0, i=1, f=6, overflow_mode="SAT", granularity="element")
    layer = QSoftmax(heterogeneous=True, exp_quantizer=fine, inverse_quantizer=fine, **COARSE)
    model = modelled(layer, 2, 3)
    rng = np.random.default_rng(3)
    for quantizer in (layer.exp_quantizer, layer.inverse_quantizer):
        quantizer.f.assign(rng.integers(2, 7, quantizer.f.shape))
    x = logits(2000, 2, 3)
    calibrate(model, x)
    assert layer.constants()["exp"].shape[1:] == (2, 3)
    assert layer.constants()["inverse"].shape[1:] == (2, 1)
    assert verify(model, x).mismatches == 0


@pytest.mark.parametrize(("stable", "parallel"), [(True, None), (False, None), (True, 2), (True, 6)])
def test_cost_by_hand(stable, parallel):
    layer = QSoftmax(axis=2, stable=stable, parallelization_factor=parallel, **COARSE)
    if stable:
        layer = QSoftmax(axis=2, parallelization_factor=parallel, difference_quantizer=KIF(k=0, i=3, f=2), **COARSE)
    model = modelled(layer, 3, 4, 2)
    rows, n = 6, 24
    exp, inverse = float64_of(layer.exp_table.bits()), float64_of(layer.inverse_table.bits())
    entering, sums = (5 if stable else 6), 3 + 4
    own = n * entering * stable + (n - rows) * exp + n * exp * inverse
    tables = 1e-4 * (n * 2.0**entering * exp + rows * 2.0 ** float64_of(layer.sum_quantizer.bits()).max() * inverse)
    assert float64_of(layer.sum_quantizer.bits()).max() == sums
    assert ebops(model) == pytest.approx((own + tables) * (1 if parallel is None else parallel / rows), rel=1e-5)


def test_default_tables_are_unsigned_and_given_configs_stay():
    given = KIF(i=1, f=7, overflow_mode="SAT")
    layer = QSoftmax(exp_quantizer=given, inverse_quantizer=given)
    assert given == KIF(i=1, f=7, overflow_mode="SAT")
    assert given.k == layer.exp_quantizer.config.k == 1
    assert QSoftmax().exp_quantizer.config.k == QSoftmax().inverse_quantizer.config.k == 0


def test_bits_learn():
    model = modelled(QSoftmax(), 6)
    model.compile(keras.optimizers.Adam(0.05), "mse")
    layer = model.layers[-1]
    before = [float64_of(variable) for variable in layer.trainable_variables]
    x = logits(256, 6)
    model.fit(x, float64_of(keras.ops.softmax(x)), epochs=3, verbose=0)
    moved = [(float64_of(v) != b).any() for v, b in zip(layer.trainable_variables, before, strict=True)]
    assert all(moved) and len(moved) == 7
    assert all(np.isfinite(float64_of(v)).all() for v in layer.variables)


def test_frozen_saved_and_loaded(tmp_path):
    model = modelled(QSoftmax(axis=(1, 2), output_quantizer=KIF()), 3, 4)
    x = logits(200, 3, 4)
    calibrate(model, x)
    frozen = freeze(model)
    frozen.save(tmp_path / "m.keras")
    back = keras.saving.load_model(tmp_path / "m.keras")
    assert (back.predict(x, verbose=0) == model.predict(x, verbose=0)).all()


AXES = "s: axis must name different axes of an input of rank 2, and not the batch. Received: axis="


@pytest.mark.parametrize(
    ("arguments", "shape", "message"),
    [
        (
            {"stable": False, "difference_quantizer": "kif"},
            (4,),
            "s: difference_quantizer is for stable=True; the other form has no maximum.",
        ),
        ({"axis": 0}, (4,), f"{AXES}0."),
        ({"axis": [1, -1]}, (4,), f"{AXES}[1, -1]."),
        ({}, (None, 4), "s: every axis but the batch's needs a static size. Received: shape (None, None, 4)."),
        (
            {"parallelization_factor": 4},
            (3, 4),
            "s: parallelization_factor must be at most the 3 rows of a sample. Received: 4.",
        ),
    ],
)
def test_wrong_arguments(arguments, shape, message):
    with pytest.raises(ConfigError) as error:
        QSoftmax(name="s", **arguments)(keras.Input(shape))
    assert str(error.value) == message


@pytest.mark.once
@pytest.mark.parametrize("spread", [0.5, 4.0])
def test_a_converted_one_is_as_near_as_its_bits(spread):
    """A difference with a sign made the largest entry exp(16), next to which all others were 0."""
    x = (np.random.default_rng(0).normal(size=(500, 4)) * spread).astype(np.float32)
    inputs = keras.Input((4,), name="x")
    plain = keras.Model(inputs, keras.layers.Softmax(name="softmax")(inputs))
    model = quantize_model(plain)
    fit_ranges(model, x)
    assert np.abs(model.predict(x, verbose=0) - plain.predict(x, verbose=0)).max() < 0.1
