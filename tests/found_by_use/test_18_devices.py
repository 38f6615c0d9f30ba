"""No check depends on the number of devices that Keras distributes batches over."""

from __future__ import annotations

import importlib.util
import os

import pytest

SCRIPT = """
import json
from hgq2_core import calibrate, doctor, export, fit_ranges, freeze, verify
import keras, numpy as np
from hgq2_fixed_point import KBI
from hgq2_fixed_point.config import FitTo
from hgq2_layers import QDense

devices = len(keras.distribution.list_devices())
if devices > 1:
    keras.distribution.set_distribution(keras.distribution.DataParallel())
keras.utils.set_random_seed(1)
x = np.random.default_rng(1).normal(size=(449, 4)).astype(np.float32)
y = np.zeros((449, 3), np.float32)
inputs = keras.Input((4,), name="x")
hidden = QDense(5, name="hidden", kernel_quantizer=KBI(b=6, fit_to=FitTo()))(inputs)
outputs = [QDense(3, name="logits")(hidden), QDense(2, name="other")(hidden)]
model = keras.Model(inputs, outputs)
fitted = fit_ranges(model, x)
calibrated = calibrate(model, x)
model.compile("sgd", ["mse", None])
print(json.dumps({
    "devices": devices,
    "fitted": fitted,
    "calibrated": calibrated.to_dict(),
    "ranges": [np.asarray(layer.input_quantizer.i).tolist() for layer in model.layers[1:]],
    "verify": verify(model, x).to_dict(),
    "small": [verify(model, x[:size], batch_size=7).to_dict()["mismatches"] for size in (1, 8, 449)],
    "frozen": verify(freeze(model), iter([x[:3], x[3:]])).to_dict(),
    "doctor": doctor(model, x).to_dict(),
    "checked": export(model, "alkaid", f"out{devices}", x).checked if EXPORT else None,
}))
"""


@pytest.mark.once
@pytest.mark.slow
@pytest.mark.skipif(importlib.util.find_spec("jax") is None, reason="jax alone distributes over devices of the host")
def test_checks_give_the_same_on_two_devices(fresh_python):
    script = SCRIPT.replace("EXPORT", str(importlib.util.find_spec("hgq2_alkaid") is not None))
    flags = os.environ.get("XLA_FLAGS", "")

    def on(devices):
        count = f"{flags} --xla_force_host_platform_device_count={devices}"
        return fresh_python(script, KERAS_BACKEND="jax", JAX_PLATFORMS="cpu", XLA_FLAGS=count.strip())

    one, two = on(1), on(2)
    assert (one.pop("devices"), two.pop("devices")) == (1, 2)
    assert two == one
    assert two["verify"]["ok"] and two["verify"]["samples"] == two["frozen"]["samples"] == 449
    assert two["small"] == [0, 0, 0]
