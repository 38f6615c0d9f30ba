"""Layers that belong to two models or wrappers, which a model file cannot hold."""

from __future__ import annotations

import keras

from hgq2_core.errors import ConfigError
from hgq2_core.keras_graph.traversal import layers_of
from hgq2_core.layers.adapters import sublayers


def check_owners(model: keras.Model, where: str) -> None:
    """Refuse a layer inside two models or wrappers: of Keras' files too, only the first of them loads its weights.

    A layer that one model applies several times is no such layer.

    Args:
        model: any model.
        where: what refuses it, for the message.

    Raises:
        ConfigError: names the layer and both, and the remedy.
    """
    owners: dict[int, keras.layers.Layer] = {}
    for owner in layers_of(model):
        for layer in owner.layers if isinstance(owner, keras.Model) else sublayers(owner):
            first = owners.setdefault(id(layer), owner)
            if first is not owner and not isinstance(layer, keras.layers.InputLayer):
                raise ConfigError(
                    f"{where}: {layer.name} ({type(layer).__name__}) is inside {first.name} and inside {owner.name}, "
                    "and what is saved of such a model does not load, in Keras neither. Apply one model, which holds "
                    f"it, several times; or let {owner.name} have a layer of its own, with the same weights."
                )
