"""Normalized layers on real data: quantized training is as stable and as accurate as Keras' own in floats."""

from __future__ import annotations

import keras
import numpy as np
import pytest

from hgq2_core import calibrate, defaults, summary, verify
from hgq2_layers import QDense, QDenseBatchNorm, QEinsumDenseBatchNorm
from hgq2_training.datasets.magic import Magic

EPOCHS, BATCH, SEEDS = 24, 512, (0, 1, 2)


def floats():
    layers = keras.layers
    hidden = [[layers.Dense(32, use_bias=False), layers.BatchNormalization(), layers.ReLU()] for _ in range(2)]
    return [*hidden[0], *hidden[1], layers.Dense(1)]


def quantized():
    with defaults(weight={"kind": "kbi", "b": 7, "i": 1}, activation={"kind": "kif", "i": 3, "f": 6}, ebops_beta=1e-8):
        return [
            QDenseBatchNorm(32, "relu"),
            QEinsumDenseBatchNorm("...a,ab->...b", 32, "relu", bias_axes="b"),
            QDense(1),
        ]


def train(layers, data, seed):
    keras.utils.set_random_seed(seed)
    model = keras.Sequential([keras.Input((10,)), *layers()])
    steps = EPOCHS * -(-len(data.train) // BATCH)
    model.compile(
        keras.optimizers.Adam(keras.optimizers.schedules.CosineDecay(0.01, steps, alpha=0.01)),
        keras.losses.BinaryCrossentropy(from_logits=True),
    )
    history = model.fit(data.train.x, data.train.y.astype("float32"), epochs=EPOCHS, batch_size=BATCH, verbose=0)
    losses = history.history["loss"]
    assert np.isfinite(losses).all()
    assert max(losses[1:]) < losses[0]
    return model


def accuracy(model, split):
    return np.mean((model.predict(split.x, batch_size=4096, verbose=0)[:, 0] > 0) == split.y)


@pytest.mark.nightly
def test_quantized_normalization_is_as_accurate_as_in_floats():
    data = Magic().load()
    wanted, found = [], []
    for seed in SEEDS:
        wanted.append(accuracy(train(floats, data, seed), data.test))
        model = train(quantized, data, seed)
        calibrate(model, data.train.x)
        assert verify(model, data.test.x).mismatches == 0
        found.append(accuracy(model, data.test))
        for row in summary(model).layers:
            assert all(slot.mean <= 8 for slot in row.slots if slot.name == "kernel")
    told = f"floats {np.round(wanted, 4)}, quantized {np.round(found, 4)}"
    assert all(ours >= theirs - 0.003 for ours, theirs in zip(found, wanted, strict=True)), told
    assert np.mean(wanted) > 0.87, told
    print(told)
