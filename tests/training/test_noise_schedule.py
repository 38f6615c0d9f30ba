"""Blending quantization in, and first ranges from the data, in a training from a config."""

from __future__ import annotations

import json
from pathlib import Path

import keras
import numpy as np
import pytest

from hgq2_core import ConfigError, ModelConfig
from hgq2_layers import QDense
from hgq2_training import NoiseSchedule
from hgq2_training.runs.directory import load
from hgq2_training.runs.train import train

DOCUMENT = {
    "defaults": {
        "weight": {"kind": "kbi", "b": 4, "i": 9, "noise": 0.0, "fit_to": {}},
        "activation": {"kind": "kif", "i": 3, "f": 3, "overflow_mode": "WRAP"},
    },
    "model": {"inputs": {"x": {"shape": [64]}}, "layers": [{"kind": "dense", "name": "logits", "units": 10}]},
    "data": {"kind": "digits"},
    "training": {
        "loss": {"kind": "sparse_categorical_crossentropy", "from_logits": True},
        "epochs": 3,
        "batch_size": 256,
        "callbacks": [{"kind": "noise_schedule", "points": [[0, 0.0], [2, 1.0]]}],
    },
}


def test_noise_follows_its_points_and_ranges_fit_the_weights(tmp_path: Path) -> None:
    run = train(ModelConfig.parse(DOCUMENT), tmp_path / "run")
    history = json.loads((tmp_path / "run" / "history.json").read_text())
    assert [logs["noise"] for logs in history] == [0.0, 0.5, 1.0]
    assert run.verification.mismatches == 0
    layer = load(tmp_path / "run").get_layer("logits")
    assert keras.ops.convert_to_numpy(layer.kernel_quantizer.noise) == 1.0
    assert np.all(keras.ops.convert_to_numpy(layer.kernel_quantizer.i) < 2)  # of weights below 1; the config says 9


@pytest.mark.parametrize("value", [-0.1, 1.1])
def test_a_noise_that_is_no_share_is_refused(value: float) -> None:
    with pytest.raises(ConfigError) as error:
        NoiseSchedule([[0, value]])
    assert str(error.value) == (
        f"A point is a pair of an epoch, an integer from 0, and a noise, from 0 to 1. Received: [0, {value}]"
    )


def test_a_model_without_noise_is_refused() -> None:
    model = keras.Sequential([keras.Input((4,)), QDense(2, name="d")], name="m")
    model.compile("sgd", "mean_squared_error")
    with pytest.raises(ConfigError, match="No layer of model 'm' has a `noise` to schedule: give its quantizers one"):
        model.fit(np.zeros((4, 4)), np.zeros((4, 2)), verbose=0, callbacks=[NoiseSchedule([[0, 0.5]])])
