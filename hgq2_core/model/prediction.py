"""`predict` on a batch of any size, on however many devices."""

from __future__ import annotations

import math
from typing import Any

import keras
import numpy as np

from hgq2_core.data.batches import samples_of
from hgq2_core.keras_graph.traversal import in_structure


def predict(model: keras.Model, batch: Any) -> Any:
    """Return the result of `model.predict` for one batch.

    Where Keras distributes batches over devices, it takes multiples of their number only: the last sample is repeated
    up to the next one, and what it gives is dropped.

    Args:
        model: any built model.
        batch: arrays, or a structure of them, samples first.
    """
    batch = in_structure(model, batch)
    distribution = keras.distribution.distribution()
    devices = 1 if distribution is None else math.prod(distribution.device_mesh.shape)
    samples = samples_of(batch)
    missing = -samples % devices

    def padded(array: Any) -> Any:
        return np.concatenate([array, np.repeat(array[-1:], missing, axis=0)]) if missing else array

    outputs = model.predict(keras.tree.map_structure(padded, batch), batch_size=samples + missing, verbose=0)
    return keras.tree.map_structure(lambda array: array[:samples], outputs)
