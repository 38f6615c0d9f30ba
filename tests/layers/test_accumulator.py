"""Weights within what an accumulator holds: the bound, its gradient, and its proof. docs/numerics.md#8."""

from __future__ import annotations

import keras
import numpy as np
import pytest
from arrays import float64_of
from arrays import unit_values as values
from differentiation import differentiate
from selection import slow

from hgq2_core import ConfigError, ExactnessError, calibrate, load_model, verify
from hgq2_core.quantizers.results import Span
from hgq2_fixed_point import KBI, KIF, Identity
from hgq2_layers import (
    QBatchNormDense,
    QConv1D,
    QConv2D,
    QConv2DBatchNorm,
    QConv2DTranspose,
    QDense,
    QDenseBatchNorm,
    QEinsumDense,
    QEinsumDenseBatchNorm,
)
from hgq2_layers.core.accumulator import bounded

X = KIF(i=1, f=2, overflow_mode="SAT")
K = KIF(i=1, f=6, round_mode="TRN_ZERO", overflow_mode="SAT_SYM")
B = KBI(b=4, i=-1, overflow_mode="SAT_SYM")
SLOTS = {"input_quantizer": X, "kernel_quantizer": K, "bias_quantizer": B, "name": "seen"}
LARGE = keras.initializers.RandomUniform(-2.0, 2.0, seed=5)


def test_the_bound_by_hand():
    """Inputs of M = 2 in quarters, weights in 64ths: F = 8; ten bits hold 511 / 256, less 1/8 of bias."""
    layer = QDense(2, accumulator_bits=10, **SLOTS)
    layer.build((None, 3))
    layer.kernel.assign([[0.5, 0.25], [-1.0, 0.25], [0.75, -0.25]])
    layer.bias.assign([0.125, 0.0])
    room = 511 / 256 - 0.125
    factor = room / (2 * 2.25) * (1 - 2**-20)
    shrunk = np.trunc(np.asarray([0.5, -1.0, 0.75]) * factor * 64) / 64
    kernel = float64_of(layer.constants()["kernel"])
    assert np.array_equal(kernel[:, 0], shrunk)
    assert np.array_equal(kernel[:, 1], [0.25, 0.25, -0.25])  # 1.5 fits
    assert 2 * np.abs(shrunk).sum() <= room < 2 * np.abs(shrunk + np.sign(shrunk) / 64).sum()


def test_the_gradient_goes_through_the_sum_of_magnitudes():
    rng = np.random.default_rng(3)
    w, upstream = rng.normal(size=(4, 3)).astype(np.float32), rng.normal(size=(4, 3)).astype(np.float32)
    w[:, 2] /= 100  # fits
    largest = np.asarray([[1.0], [0.5], [2.0], [0.0]], np.float32)
    step = np.asarray([[0.25], [0.5], [0.25], [np.inf]], np.float32)

    def shrunk(kernel):
        inputs = Span(keras.ops.convert_to_tensor(largest), keras.ops.convert_to_tensor(step))
        weights = Span(keras.ops.ones_like(kernel), keras.ops.ones_like(kernel) / 8)
        return bounded(kernel, (0,), inputs, weights, None, 5)

    got, gradient = differentiate(shrunk, w, upstream=upstream)
    room, reach = 15 / 32, (largest * np.abs(w)).sum(0)
    c = np.where(reach > room, room / reach * (1 - 2**-20), 1.0)
    wanted = c * upstream - np.where(reach > room, c / reach * largest * np.sign(w) * (upstream * w).sum(0), 0.0)
    assert list(reach > room) == [True, True, False]
    np.testing.assert_allclose(got, c * w, rtol=1e-6)
    np.testing.assert_allclose(gradient, wanted, rtol=1e-4, atol=1e-6)


LAYERS = [
    (lambda **slots: QDense(3, "relu", **slots), (2, 4)),
    (lambda **slots: QConv2D(4, (2, 3), groups=2, **slots), (4, 5, 4)),
    slow(lambda **slots: QConv1D(3, 2, data_format="channels_first", **slots), (2, 5)),
    slow(lambda **slots: QConv2DTranspose(3, 2, strides=2, **slots), (3, 3, 2)),
    slow(lambda **slots: QEinsumDense("abc,cd->adb", (3, None), bias_axes="d", **slots), (2, 4)),
    (lambda **slots: QEinsumDense("abcd,ced->aeb", (5, None), bias_axes="eb", **slots), (2, 4, 3)),
    slow(lambda **slots: QEinsumDense("abc,cd->ad", 3, **slots), (2, 4)),
    (lambda **slots: QDenseBatchNorm(3, **slots), (2, 4)),
    slow(lambda **slots: QBatchNormDense(3, **slots), (2, 4)),
    slow(lambda **slots: QConv2DBatchNorm(4, 2, groups=2, data_format="channels_first", **slots), (2, 4, 4)),
    slow(lambda **slots: QEinsumDenseBatchNorm("abc,cd->adb", (3, None), bias_axes="d", **slots), (2, 4)),
]


