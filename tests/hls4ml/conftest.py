"""What the tests of the exporter to hls4ml share."""

from __future__ import annotations

import keras
import numpy as np
import pytest

from hgq2_core import calibrate


@pytest.fixture
def calibrated():
    """Calibrate a model on random values."""

    def calibrate_on_random(model):
        rng = np.random.default_rng(1)
        shapes = [(64, *tensor.shape[1:]) for tensor in model.inputs]
        values = [rng.normal(size=shape).astype(np.float32) for shape in shapes]
        calibrate(model, values if len(values) > 1 else values[0])
        return model

    return calibrate_on_random


@pytest.fixture
def dense(calibrated):
    from hgq2_layers import QDense

    keras.utils.set_random_seed(3)
    layers = [QDense(3, "relu", bias_initializer="normal", name="hidden"), QDense(2, name="logits")]
    return calibrated(keras.Sequential([keras.Input((4,), name="x"), *layers], name="chain"))
