"""The graph of a subclassed model, where Keras can trace its `call`."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import keras

from hgq2_core.errors import ConfigError
from hgq2_core.keras_graph.private import inbound_calls
from hgq2_core.keras_graph.traversal import graph_is_known, layers_of
from hgq2_core.layers.adapters import rewrapped

REMEDY = (
    "Use a functional or sequential model, or a `call` that Keras can trace: layers and keras.ops on its inputs alone."
)


def with_graph(model: keras.Model, where: str) -> keras.Model:
    """Return the functional model of the same layers that a model's `call` applies; a known graph is returned as it is.

    Subclassed models inside it, also those in wrappers, become functional ones too.

    Args:
        model: built. It shares its layers with the result, unless it is returned itself.
        where: what needs the graph, for messages.

    Raises:
        ConfigError: the model is not built, or Keras cannot trace its `call`, or that of a model in it.
    """
    model = model if graph_is_known(model) else _traced(model, where)
    return model if _is_known_inside(model) else _opened(model, where)


def _is_known_inside(layer: keras.layers.Layer) -> bool:
    return all(graph_is_known(each) for each in layers_of(layer) if isinstance(each, keras.Model))


def _opened(model: keras.Model, where: str) -> keras.Model:
    """Return a model with functional ones in place of the subclassed models in it."""
    made: dict[int, keras.layers.Layer] = {}  # a model that is applied twice stays one

    def opened(layer: Any) -> Any:
        if not isinstance(layer, keras.layers.Layer) or _is_known_inside(layer):
            return layer
        if id(layer) not in made:
            is_model = isinstance(layer, keras.Model)
            made[id(layer)] = with_graph(layer, where) if is_model else rewrapped(layer, opened) or layer
        return made[id(layer)]

    opened_model: keras.Model = keras.models.clone_model(model, clone_function=opened)
    for layer in layers_of(opened_model):
        if isinstance(layer, keras.Model) and not graph_is_known(layer):
            raise ConfigError(
                f"{where}: the graph of {layer.name} ({type(layer).__name__}), which {model.name} applies, is "
                f"not known. {REMEDY}"
            )
    return opened_model


def _traced(model: keras.Model, where: str) -> keras.Model:
    kind = f"{model.name} ({type(model).__name__})"
    calls = inbound_calls(model)
    shapes = (model.get_build_config() or {}).get("input_shape") if model.built else None
    if shapes is None and not calls:
        raise ConfigError(
            f"{where}: the graph of {kind} is not known. Build it first: call it on a batch of data, one tensor, or a "
            f"list or mapping of them. {REMEDY}"
        )
    args = keras.tree.map_structure(_input_like, calls[0][0]) if calls else (_inputs(shapes),)
    try:
        outputs: Any = model.call(*args)
        inputs = args[0] if len(args) == 1 else list(args)
        return keras.Model(inputs, outputs, name=model.name, trainable=model.trainable)
    except Exception as error:  # the code of `call` is the user's, and may fail with any error on symbolic tensors
        text = " ".join(str(error).split())
        raise ConfigError(f"{where}: Keras cannot trace the call of {kind}: {text[:300]} {REMEDY}") from error


def _input_like(value: Any) -> Any:
    is_tensor = isinstance(value, keras.KerasTensor)
    return keras.Input(batch_shape=value.shape, dtype=value.dtype) if is_tensor else value


def _inputs(shapes: Any) -> Any:
    """Return symbolic inputs for the shapes of those of a `call`; what it takes by name, data is given by that name."""
    if isinstance(shapes, Mapping):
        return {name: keras.Input(tuple(shape)[1:], name=name) for name, shape in shapes.items()}
    return keras.tree.map_shape_structure(lambda shape: keras.Input(tuple(shape)[1:]), shapes)
