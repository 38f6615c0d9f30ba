"""Rescaling and Normalization whose numbers no float32 of few bits holds: quantized constants. docs/numerics.md#7."""

from __future__ import annotations

import keras
import numpy as np
import pytest
from arrays import numpy_of

from hgq2_core import ConfigError, calibrate, ebops, quantize_model, verify
from hgq2_fixed_point import KBI, KIF
from hgq2_layers import QDense, QNormalization, QRescaling

X = np.random.default_rng(3).normal(5.0, 3.0, (128, 2, 3)).astype("float32")
BYTE = KIF(k=0, i=8, f=0, overflow_mode="SAT")


def alone(layer, shape=(2, 3)):
    return keras.Sequential([keras.Input(shape), layer])


def test_a_scale_keeps_its_first_bits_however_small_it_is():
    layer = QRescaling(1 / 255, input_quantizer=BYTE)
    model = alone(layer)
    scale = float(numpy_of(layer.constants()["scale"])[0])
    assert scale == round(2**15 / 255) / 2**15  # eight bits from the highest 1 on
    assert (model.predict(X, verbose=0) == np.clip(np.floor(X + 0.5), 0, 255) * np.float32(scale)).all()


def test_ebops_are_products_and_offsets():
    layer = QRescaling(
        [0.1, 0.2, 0.3], -1.5, input_quantizer=BYTE, scale_quantizer=KBI(b=[3, 4, 5]), offset_quantizer=KBI(b=6)
    )
    assert ebops(alone(layer)) == 2 * 8 * (3 + 4 + 5) + 6 * 6
    assert ebops(alone(QRescaling(0.1, input_quantizer=BYTE, scale_quantizer=KBI(b=3)))) == 6 * 8 * 3


@pytest.mark.parametrize("invert", [False, True])
def test_without_quantizers_it_is_keras_normalization(invert):
    theirs = keras.layers.Normalization(invert=invert)
    theirs.adapt(X)
    model = alone(theirs)
    fine = KBI(b=23, i=6)
    names = ("scale_quantizer", "offset_quantizer", "input_quantizer")
    rules = {"keras.Normalization": dict.fromkeys(names, fine)}
    (ours,) = quantize_model(model, rules).layers
    assert isinstance(ours, QNormalization)
    np.testing.assert_allclose(numpy_of(ours(X)), numpy_of(theirs(X)), rtol=1e-4, atol=1e-4)


def test_a_model_that_normalizes_is_converted_exact_and_saved(tmp_path):
    theirs = keras.layers.Normalization(name="norm")
    theirs.adapt(X)
    inputs = keras.Input((2, 3))
    halved = keras.layers.Rescaling(0.5, name="halved")(keras.layers.Rescaling(1 / 3, name="third")(inputs))
    model = keras.Model(inputs, keras.layers.Dense(2, name="dense")(theirs(halved)))
    converted = quantize_model(model)
    kinds = [type(layer) for layer in converted.layers[1:]]
    assert kinds == [QRescaling, keras.layers.Rescaling, QNormalization, QDense]
    converted.compile("sgd", "mse")
    converted.fit(X, np.zeros((128, 2, 2)), verbose=0)
    calibrate(converted, X)
    assert verify(converted, X).ok
    converted.save(tmp_path / "model.keras")
    back = keras.saving.load_model(tmp_path / "model.keras")
    assert (back.predict(X, verbose=0) == converted.predict(X, verbose=0)).all()


def test_shapes_that_do_not_fit_are_refused():
    with pytest.raises(ConfigError, match=r"scale and offset broadcast against .* Received: shapes \(2,\) and"):
        alone(QRescaling([1.0, 2.0]))
    with pytest.raises(ConfigError, match=r"`axis` names axes of the input besides the batch, of static size"):
        alone(QNormalization(0))
    with pytest.raises(ConfigError, match=r"mean broadcasts to the axes .*, of shape \(3,\)\. Received: shape \(2,\)"):
        alone(QNormalization(mean=[1.0, 2.0], variance=1.0))


@pytest.mark.parametrize(("variance", "received"), [(-1.0, r"-1\.0"), ([1.0, -2.0, 4.0], r"-2\.0")])
def test_a_variance_is_not_negative(variance, received):
    message = rf"variance: must be 0 or more\. Received: {received} \(float\)\.$"
    with pytest.raises(ConfigError, match=message):
        QNormalization(mean=0.0, variance=variance)
