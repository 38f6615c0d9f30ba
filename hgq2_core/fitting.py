"""Setting the first integer bits from the weights and from data, before training."""

from __future__ import annotations

from typing import Any

import keras

from hgq2_core.calibration import batches, check_finite, count_samples
from hgq2_core.graph import layers_of
from hgq2_core.mode import fitting
from hgq2_core.quantizer import Quantizer


def fitted(model: keras.layers.Layer) -> list[Quantizer[Any]]:
    """Give the quantizers that `fit_ranges` sets."""
    return [layer for layer in layers_of(model) if isinstance(layer, Quantizer) and layer.fits_range and layer.built]


def fit_ranges(model: keras.Model, data: Any, samples: int = 4096) -> tuple[str, ...]:
    """Set the integer bits of every quantizer that says `fit_to` from what it sees, each after those before it.

    Args:
        model: a built Keras model; called once, eagerly, without training.
        data: the model's inputs, as `fit` takes them, samples first.
        samples: how many of the first samples to use.

    Returns:
        The names of the quantizers set; empty where none says `fit_to`.

    Raises:
        DataError: no samples, or NaN or infinite values.
    """
    quantizers = fitted(model)
    if quantizers:
        count_samples(data, "fit_ranges")
        check_finite(data, "fit_ranges")
        with fitting():
            model(next(batches(data, samples)), training=False)
    return tuple(str(quantizer.slot) for quantizer in quantizers)
