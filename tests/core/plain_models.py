"""Plain Keras models that the tests of conversion share."""

from __future__ import annotations

import keras
import numpy as np
from keras import layers

UNQUANTIZED = {
    "weight": "none",
    "bias": "none",
    "activation": "none",
}


def values(*shape):
    return np.random.default_rng(1).normal(size=shape).astype(np.float32)


def plain_model():
    """A functional model with a sequential one inside, a layer applied twice, and passive layers."""
    keras.utils.set_random_seed(3)
    inner = keras.Sequential(
        [
            keras.Input((6,)),
            layers.Dense(6, name="dense"),
            layers.BatchNormalization(axis=1, epsilon=0.25, momentum=0.5, name="norm"),
            layers.ReLU(name="relu"),
        ],
        name="inner",
    )
    inputs = keras.Input((4,))
    shared = layers.Dense(6, kernel_regularizer="l2", name="shared")
    x = layers.Dropout(0.25, name="drop")(layers.Dense(6, "relu", name="first")(inputs))
    x = inner(shared(shared(x)))
    x = layers.Reshape((2, 3), name="reshape")(x)
    x = layers.EinsumDense("abc,cd->abd", (None, 2), bias_axes="d", name="einsum")(x)
    model = keras.Model(inputs, x, name="outer")
    for variable in model.variables:
        if variable.name in ("gamma", "beta", "moving_mean", "moving_variance"):
            variable.assign(1.0 + np.abs(values(*variable.shape)))
    return model


def sequential(*layers_of_it):
    return keras.Sequential([keras.Input((4,)), *layers_of_it])


def recurrent_model():
    keras.utils.set_random_seed(7)
    return keras.Sequential(
        [
            keras.Input((4, 3)),
            layers.Bidirectional(layers.LSTM(3, return_sequences=True, name="lstm"), name="both"),
            layers.TimeDistributed(layers.Dense(4, "tanh", name="dense"), name="steps"),
            layers.GRU(5, name="gru"),
            layers.Dense(2, name="out"),
        ]
    )
