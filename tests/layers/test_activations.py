"""Piecewise linear activations: equal to Keras', cost, refusals."""

from __future__ import annotations

import keras
import numpy as np
import pytest
from arrays import numpy_of, values

from hgq2_core import ConfigError, QLayer, calibrate, ebops, freeze, load_model, verify
from hgq2_fixed_point import KBI, KIF, Identity
from hgq2_layers import QHardTanh, QLeakyReLU, QPReLU, QReLU

NONE = Identity()
SAT = KIF(overflow_mode="SAT")


TWINS = [
    (QReLU, {}, keras.layers.ReLU),
    (QReLU, {"max_value": 2.5}, keras.layers.ReLU),
    (QReLU, {"max_value": 6.0, "threshold": 0.75}, keras.layers.ReLU),
    (QLeakyReLU, {}, keras.layers.LeakyReLU),
    (QLeakyReLU, {"negative_slope": 0.125}, keras.layers.LeakyReLU),
    (QPReLU, {}, keras.layers.PReLU),
    (QPReLU, {"shared_axes": [1]}, keras.layers.PReLU),
]


@pytest.mark.parametrize(("cls", "arguments", "twin"), TWINS)
def test_without_quantizers_it_is_keras_layer(cls, arguments, twin):
    own = {QLeakyReLU: {"slope_quantizer": NONE}, QPReLU: {"alpha_quantizer": NONE}}.get(cls, {})
    layer, other = cls(**arguments, **own, input_quantizer=NONE), twin(**arguments)
    x = values(64, 4, 3)
    for each in (layer, other):
        each.build(x.shape)
        for weight in each.trainable_weights:
            weight.assign(values(*weight.shape, seed=3))
    assert [weight.shape for weight in layer.trainable_weights] == [weight.shape for weight in other.weights]
    np.testing.assert_allclose(numpy_of(layer(x)), numpy_of(other(x)), rtol=1e-6, atol=1e-6)


def test_hard_tanh_is_that_of_keras():
    x = values(64, 3)
    assert np.array_equal(numpy_of(QHardTanh(input_quantizer=NONE)(x)), np.clip(x, -1, 1))


def test_without_a_product_there_is_no_cost():
    for layer in (QReLU(), QHardTanh()):
        layer.build((None, 3))
        assert ebops(layer) == 0


@pytest.mark.parametrize("granularity", ["tensor", "channel", "element"])
@pytest.mark.parametrize("shared_axes", [None, [1]])
def test_ebops_of_slopes(independent, granularity, shared_axes):
    own = {"granularity": granularity, "overflow_mode": "SAT"}
    layer = QPReLU(shared_axes=shared_axes, input_quantizer=KIF(**own), alpha_quantizer=KBI(**own))
    layer.build((None, 4, 3))
    rng = np.random.default_rng(0)
    for variable in (layer.input_quantizer.i, layer.input_quantizer.f, layer.alpha_quantizer.b):
        variable.assign(rng.integers(0, 6, size=variable.shape).astype(np.float32))
    x_bits = independent.counted(layer.input_quantizer, (4, 3))
    a_bits = independent.counted(layer.alpha_quantizer, (1 if shared_axes else 4, 3))
    wanted = (x_bits * a_bits).sum()
    assert wanted > 0
    assert ebops(layer) == wanted


def test_a_fixed_slope_is_what_its_quantizer_makes_of_it():
    layer = QLeakyReLU(0.3, slope_quantizer=KBI(b=3, i=0), input_quantizer=SAT)
    x = np.array([[-1.0, -0.5, 2.0]], np.float32)
    assert numpy_of(layer(x)).tolist() == [[-0.25, -0.125, 2.0]]
    assert ebops(layer) == 3 * (1 + 2 + 6) * 3


@pytest.mark.parametrize(("layer", "moves"), [(QLeakyReLU(), {"b", "f"}), (QPReLU(), {"alpha", "b", "f"})])
def test_training_moves_slopes_and_bits(layer, moves):
    inputs = keras.Input((3,))
    model = keras.Model(inputs, layer(inputs))
    model.compile(keras.optimizers.Adam(0.1), "mse")
    before = {variable.path: numpy_of(variable).copy() for variable in model.trainable_variables}
    model.fit(values(64, 3), -values(64, 3), epochs=3, verbose=0)
    assert moves <= {v.name for v in model.trainable_variables if not np.array_equal(before[v.path], numpy_of(v))}


def test_frozen_saved_and_loaded_predictions_are_the_same_bits(tmp_path):
    inputs = keras.Input((4, 3))
    x = inputs
    for layer in (QPReLU(alpha_initializer="random_normal"), QLeakyReLU(), QReLU(max_value=1.5), QHardTanh()):
        x = layer(x)
    model = keras.Model(inputs, x)
    calibrate(model, values(64, 4, 3))
    assert verify(model, values(1000, 4, 3) * 2).mismatches == 0
    frozen = freeze(model)
    frozen.save(tmp_path / "frozen.keras")
    x = values(100, 4, 3)
    assert np.array_equal(load_model(tmp_path / "frozen.keras").predict(x, verbose=0), frozen.predict(x, verbose=0))


def test_shared_axes_survive_the_config():
    assert QLayer.from_config(QPReLU(shared_axes=[1, 2]).get_config()).shared_axes == [1, 2]


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (
            lambda: QReLU(negative_slope=0.1),
            "QReLU: its slope below the threshold is 0. Received: negative_slope=0.1. Use leaky_relu (QLeakyReLU), "
            "whose slope is quantized.",
        ),
        (
            lambda: QPReLU(shared_axes=[3], name="bend").build((None, 4, 3)),
            "bend: shared_axes are axes of the input other than the batch. Received: shared_axes=[3] for shape "
            "(None, 4, 3).",
        ),
        (
            lambda: QPReLU(name="bend").build((None, None, 3)),
            "bend: alpha needs a static size of every axis that does not share it. Received: shape (None, None, 3), "
            "shared_axes=[].",
        ),
    ],
)
def test_what_is_refused(make, message):
    with pytest.raises(ConfigError) as error:
        make()
    assert str(error.value) == message


@pytest.mark.parametrize(
    ("cls", "arguments"),
    [(QReLU, {"max_value": -1.0}), (QReLU, {"threshold": -1.0}), (QLeakyReLU, {"negative_slope": -1})],
)
def test_negative_numbers_are_refused(cls, arguments):
    (name,) = arguments
    with pytest.raises(ConfigError, match=rf"{cls.__name__}: {name}: .*greater than or equal to 0"):
        cls(**arguments)
