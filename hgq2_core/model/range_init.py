"""Range initialization: setting the first integer bits from the weights and from data, before training."""

from __future__ import annotations

from typing import Any

import keras

from hgq2_core.data.batches import check_finite, concatenated, read
from hgq2_core.keras_graph.random_state import preserve_rng
from hgq2_core.keras_graph.traversal import in_structure, layers_of
from hgq2_core.layers.states import preserve_states, samples_per_call
from hgq2_core.ops import step_by_step
from hgq2_core.quantizers.base import Quantizer
from hgq2_core.quantizers.phase import fitting


def fitted(model: keras.layers.Layer) -> list[Quantizer[Any]]:
    """Return the quantizers that `fit_ranges` sets."""
    quantizers = [layer for layer in layers_of(model) if isinstance(layer, Quantizer) and layer.built]
    return [quantizer for quantizer in quantizers if quantizer.range is not None and quantizer.range.fits_data]


@preserve_rng()
def fit_ranges(model: keras.Model, data: Any, samples: int = 4096, *, steps: int | None = None) -> tuple[str, ...]:
    """Set the integer bits of every quantizer with `fit_to` from its values, in the order of the graph.

    Args:
        model: a built Keras model; called once, eagerly, without training.
        data: the model's inputs in any form that `fit` takes; targets and sample weights in batches are ignored. Of an
            iterator no more is read than is used.
        samples: how many of the first samples to use.
        steps: the most batches to use; None for all.

    Returns:
        The names of the quantizers set; empty where none says `fit_to`.

    Raises:
        ConfigError: `samples` or `steps` is no number above 0.
        DataError: data of another form, no samples, or NaN or infinite values.
    """
    quantizers = fitted(model)
    if quantizers:
        samples = samples_per_call(model, samples)
        batch = in_structure(model, concatenated(read(data, "fit_ranges", samples, steps), samples))
        check_finite(batch, "fit_ranges")
        with fitting(), step_by_step(), preserve_states(model, anew=True):
            model(batch, training=False)
    return tuple(str(quantizer.slot) for quantizer in quantizers)
