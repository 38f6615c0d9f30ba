"""The number of weights that a configuration needs, computed without allocating them."""

from __future__ import annotations

import copy
import math
from typing import Any

import keras

from hgq2_core.errors import ModelFileError, PluginError
from hgq2_core.keras_graph.private import unallocated
from hgq2_core.keras_graph.random_state import preserve_rng
from hgq2_core.model_file.configuration import at, layers_in


def check_size(config: dict[str, Any], stored: int, where: str) -> None:
    """Check that the file has all weights of its model, so that a small file cannot make a large model.

    Args:
        config: a checked configuration.
        stored: number of values in the file.
        where: name of the configuration, for messages.

    Raises:
        ModelFileError: the model has more weights than the file, or a layer is not built or cannot be built.
        PluginError: a layer's plugin, or the class, cannot be loaded.
    """
    wanted = 0
    with unallocated(), preserve_rng():
        for place, entry in layers_in(config):
            layer = _made(entry, at(where, place))
            if not isinstance(layer, keras.layers.Layer):  # an operation, as of a mask
                continue
            wanted += sum(math.prod(weight.shape) for weight in layer.weights)
            if wanted > stored:
                raise ModelFileError(
                    f"{at(where, place)}: the layers up to here have {wanted} weights, and the file holds {stored}."
                )


def _made(entry: Any, where: str) -> keras.Operation:
    try:
        layer = keras.saving.deserialize_keras_object(copy.deepcopy(entry))
    except PluginError:
        raise
    except Exception as error:  # Keras checks little, and may fail with any error on the rest
        raise ModelFileError(f"{where}: cannot be built. {error}") from error
    if isinstance(layer, keras.layers.Layer) and not layer.built:
        # It would be built when it is called, and allocate weights that were not counted.
        raise ModelFileError(f"{where}: `build_config` is missing. Allowed: a model that was built when it was saved.")
    return layer
