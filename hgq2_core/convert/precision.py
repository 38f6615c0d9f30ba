"""The dtypes that a model to convert may compute in."""

from __future__ import annotations

import keras

from hgq2_core.errors import ConfigError
from hgq2_core.keras_graph.traversal import layers_of

EXACT = ("float32", "float64")


def check_precision(model: keras.Model, where: str) -> None:
    """Refuse a model that computes in floats of few bits, as with a policy of mixed precision.

    Args:
        model: any model.
        where: what refuses it, for the message.

    Raises:
        ConfigError: names the first such layer, and the remedy.
    """
    for layer in layers_of(model):
        if "float" in layer.compute_dtype and layer.compute_dtype not in EXACT:
            raise ConfigError(
                f"{where}: {layer.name} computes in {layer.compute_dtype} (dtype policy {layer.dtype_policy.name!r}), "
                "in which sums are not exact. Make the model once more after "
                "keras.config.set_dtype_policy('float32'), and give it the weights: "
                "again.set_weights(model.get_weights())."
            )