@pytest.mark.parametrize(("make", "shape"), LAYERS)
def test_no_sum_overflows(make, shape, tmp_path):
    x = values(64, *shape) * 4
    for bits in (8, 12, None):
        layer = make(accumulator_bits=bits, kernel_initializer=LARGE, **SLOTS)
        model = keras.Sequential([keras.Input(shape), layer], name="bounded")
        calibrate(model, x)
        report = verify(model, x)
        assert report.mismatches == 0
        (row,) = report.layers
        assert row.required_bits > 7 if bits is None else row.required_bits < bits
    assert layer.get_config()["accumulator_bits"] is None
    layer = make(accumulator_bits=9, kernel_initializer=LARGE, **SLOTS)
    model = keras.Sequential([keras.Input(shape), layer], name="bounded")
    calibrate(model, x)
    model.save(tmp_path / "model.keras")
    again = load_model(tmp_path / "model.keras")
    assert again.layers[0].accumulator_bits == 9
    assert np.array_equal(again.predict(x, verbose=0), model.predict(x, verbose=0))


def test_a_model_is_trained_to_the_bound():
    keras.utils.set_random_seed(1)
    # Finer formats would leave less room: they stay.
    fixed = {name: slot.changed(trainable=False) for name, slot in SLOTS.items() if name != "name"}
    layer = QDense(1, accumulator_bits=11, kernel_initializer="zeros", name="seen", **fixed)
    model = keras.Sequential([keras.Input((8,)), layer], name="trained")
    x = values(256, 8)
    x = np.clip(x, -1, 1)
    y = x @ np.linspace(-0.25, 0.25, 8).reshape(8, 1)
    model.compile(keras.optimizers.Adam(0.02), "mse", metrics=["mse"])
    losses = model.fit(x, y, epochs=10, batch_size=16, verbose=0).history["mse"]
    assert losses[-1] < losses[0] / 4
    calibrate(model, x)
    assert verify(model, x).layers[0].required_bits <= 10


@pytest.mark.once
def test_a_bias_beyond_the_accumulator_is_refused_by_verify():
    slots = {**SLOTS, "bias_quantizer": KBI(b=8, i=4, overflow_mode="SAT_SYM")}
    layer = QDense(2, accumulator_bits=8, bias_initializer="ones", **slots)
    model = keras.Sequential([keras.Input((3,)), layer], name="biased")
    calibrate(model, values(8, 3))
    verify(model, values(8, 3))
    layer.bias.assign([7.9375, 0.0])  # 127 steps of 1 / 16
    calibrate(model, values(8, 3))
    verify(model, values(8, 3))
    for bias in (9.0625, 8.0, -8.0):  # 145 steps; 128, the first that do not fit
        layer.bias.assign([bias, 0.0])
        assert not float64_of(layer.constants()["kernel"])[:, 0].any()
        calibrate(model, values(8, 3))
        with pytest.raises(ExactnessError) as error:
            verify(model, values(8, 3))
        assert str(error.value) == (
            "seen: its sums may need 9 bits, sign included. Allowed: 8, its accumulator_bits. A bias leaves the "
            "weights no room: give its quantizer fewer integer bits, or the accumulator more bits."
        )


@pytest.mark.once
def test_inputs_that_are_wider_than_the_accumulator_are_no_sum():
    layer = QDense(2, accumulator_bits=6, use_bias=False, **{**SLOTS, "input_quantizer": KIF(i=5, f=6)})
    model = keras.Sequential([keras.Input((3,)), layer], name="wide")
    calibrate(model, values(8, 3))
    assert verify(model, values(8, 3)).layers[0].required_bits > 6
    assert not float64_of(layer.constants()["kernel"]).any()


@pytest.mark.once
@pytest.mark.parametrize(
    ("slots", "message"),
    [
        (
            {"kernel_quantizer": KBI(b=4)},
            "seen: accumulator_bits needs a kernel_quantizer that enlarges no weight: fixed point with "
            'round_mode="TRN_ZERO" and overflow_mode="SAT_SYM". Received: a KBI that may.',
        ),
        (
            {"input_quantizer": Identity()},
            "seen: accumulator_bits needs an input_quantizer whose values lie on a fixed grid within bounds, such as "
            "fixed point. Received: Identity.",
        ),
    ],
)
def test_what_is_refused(slots, message):
    with pytest.raises(ConfigError) as error:
        QDense(2, accumulator_bits=8, **{**SLOTS, **slots}).build((None, 3))
    assert str(error.value) == message
