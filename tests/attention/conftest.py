"""What the tests of attention share: a twin without quantizers, its weights, calibrated models, numbers."""

from __future__ import annotations

from types import SimpleNamespace

import keras
import numpy as np
import pytest
from arrays import float64_of as numpy_of

from hgq2_core import calibrate

ACTIVATION_SLOTS = (
    "query_input",
    "key_input",
    "value_input",
    "query",
    "key",
    "value",
    "difference",
    "sum",
    "attention",
    "context",
)
GATE_SLOTS = ("gate_input", "gate_kernel", "gate_bias", "gate", "gate_table", "gate_context")  # fmt: skip
WEIGHT_SLOTS = (
    "query_kernel", "key_kernel", "value_kernel", "output_kernel",
    "query_bias", "key_bias", "value_bias", "output_bias",
    "exp", "inverse",
)  # fmt: skip
SHARED = {"none": (), "kv": ("value",), "qkv": ("key", "value")}


def without_quantizers(fuse="none", use_gate=False):
    """The arguments that leave every number as it is."""
    return {
        f"{slot}_quantizer": "none"
        for slot in ACTIVATION_SLOTS + WEIGHT_SLOTS + (GATE_SLOTS if use_gate else ())
        if not (slot.endswith(("_input", "_kernel", "_bias")) and slot.startswith(SHARED[fuse]) and SHARED[fuse])
    }


def weights_of(twin):
    """The weights of a layer of Keras by the last two parts of their paths, such as `query/kernel`."""
    return {"/".join(weight.path.split("/")[-2:]): weight for weight in twin.weights}


def take_weights(layer, twin):
    """Give a built layer the weights of a built Keras layer."""
    values = {name: numpy_of(weight) for name, weight in weights_of(twin).items()}
    for owner, others in layer.shared.items():
        for part in ("kernel", "bias") if layer.use_bias else ("kernel",):
            parts = [values.pop(f"{name}/{part}") for name in (owner, *others)]
            getattr(getattr(layer, f"{owner}_projection"), part).assign(np.concatenate(parts, axis=-1))
    for name, value in values.items():
        sublayer, part = name.split("/")
        own = layer.output_projection if sublayer == "attention_output" else layer.gate_projection
        getattr(own, part).assign(value)


def normal(*shape, seed=0):
    return np.random.default_rng(seed).normal(size=shape).astype(np.float32)


def calibrated(layer, shapes, samples, mask_shape=None, **call):
    """A model of one layer that is called with several tensors, and its data."""
    inputs = [keras.Input(shape) for shape in shapes]
    data = [normal(samples, *shape, seed=n) for n, shape in enumerate(shapes)]
    masks = {}
    if mask_shape is not None:
        masks = {"attention_mask": keras.Input(mask_shape, dtype="bool")}
        mask = np.random.default_rng(9).random((samples, *mask_shape)) < 0.5
        mask[::7] = False
        data.append(mask)
    # One tensor attends to itself; a second is the value, a third the key.
    given = inputs if len(inputs) > 1 else inputs * 2
    everything = [*inputs, *masks.values()]
    model = keras.Model(everything if len(everything) > 1 else everything[0], layer(*given, **masks, **call))
    for variable in layer.trainable_variables:
        if variable.name == "bias":
            variable.assign(normal(*variable.shape, seed=5))
    data = data if len(data) > 1 else data[0]
    calibrate(model, data)
    return model, data


@pytest.fixture
def attention():
    return SimpleNamespace(
        without_quantizers=without_quantizers, take_weights=take_weights, weights_of=weights_of, numpy_of=numpy_of,
        normal=normal, calibrated=calibrated,
    )  # fmt: skip
