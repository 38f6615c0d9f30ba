"""What the tests of attention share: a twin without quantizers, its weights, calibrated models, numbers."""

from __future__ import annotations

from types import SimpleNamespace

import keras
import numpy as np
import pytest

from hgq2_core import calibrate

ACTIVATION_SLOTS = (
    "query_input", "key_input", "value_input", "query", "key", "value",
    "difference", "sum", "attention", "context",
)  # fmt: skip
WEIGHT_SLOTS = (
    "query_kernel", "key_kernel", "value_kernel", "output_kernel",
    "query_bias", "key_bias", "value_bias", "output_bias",
    "exp", "inverse",
)  # fmt: skip
SHARED = {"none": (), "kv": ("value",), "qkv": ("key", "value")}


def without_quantizers(fuse="none"):
    """The arguments that leave every number as it is."""
    return {
        f"{slot}_quantizer": "none"
        for slot in ACTIVATION_SLOTS + WEIGHT_SLOTS
        if not (slot.endswith(("_input", "_kernel", "_bias")) and slot.startswith(SHARED[fuse]) and SHARED[fuse])
    }


def take_weights(layer, twin):
    """Give a built layer the weights of Keras' built MultiHeadAttention."""
    from hgq2_attention.multi_head_attention import SHARED as OWNERS

    dense = {"query": twin.query_dense, "key": twin.key_dense, "value": twin.value_dense}
    for name, others in OWNERS[layer.fuse].items():
        projection = getattr(layer, f"{name}_projection")
        for part in ("kernel", "bias") if layer.use_bias else ("kernel",):
            values = [numpy_of(getattr(dense[each], part)) for each in (name, *others)]
            getattr(projection, part).assign(np.concatenate(values, axis=-1))
    layer.output_projection.kernel.assign(twin.output_dense.kernel)
    if layer.use_bias:
        layer.output_projection.bias.assign(twin.output_dense.bias)


def numpy_of(tensor):
    return np.asarray(keras.ops.convert_to_numpy(tensor), dtype=np.float64)


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
        without_quantizers=without_quantizers, take_weights=take_weights, numpy_of=numpy_of, normal=normal,
        calibrated=calibrated,
    )  # fmt: skip
