"""Small models that the tests of calibration, freezing and verification share."""

from __future__ import annotations

import keras
import numpy as np
import pytest

from hgq2_core import calibrate
from hgq2_layers import QDense, QEinsumDense


@pytest.fixture
def samples():
    """Inputs at a scale that needs a few integer bits."""

    def make(count=256, *shape, scale=3.0, seed=1):
        rng = np.random.default_rng(seed)
        return rng.normal(size=(count, *(shape or (4,)))).astype(np.float32) * np.float32(scale)

    return make


@pytest.fixture
def chain():
    """Two dense layers with uneven weights; the arguments go to both."""

    def make(**arguments):
        keras.utils.set_random_seed(7)
        model = keras.Sequential(
            [
                keras.Input((4,), name="x"),
                QDense(5, activation="relu", name="hidden", **arguments),
                QDense(3, name="logits", **arguments),
            ],
            name="chain",
        )
        for layer in model.layers:
            layer.bias.assign(np.random.default_rng(3).normal(size=layer.bias.shape))
        return model

    return make


@pytest.fixture
def calibrated(chain, samples):
    """The same two layers, calibrated."""

    def make(**arguments):
        model = chain(**arguments)
        calibrate(model, samples())
        return model

    return make


@pytest.fixture
def nested(chain):
    """A model in a model in a model, with plain Keras layers between."""

    def make():
        inner = chain()
        inputs = keras.Input((4,))
        middle = keras.Model(inputs, keras.layers.ReLU(name="positive")(inner(inputs)), name="middle")
        inputs = keras.Input((4, 1), name="image")
        x = keras.layers.Flatten(name="flat")(inputs)
        x = middle(QEinsumDense("ab,bc->ac", 4, bias_axes="c", name="first")(x))
        outputs = QDense(2, name="last")(keras.layers.Dropout(0.5, name="drop")(x))
        return keras.Model(inputs, outputs, name="outer")

    return make
