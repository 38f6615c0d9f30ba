"""Which parts of a converted model train: those that trained before."""

from __future__ import annotations

from collections.abc import Iterable

import keras

from hgq2_core.keras_graph.traversal import layers_of


def keep_trainability(model: keras.Model, copy: keras.Model, added: Iterable[keras.layers.Layer] = ()) -> None:
    """Let a copy of a model train where the model does: Keras' cloning keeps the flags of layers, not that of a model.

    Args:
        model: a model, of which only its own flag is read.
        copy: its copy, whose layers have their flags.
        added: the layers of the copy that stem from none of the model's; they do what the model does.
    """
    if model.trainable:
        return
    own = {id(inside) for layer in added for inside in layers_of(layer)}
    flags = [(layer, layer.trainable) for layer in layers_of(copy) if layer is not copy and id(layer) not in own]
    copy.trainable = False
    for layer, trains in flags:  # owners come before what they hold, which follows them until its own turn
        layer.trainable = trains
