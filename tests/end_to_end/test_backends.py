"""Compiled training, and frozen models that predict the same bits on every backend."""

from __future__ import annotations

import importlib.util

import keras
import numpy as np
import pytest

from hgq2_core import calibrate, ebops, freeze, verify
from hgq2_core.optimizer import BitOptimizer
from hgq2_fixed_point import KBI, KIF
from hgq2_layers import QDense, QEinsumDense

pytestmark = pytest.mark.backends
MODULES = {"torch": "torch", "jax": "jax", "tensorflow": "tensorflow"}
WRAP, SAT = KIF(overflow_mode="WRAP", trainable=False), KIF(i=4, f=4, overflow_mode="SAT")


def mlp():
    layers = [QDense(16, "relu", input_quantizer=WRAP), QDense(10, input_quantizer=SAT)]
    return keras.Sequential([keras.Input((64,)), *layers])


def einsum():
    inner = keras.Sequential([keras.Input((3, 5)), QDense(4, "relu", input_quantizer=SAT)])
    inputs = keras.Input((3, 4))
    x = QEinsumDense("abc,cd->abd", (None, 5), bias_axes="d", input_quantizer=WRAP)(inputs)
    x = keras.layers.Flatten()(inner(x))
    return keras.Model(inputs, QDense(1, input_quantizer=KBI(b=6, overflow_mode="WRAP"), output_quantizer=SAT)(x))


def trained(make):
    keras.utils.set_random_seed(0)
    model = make()
    x = np.random.default_rng(0).normal(size=(256, *model.input_shape[1:])).astype(np.float32)
    y = np.repeat(x.reshape(256, -1)[:, :1], model.output_shape[-1], 1)
    compiled = keras.backend.backend() != "torch"  # torch's compiler is not used here
    optimizer = BitOptimizer(keras.optimizers.Adam(0.01), 8.0)
    model.compile(optimizer, "mean_squared_error", jit_compile=compiled)
    losses = model.fit(x, y, epochs=4, batch_size=64, verbose=0).history["loss"]
    calibrate(model, x)
    return model, x, losses


@pytest.mark.parametrize("make", [mlp, einsum])
def test_compiled_training_learns_and_stays_exact(make, tmp_path):
    model, x, losses = trained(make)
    assert losses[-1] < losses[0]
    assert ebops(model) > 0
    model.save(tmp_path / "model.keras")
    again = keras.saving.load_model(tmp_path / "model.keras")
    assert verify(again, x).mismatches == 0
    np.testing.assert_array_equal(again.predict(x, verbose=0), model.predict(x, verbose=0))
    model.fit(x, model.predict(x, verbose=0), verbose=0)  # a calibrated model trains on


@pytest.mark.slow
@pytest.mark.parametrize("make", [mlp, einsum])
def test_a_frozen_model_predicts_the_same_bits_on_every_backend(make, tmp_path, fresh_python):
    others = [name for name, module in MODULES.items() if importlib.util.find_spec(module)]
    if len(others) < 2:
        pytest.skip("only one backend is installed")
    model, x, _ = trained(make)
    frozen = freeze(model)
    frozen.save(tmp_path / "frozen.keras")
    np.save(tmp_path / "x.npy", x)
    script = """
        import json, hgq2_core, keras, numpy
        model = keras.saving.load_model("frozen.keras")
        outputs = model.predict(numpy.load("x.npy"), verbose=0)
        print(json.dumps([keras.backend.backend(), outputs.view("int32").tolist()]))
    """
    wanted = frozen.predict(x, verbose=0).view("int32").tolist()
    for name in others:
        assert fresh_python(script, KERAS_BACKEND=name) == [name, wanted]
