"""Compiled training, and frozen models that predict the same bits on every backend."""

from __future__ import annotations

import functools
import importlib.util

import keras
import numpy as np
import pytest

from hgq2_attention import QMultiHeadAttention
from hgq2_core import calibrate, defaults, ebops, freeze, verify
from hgq2_core.optimizer import BitOptimizer
from hgq2_fixed_point import KBI, KIF
from hgq2_layers import (
    QAffineUnaryFunction,
    QAveragePooling2D,
    QConv1DLUT,
    QConv2D,
    QDense,
    QDenseLUT,
    QDepthwiseConv2D,
    QEinsumDense,
    QMaxPooling2D,
    QPReLU,
    QUnaryFunction,
)
from hgq2_minifloat import Float6E2M3FN, Minifloat

pytestmark = pytest.mark.backends

HERE = keras.backend.backend()
INSTALLED = [name for name in ("torch", "jax", "tensorflow") if importlib.util.find_spec(name)]
WRAP, SAT = KIF(overflow_mode="WRAP", trainable=False), KIF(i=4, f=4, overflow_mode="SAT")


def mlp():
    layers = [QDense(16, "relu", input_quantizer=WRAP), QDense(10, input_quantizer=SAT)]
    return keras.Sequential([keras.Input((64,)), *layers])


def nested():
    inner = keras.Sequential([keras.Input((3, 5)), QDense(4, "relu", input_quantizer=SAT)])
    inputs = keras.Input((3, 4))
    x = QEinsumDense("abc,cd->abd", (None, 5), bias_axes="d", input_quantizer=WRAP)(inputs)
    x = keras.layers.Flatten()(inner(x))
    return keras.Model(inputs, QDense(1, input_quantizer=KBI(b=6, overflow_mode="WRAP"), output_quantizer=SAT)(x))


def tables():
    x = inputs = keras.Input((6, 2))
    x = QConv1DLUT(3, 2, strides=2, input_quantizer=SAT, table_quantizer=KBI(b=5, granularity="element"))(x)
    x = QPReLU(input_quantizer=WRAP)(x)
    x = QAffineUnaryFunction("silu", per_channel=True, table_quantizer=KIF(f=6, overflow_mode="WRAP"))(x)
    x = QUnaryFunction("tanh", input_quantizer=WRAP)(keras.layers.Flatten()(x))
    return keras.Model(inputs, QDenseLUT(1, hidden_activation="gelu", input_quantizer=WRAP)(x))


def cnn():
    with defaults(activation=KIF(f=3, granularity="channel"), weight=KBI(b=5, i=1, granularity="channel")):
        layers = [
            QConv2D(4, 3, activation="relu"),
            QMaxPooling2D(2),
            QDepthwiseConv2D(2, padding="same"),
            keras.layers.MaxPooling2D(2, strides=1, padding="same"),
            QAveragePooling2D((3, 1), reciprocal_quantizer=KBI(b=4, i=0)),
            keras.layers.Flatten(),
            QDense(1),
        ]
    return keras.Sequential([keras.Input((8, 8, 1)), *layers])


def minifloats():
    trained, blocks = Minifloat(m=2, e=2, trainable=["m", "e0"]), Float6E2M3FN(block={"size": 4})
    layers = [
        QDense(8, "relu", kernel_quantizer=trained, input_quantizer=Float6E2M3FN()),
        QDense(2, kernel_quantizer=blocks, input_quantizer=Minifloat(m=3, e=2), output_quantizer=SAT),
    ]
    return keras.Sequential([keras.Input((8,)), *layers])


def attention():
    x = inputs = keras.Input((4, 6))
    with defaults(activation=KIF(i=2, f=3, overflow_mode="WRAP"), weight=KBI(b=4, i=1)):
        x = keras.layers.Flatten()(QMultiHeadAttention(2, 3)(x))
        return keras.Model(inputs, QDense(1)(x))


MODELS = (mlp, nested, tables, cnn, minifloats, attention)


@functools.cache
def trained(make):
    keras.utils.set_random_seed(0)
    model = make()
    x = np.random.default_rng(0).normal(size=(256, *model.input_shape[1:])).astype(np.float32)
    y = np.repeat(x.reshape(256, -1)[:, :1], model.output_shape[-1], 1)
    optimizer = BitOptimizer(keras.optimizers.Adam(0.01), 8.0)
    model.compile(optimizer, "mean_squared_error", jit_compile=HERE != "torch")  # torch's compiler is not used here
    losses = model.fit(x, y, epochs=4, batch_size=64, verbose=0).history["loss"]
    calibrate(model, x)
    return model, freeze(model), x, losses


@pytest.mark.parametrize("make", MODELS)
@pytest.mark.slow
def test_compiled_training_learns_and_stays_exact(make, tmp_path):
    model, frozen, x, losses = trained(make)
    assert model.jit_compile == (HERE != "torch")
    assert losses[-1] < losses[0]
    assert ebops(model) > 0
    model.save(tmp_path / "model.keras")
    again = keras.saving.load_model(tmp_path / "model.keras")
    assert verify(again, x).mismatches == 0
    outputs = model.predict(x, verbose=0)
    np.testing.assert_array_equal(again.predict(x, verbose=0), outputs)
    model.fit(x, outputs, batch_size=64, verbose=0)  # a calibrated model trains on, and its frozen form stays
    np.testing.assert_array_equal(frozen.predict(x, verbose=0), outputs)


PREDICT = """
    import json, pathlib, hgq2_core, keras, numpy
    found = {}
    for path in sorted(pathlib.Path().glob("*.keras")):
        outputs = keras.saving.load_model(path).predict(numpy.load(path.with_suffix(".npy")), verbose=0)
        found[path.stem] = outputs.view("int32").tolist()
    print(json.dumps([keras.backend.backend(), found]))
"""


@pytest.mark.slow
@pytest.mark.skipif(len(INSTALLED) < 2, reason="only one backend is installed: make test-backends")
def test_frozen_models_predict_the_same_bits_on_every_backend(tmp_path, fresh_python):
    wanted = {}
    for make in MODELS if HERE == "torch" else (mlp, tables, attention):
        _, frozen, x, _ = trained(make)
        frozen.save(tmp_path / f"{make.__name__}.keras")
        np.save(tmp_path / f"{make.__name__}.npy", x)
        outputs = frozen.predict(x, verbose=0)
        assert len(np.unique(outputs)) > 8
        wanted[make.__name__] = outputs.view("int32").tolist()
    for name in sorted(set(INSTALLED) - {HERE}):
        assert fresh_python(PREDICT, KERAS_BACKEND=name) == [name, wanted]
