"""The graph of a subclassed model, where Keras can trace its `call`."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import keras

from hgq2_core.errors import ConfigError
from hgq2_core.keras_graph.traversal import graph_is_known, layers_of

REMEDY = (
    "Use a functional or sequential model, or a `call` that Keras can trace: layers and keras.ops on its inputs alone."
)


def with_graph(model: keras.Model, where: str) -> keras.Model:
    """Return the functional model of the same layers that a model's `call` applies; a known graph is returned as it is.

    Args:
        model: built. A subclassed model shares its layers with the result.
        where: what needs the graph, for messages.

    Raises:
        ConfigError: the model is not built, or Keras cannot trace its `call`, or that of a model in it.
    """
    if not graph_is_known(model):
        model = _traced(model, where)
    for layer in layers_of(model):
        if isinstance(layer, keras.Model) and not graph_is_known(layer):
            raise ConfigError(
                f"{where}: the graph of {layer.name} ({type(layer).__name__}), which {model.name} applies, is "
                f"not known. {REMEDY}"
            )
    return model


def _traced(model: keras.Model, where: str) -> keras.Model:
    kind = f"{model.name} ({type(model).__name__})"
    shapes = (model.get_build_config() or {}).get("input_shape") if model.built else None
    if shapes is None:
        raise ConfigError(
            f"{where}: the graph of {kind} is not known. Build it first: call it on a batch of data, one tensor, or a "
            f"list or mapping of them. {REMEDY}"
        )
    inputs = _inputs(shapes)
    try:
        outputs: Any = model.call(inputs)
        return keras.Model(inputs, outputs, name=model.name, trainable=model.trainable)
    except Exception as error:  # the code of `call` is the user's, and may fail with any error on symbolic tensors
        text = " ".join(str(error).split())
        raise ConfigError(f"{where}: Keras cannot trace the call of {kind}: {text[:300]} {REMEDY}") from error


def _inputs(shapes: Any) -> Any:
    """Return symbolic inputs for the shapes of those of a `call`; what it takes by name, data is given by that name."""
    if isinstance(shapes, Mapping):
        return {name: keras.Input(tuple(shape)[1:], name=name) for name, shape in shapes.items()}
    return keras.tree.map_shape_structure(lambda shape: keras.Input(tuple(shape)[1:]), shapes)
