"""`jit` on jax and tensorflow lets Keras compile its own functions; what is predicted stays equal to the bit."""

from __future__ import annotations

import keras
import numpy as np
import pytest

from hgq2_core import jit
from hgq2_layers import QDense

pytestmark = pytest.mark.skipif(keras.backend.backend() == "torch", reason="torch has a step of its own: test_jit.py")


@pytest.mark.parametrize("auto", [False, True])
def test_keras_compiles(auto):
    keras.utils.set_random_seed(0)
    model = keras.Sequential([keras.Input((4,)), QDense(3, activation="relu")])
    model.compile("sgd", "mse", jit_compile=False)
    x = np.random.default_rng(0).normal(size=(8, 4)).astype("float32")
    wanted = model.predict(x, verbose=0)
    jit(model, auto=auto)
    assert model.jit_compile == (not auto)
    np.testing.assert_array_equal(model.predict(x, verbose=0), wanted)
    assert np.isfinite(model.train_on_batch(x, x[:, :3]))
