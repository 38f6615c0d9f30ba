"""A plain Keras CNN, trained in floats, keeps its accuracy at 8 bits without any training of the quantized model."""

from __future__ import annotations

import keras
import numpy as np
import pytest

from hgq2_core import BitOptimizer, calibrate, defaults, ebops, freeze, load_model, quantize_model, summary, verify
from hgq2_training.datasets.digits import Digits

layers = keras.layers

pytestmark = pytest.mark.slow


def convolutional():
    return keras.Sequential(
        [
            keras.Input((8, 8, 1)),
            layers.Conv2D(8, 3, padding="same", use_bias=False, name="conv_1"),
            layers.BatchNormalization(name="norm_1"),
            layers.ReLU(name="relu_1"),
            layers.MaxPooling2D(name="pool_1"),
            layers.Conv2D(16, 3, padding="same", name="conv_2"),
            layers.BatchNormalization(name="norm_2"),
            layers.ReLU(name="relu_2"),
            layers.AveragePooling2D(2, name="pool_2"),
            layers.Flatten(name="flat"),
            layers.Dense(32, "relu", name="hidden"),
            layers.Dense(10, name="logits"),
        ]
    )


@pytest.fixture(scope="module")
def digits():
    """A model trained in floats, and the data."""
    data = Digits(shape=[8, 8, 1]).load()
    keras.utils.set_random_seed(0)
    model = convolutional()
    model.compile(keras.optimizers.Adam(0.005), keras.losses.SparseCategoricalCrossentropy(from_logits=True))
    model.fit(data.train.x, data.train.y, epochs=40, batch_size=64, verbose=0)
    return model, data


def accuracy(model, split):
    return np.mean(model.predict(split.x, verbose=0).argmax(1) == split.y)


def test_eight_bits_keep_the_accuracy_of_a_cnn(digits, tmp_path):
    model, data = digits
    converted = quantize_model(model, bits=8)
    calibrate(converted, data.train.x)
    assert verify(converted, data.test.x).mismatches == 0
    assert accuracy(converted, data.test) >= accuracy(model, data.test) - 0.01 >= 0.96
    unfolded = quantize_model(model, {"norm_*": {"kind": "batch_normalization"}}, bits=8)
    calibrate(unfolded, data.train.x)
    assert ebops(converted) < ebops(unfolded)
    slots = {(row.name, slot.name): slot for row in summary(converted).layers for slot in row.slots}
    assert all(slot.max <= 7 for slot in slots.values())  # and a sign
    assert {name for name, slot in slots if slot == "kernel"} == {"conv_1", "conv_2", "hidden", "logits"}
    kinds = {layer.name: type(layer).__name__ for layer in converted.layers}
    assert (kinds["conv_1"], kinds["conv_2"]) == ("QConv2DBatchNorm", "QConv2DBatchNorm")
    freeze(converted).save(tmp_path / "frozen.keras")
    loaded = load_model(tmp_path / "frozen.keras")
    assert np.array_equal(loaded.predict(data.test.x, verbose=0), converted.predict(data.test.x, verbose=0))


def test_training_on_wins_back_half_of_what_four_bits_lose(digits):
    model, data = digits
    with defaults(ebops_beta=1e-8):
        converted = quantize_model(model, bits=4)
    calibrate(converted, data.train.x)
    whole, before = accuracy(model, data.test), accuracy(converted, data.test)
    keras.utils.set_random_seed(0)
    epochs, batch_size = 8, 64
    steps = epochs * -(-len(data.train.x) // batch_size)
    rate = keras.optimizers.schedules.CosineDecay(0.005, steps)
    optimizer = BitOptimizer(keras.optimizers.Adam(rate))
    converted.compile(optimizer, keras.losses.SparseCategoricalCrossentropy(from_logits=True))
    converted.fit(data.train.x, data.train.y, epochs=epochs, batch_size=batch_size, verbose=0)
    calibrate(converted, data.train.x)
    assert verify(converted, data.test.x).mismatches == 0
    assert before < whole - 0.02
    assert accuracy(converted, data.test) > (whole + before) / 2
