"""Two devices give what one gives, also for batches that they do not divide evenly; elsewhere an error says so."""

from __future__ import annotations

import os

import keras
import numpy as np
import pytest

import hgq2_core
from hgq2_core import DataParallel, ModelConfig
from hgq2_core.errors import ConfigError

HERE = keras.backend.backend()
on_jax = pytest.mark.skipif(HERE != "jax", reason="Keras distributes batches on jax alone: KERAS_BACKEND=jax")
elsewhere = pytest.mark.skipif(HERE == "jax", reason="on jax Keras distributes batches")

SCRIPT = """
import json
import hgq2_core, keras
import numpy as np
from hgq2_core import ModelConfig, layers_of, load_model
from hgq2_core.quantizers.base import Quantizer
from hgq2_core.quantizers.ranges import ObservedRange
from hgq2_training import train

NORM = {"kind": "layers.einsum_dense_batch_norm", "equation": "abc,cd->abd", "output_shape": [None, 3]}
x, y = np.random.default_rng(1).normal(size=(2, 47, 4, 3)).astype("float32")
np.savez("data.npz", x=x, y=y)

def trained(name, **training):
    shards = []
    class Shards(keras.callbacks.Callback):
        def on_train_begin(self, logs=None):
            shards.extend(len(v.value.sharding.device_set) for v in self.model.trainable_variables)
    run = train(ModelConfig.parse({
        "model": {"inputs": {"x": {"shape": [4, 3]}}, "layers": [{**NORM, "bias_axes": "d"}]},
        "data": {"kind": "training.npz", "path": "data.npz"},
        "training": {"loss": "mean_squared_error", "epochs": 2, "batch_size": 15, **training},
    }), name, callbacks=[Shards()])
    model = load_model(run.directory / "model.keras")
    quantizers = [layer for layer in layers_of(model) if isinstance(layer, Quantizer)]
    ranges = [quantizer for quantizer in quantizers if isinstance(quantizer.range, ObservedRange)]
    return {
        "devices": sorted(set(shards)),
        "exact": {
            "ranges": [np.asarray(v).tolist() for q in ranges for v in q.variables if v.name in ("i", "k")],
            **{key: run.metrics[key] for key in ("verify", "ebops", "ebops_before_calibration")},
        },
        "close": {
            "history": json.loads((run.directory / "history.json").read_text()),
            "test": run.metrics["test"],
            "variables": {v.path: np.asarray(v).tolist() for v in model.weights if v.name != "calibration_record"},
        },
    }

print(json.dumps([trained("one"), trained("two", distribution="data_parallel")]))
"""


@on_jax
@pytest.mark.backends
@pytest.mark.slow
def test_ranges_ebops_statistics_and_logs_are_those_of_one_device(fresh_python):
    flags = f"{os.environ.get('XLA_FLAGS', '')} --xla_force_host_platform_device_count=2"
    one, two = fresh_python(SCRIPT, JAX_PLATFORMS="cpu", XLA_FLAGS=flags.strip())
    assert (one["devices"], two["devices"]) == ([1], [2])
    assert two["exact"] == one["exact"]
    assert np.ptp(two["exact"]["ranges"][0]) > 0
    assert two["exact"]["verify"] == {"mismatches": 0, "samples": 12}
    assert {path.rpartition("/")[2] for path in two["close"]["variables"]} > {"moving_mean", "moving_variance", "b"}
    flat = keras.tree.flatten
    assert flat(two["close"]) == pytest.approx(flat(one["close"]), rel=1e-4, abs=1e-6)


@on_jax
def test_more_devices_than_there_are(tmp_path):
    with pytest.raises(
        ConfigError, match=r"Received: 9 devices\. Allowed: 1 to \d, which are here: \w+:0.*device_count=9"
    ):
        DataParallel(9)


@elsewhere
def test_other_backends_are_refused_before_a_directory_is_made(tmp_path):
    from hgq2_training import train

    config = ModelConfig.parse(
        {
            "model": {"inputs": {"x": {"shape": [64]}}, "layers": [{"kind": "layers.dense", "units": 10}]},
            "data": {"kind": "training.digits"},
            "training": {"loss": "mean_squared_error", "distribution": {"kind": "data_parallel", "devices": 2}},
        }
    )
    with pytest.raises(ConfigError, match=f"Keras {keras.__version__} does not distribute batches on {HERE}. Use jax"):
        train(config, tmp_path / "run")
    assert not (tmp_path / "run").exists()


def test_the_config_names_it_or_says_how_many_devices():
    parsed = {}
    for given in ("data_parallel", {"kind": "data_parallel", "devices": 2}):
        document = {
            "model": {"inputs": {"x": {"shape": [3]}}, "layers": [{"kind": "layers.dense", "units": 2}]},
            "training": {"loss": "mean_squared_error", "distribution": given},
        }
        section = ModelConfig.parse(document).training.distribution
        parsed[section.devices] = ModelConfig.parse(ModelConfig.parse(document).to_dict()).training.distribution
        assert parsed[section.devices] == section
    assert list(parsed) == ["all", 2]


def test_it_is_public():
    assert hgq2_core.DataParallel is DataParallel
