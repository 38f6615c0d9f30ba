"""The circuits that the cost models are fitted to, and the trained models that they are tested on."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import numpy as np

import hgq2_core  # chooses the backend

import keras  # isort: skip

from hgq2_attention import QMultiHeadAttention, QSoftmax
from hgq2_core import BitOptimizer, calibrate, layers_of
from hgq2_core.quantizers.base import Quantizer
from hgq2_fixed_point import KBI, KIF
from hgq2_layers import (
    QAdd,
    QAveragePooling1D,
    QConv1D,
    QConv2D,
    QDense,
    QDenseLUT,
    QMaximum,
    QMultiply,
    QSubtract,
    QUnaryFunction,
)
from hgq2_training import Digits, Magic

Random = np.random.Generator

WIDE = 12
"""Inputs of a matrix from which training leaves few weights."""


def small(count: int) -> Iterator[tuple[str, keras.Model]]:
    """Make small models with random bits and weights, calibrated, of each kind in turn."""
    kinds = list(KINDS)
    for number in range(count):
        keras.backend.clear_session()
        random = np.random.default_rng(number)
        keras.utils.set_random_seed(number)
        kind = kinds[number % len(kinds)]
        saturates = random.random() < 0.25
        activation = KIF(
            i=3, f=3, round_mode=str(random.choice(["RND", "TRN"])), overflow_mode="SAT" if saturates else "WRAP"
        )
        with hgq2_core.defaults(weight=KBI(b=4, i=0), activation=activation):
            model = KINDS[kind](random)
        _scatter(model, random)
        yield f"{kind}_{number}", model


def _scatter(model: keras.Model, random: Random) -> None:
    """Set weights as trained ones are distributed, and uneven bits, of which many become 0; then calibrate."""
    mean = random.uniform(1.5, 5.5)
    pruned = random.uniform(0.6, 0.95), random.choice([0.0, 0.0, 0.4])
    for layer in layers_of(model):
        for variable in layer.variables:
            shape = tuple(variable.shape)
            if isinstance(layer, Quantizer) and variable.name in ("b", "f"):
                bits = np.clip(np.round(random.normal(mean, 1.2, shape)), 0, 8)
                if variable.name == "b" and len(shape) > 1:
                    bits *= random.random(shape) >= pruned[shape[0] < WIDE]
                variable.assign(bits.astype("float32"))
            elif variable.name in ("kernel", "bias"):
                variable.assign((random.laplace(size=shape) * random.uniform(0.2, 0.6)).astype("float32"))
    calibrate(model, [random.normal(size=(200, *each.shape[1:])).astype("float32") * 1.5 for each in model.inputs])


def _inputs(*shapes: tuple[int, ...]) -> list[Any]:
    return [keras.Input(shape) for shape in shapes]


def _activation(random: Random) -> str | None:
    return str(random.choice(["relu", "linear"]))


def _dense(random: Random) -> keras.Model:
    (x,) = _inputs((int(random.integers(3, 10)),))
    return keras.Model(x, QDense(int(random.integers(1, 7)), activation=_activation(random))(x))


def _two_dense(random: Random) -> keras.Model:
    (x,) = _inputs((int(random.integers(3, 8)),))
    y = QDense(int(random.integers(2, 6)), activation="relu")(x)
    return keras.Model(x, QDense(int(random.integers(1, 4)))(y))


def _wide(random: Random) -> keras.Model:
    (x,) = _inputs((int(random.integers(WIDE, 4 * WIDE)),))
    return keras.Model(x, QDense(int(random.integers(1, 7)), activation=_activation(random))(x))


def _wide_two(random: Random) -> keras.Model:
    (x,) = _inputs((int(random.integers(WIDE, 3 * WIDE)),))
    y = QDense(int(random.integers(2, 6)), activation="relu")(x)
    return keras.Model(x, QDense(int(random.integers(1, 7)))(y))


def _conv1d(random: Random) -> keras.Model:
    (x,) = _inputs((int(random.integers(3, 6)), int(random.integers(1, 4))))
    return keras.Model(x, QConv1D(int(random.integers(1, 4)), 3, activation=_activation(random))(x))


def _conv2d(random: Random) -> keras.Model:
    (x,) = _inputs((4, 4, int(random.integers(1, 3))))
    return keras.Model(x, QConv2D(int(random.integers(1, 3)), 3, activation=_activation(random))(x))


def _merge(random: Random) -> keras.Model:
    a, b = _inputs((size := int(random.integers(2, 7)),), (size,))
    layer = [QAdd, QSubtract, QMaximum, QMultiply][int(random.integers(0, 4))]
    return keras.Model([a, b], layer()([a, b]))


def _residual(random: Random) -> keras.Model:
    (x,) = _inputs((size := int(random.integers(3, 6)),))
    return keras.Model(x, QAdd()([x, QDense(size, activation="relu")(x)]))


def _table(random: Random) -> keras.Model:
    (x,) = _inputs((int(random.integers(1, 4)),))
    name = str(random.choice(["tanh", "sigmoid", "exponential", "softplus"]))
    return keras.Model(x, QUnaryFunction(name)(x))


def _dense_table(random: Random) -> keras.Model:
    (x,) = _inputs((int(random.integers(2, 5)),))
    y = QDense(int(random.integers(1, 4)))(x)
    return keras.Model(x, QUnaryFunction(str(random.choice(["tanh", "sigmoid"])))(y))


def _lookup(random: Random) -> keras.Model:
    (x,) = _inputs((int(random.integers(2, 4)),))
    return keras.Model(x, QDenseLUT(int(random.integers(1, 3)))(x))


def _softmax(random: Random) -> keras.Model:
    (x,) = _inputs((int(random.integers(2, 4)),))
    return keras.Model(x, QSoftmax()(x))


def _pooling(random: Random) -> keras.Model:
    (x,) = _inputs((4, int(random.integers(1, 4))))
    layer = keras.layers.MaxPooling1D(2) if random.random() < 0.5 else QAveragePooling1D(2)
    return keras.Model(x, layer(QDense(int(random.integers(1, 4)))(x)))


KINDS: dict[str, Callable[[Random], keras.Model]] = {
    "dense": _dense,
    "two_dense": _two_dense,
    "wide": _wide,
    "wide_two": _wide_two,
    "conv1d": _conv1d,
    "conv2d": _conv2d,
    "merge": _merge,
    "residual": _residual,
    "table": _table,
    "dense_table": _dense_table,
    "lookup": _lookup,
    "softmax": _softmax,
    "pooling": _pooling,
}


def trained() -> Iterator[tuple[str, keras.Model]]:
    """Train models on the data that ship with hgq2-training, each to another price of bits, and calibrate them."""
    for name, (make, data, price) in TRAINED.items():
        keras.backend.clear_session()
        keras.utils.set_random_seed(0)
        splits = data().load()
        x, y = splits.train.x[:2000], splits.train.y[:2000]
        with hgq2_core.defaults(weight=KBI(b=6, i=0), activation=KIF(i=3, f=4, overflow_mode="WRAP"), ebops_beta=price):
            model = make()
        logits = model.output_shape[-1]
        loss = keras.losses.SparseCategoricalCrossentropy if logits > 1 else keras.losses.BinaryCrossentropy
        model.compile(BitOptimizer(keras.optimizers.Adam(0.01)), loss(from_logits=True))
        model.fit(x, y, epochs=15, batch_size=250, verbose=0)
        calibrate(model, x)
        yield name, model


def _mlp(inputs: int, *units: int) -> Callable[[], keras.Model]:
    def make() -> keras.Model:
        hidden = [QDense(each, activation="relu") for each in units[:-1]]
        return keras.Sequential([keras.Input((inputs,)), *hidden, QDense(units[-1])])

    return make


def _cnn() -> keras.Model:
    x = keras.Input((64,))
    y = QConv2D(2, 3, strides=2, activation="relu")(keras.layers.Reshape((8, 8, 1))(x))
    return keras.Model(x, QDense(10)(keras.layers.Flatten()(y)))


def _bypass() -> keras.Model:
    x = keras.Input((10,))
    y = QDense(4, activation="relu")(x)
    return keras.Model(x, QDense(1)(QAdd()([y, QDense(4, activation="relu")(y)])))


def _with_tables() -> keras.Model:
    x = keras.Input((10,))
    y = QUnaryFunction("tanh", input_quantizer=KIF(i=2, f=3, overflow_mode="SAT"))(QDense(4)(x))
    return keras.Model(x, QDense(1)(y))


def _attention() -> keras.Model:
    x = keras.Input((64,))
    y = keras.layers.Reshape((4, 16))(x)
    heads = QMultiHeadAttention(
        1,
        4,
        difference_quantizer=KIF(k=0, i=3, f=2, overflow_mode="SAT"),
        attention_quantizer=KIF(k=0, i=0, f=5, overflow_mode="SAT"),
    )
    return keras.Model(x, QDense(10)(keras.layers.Flatten()(heads(y, y))))


def _lookup_tables() -> keras.Model:
    return keras.Sequential([keras.Input((10,)), QDenseLUT(4), QDenseLUT(1)])


TRAINED: dict[str, tuple[Callable[[], keras.Model], Any, float]] = {
    "magic_4": (_mlp(10, 4, 1), Magic, 1e-4),
    "magic_6": (_mlp(10, 6, 1), Magic, 2e-4),
    "magic_8": (_mlp(10, 8, 1), Magic, 2e-4),
    "magic_16": (_mlp(10, 16, 1), Magic, 5e-4),
    "magic_8_8": (_mlp(10, 8, 8, 1), Magic, 3e-4),
    "magic_linear": (_mlp(10, 1), Magic, 1e-4),
    "magic_bypass": (_bypass, Magic, 2e-4),
    "magic_tables": (_with_tables, Magic, 2e-4),
    "digits_10": (_mlp(64, 10), Digits, 2e-3),
    "digits_4": (_mlp(64, 4, 10), Digits, 2e-3),
    "digits_8": (_mlp(64, 8, 10), Digits, 3e-3),
    "digits_cnn": (_cnn, Digits, 2e-3),
    "digits_16": (_mlp(64, 16, 10), Digits, 5e-4),
    "digits_32": (_mlp(64, 32, 10), Digits, 3e-4),
    "digits_attention": (_attention, Digits, 5e-4),
    "magic_lookup": (_lookup_tables, Magic, 2e-4),
}
"""For each trained model: what makes it, its data, and the price of a bit operation in the loss."""
