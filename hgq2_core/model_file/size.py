"""How many weights a configuration asks for, found out without making room for them."""

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
    """Check that the weights of a model are all in its file, so that a small file makes no large model.

    Args:
        config: checked.
        stored: how many numbers the file holds.
        where: its name, in front of messages.

    Raises:
        ModelFileError: more weights than the file holds, a layer that is not built, or one that cannot be.
        PluginError: a layer's plugin, or the class, cannot be loaded.
    """
    wanted = 0
    with unallocated(), preserve_rng():
        for place, entry in layers_in(config):
            layer = _made(entry, at(where, place))
            wanted += sum(math.prod(weight.shape) for weight in layer.weights)
            if wanted > stored:
                raise ModelFileError(
                    f"{at(where, place)}: the layers up to here have {wanted} weights, and the file holds {stored}."
                )


def _made(entry: Any, where: str) -> keras.layers.Layer:
    try:
        layer = keras.saving.deserialize_keras_object(copy.deepcopy(entry))
    except PluginError:
        raise
    except Exception as error:  # Keras checks little, and trips over the rest in whatever way
        raise ModelFileError(f"{where}: cannot be built. {error}") from error
    if not layer.built:
        # Built when it is called, it would take the room that nobody counted.
        raise ModelFileError(f"{where}: `build_config` is missing. Allowed: a model that was built when it was saved.")
    return layer
