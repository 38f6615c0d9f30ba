"""The graph of a subclassed model, or of a layer made of layers, where Keras can trace its `call`."""

from __future__ import annotations

import inspect
from collections import Counter
from collections.abc import Callable, Mapping
from typing import Any

import keras

from hgq2_core.convert.trainability import keep_trainability
from hgq2_core.errors import ConfigError, listing
from hgq2_core.keras_graph.private import inbound_calls, nodes
from hgq2_core.keras_graph.traversal import graph_is_known, layers_of
from hgq2_core.layers.adapters import rewrapped
from hgq2_core.layers.base import QLayer
from hgq2_core.quantizers.base import Quantizer

REMEDY = (
    "Use a functional or sequential model, or a `call` that Keras can trace: layers and keras.ops on its inputs alone."
)


def with_graph(
    model: keras.Model, where: str, kept: Callable[[keras.layers.Layer], bool] = lambda layer: False
) -> keras.Model:
    """Return the functional model of the same layers that a model's `call` applies; a known graph is returned as it is.

    Subclassed models inside it, also those in wrappers, become functional ones too, as do layers of classes that are
    not Keras' and that are made of layers.

    Args:
        model: built. It shares its layers with the result, unless it is returned itself.
        where: what needs the graph, for messages.
        kept: whether a layer inside is left as it is.

    Raises:
        ConfigError: the model is not built, or Keras cannot trace its `call`, or that of a model or layer in it; or
            the graph would lose what is given by keyword, or what is applied in training alone.
    """
    model = model if graph_is_known(model) else _traced(model, where)
    return model if _is_known_inside(model, kept) else _opened(model, where, kept)


def _is_opaque(layer: keras.layers.Layer) -> bool:
    """Return True for a model whose graph is not known, and for a layer of the user's that is made of layers."""
    if isinstance(layer, keras.Model):
        return not graph_is_known(layer)
    of_another = isinstance(layer, QLayer | Quantizer) or type(layer).__module__.startswith("keras.")
    return not of_another and len(list(layers_of(layer))) > 1


def _is_known_inside(layer: keras.layers.Layer, kept: Callable[[keras.layers.Layer], bool]) -> bool:
    return not any(_is_opaque(each) and not kept(each) for each in layers_of(layer))


def _opened(model: keras.Model, where: str, kept: Callable[[keras.layers.Layer], bool]) -> keras.Model:
    """Return a model with functional ones in place of the subclassed models and the layers made of layers."""
    made: dict[int, keras.layers.Layer] = {}  # what is applied twice stays one

    def opened(layer: Any) -> Any:
        if not isinstance(layer, keras.layers.Layer) or _is_known_inside(layer, kept):
            return layer
        if id(layer) not in made:
            is_graph = isinstance(layer, keras.Model) or _is_opaque(layer)
            made[id(layer)] = with_graph(layer, where, kept) if is_graph else rewrapped(layer, opened) or layer
        return made[id(layer)]

    opened_model: keras.Model = keras.models.clone_model(model, clone_function=opened)
    keep_trainability(model, opened_model)
    for layer in layers_of(opened_model):
        if isinstance(layer, keras.Model) and not graph_is_known(layer):
            raise ConfigError(
                f"{where}: the graph of {layer.name} ({type(layer).__name__}), which {model.name} applies, is "
                f"not known. {REMEDY}"
            )
    return opened_model


def _traced(model: keras.layers.Layer, where: str) -> keras.Model:
    kind = f"{model.name} ({type(model).__name__})"
    calls = inbound_calls(model)
    shapes = (model.get_build_config() or {}).get("input_shape") if model.built else None
    if shapes is None and not calls:
        raise ConfigError(
            f"{where}: the graph of {kind} is not known. Build it first: call it on a batch of data, one tensor, or a "
            f"list or mapping of them. {REMEDY}"
        )
    named = {name for _, kwargs in calls for name, value in kwargs.items() if value is not None}
    if further := sorted(named - {"training", "mask"}):
        raise ConfigError(
            f"{where}: {kind} is called with {listing(further)} by keyword, which a functional model in its place "
            "would not take. Give tensors by position, and options to the constructor."
        )
    args = keras.tree.map_structure(_input_like, calls[0][0]) if calls else (_inputs(shapes),)
    takes_training = "training" in inspect.signature(model.call).parameters
    try:
        # None leaves the mode to each call of the model, where a default of the user's, such as False, would decide it.
        outputs: Any = model.call(*args, **({"training": None} if takes_training else {}))
        inputs = args[0] if len(args) == 1 else list(args)
        traced = keras.Model(inputs, outputs, name=model.name, trainable=model.trainable)
        in_training = keras.Model(inputs, model.call(*args, training=True)) if takes_training else traced
    except Exception as error:  # the code of `call` is the user's, and may fail with any error on symbolic tensors
        text = " ".join(str(error).split())
        raise ConfigError(f"{where}: Keras cannot trace the call of {kind}: {text[:300]} {REMEDY}") from error
    if _applied(traced) != _applied(in_training):
        raise ConfigError(
            f"{where}: the call of {kind} applies other layers or operations if `training` is True, and one graph has "
            "not both. Give `training=training` to the layers inside, such as Dropout, in place of an `if`."
        )
    reached = {id(weight) for weight in traced.weights}
    if lost := [weight.path for weight in model.weights if id(weight) not in reached]:
        raise ConfigError(
            f"{where}: the graph of {kind} would not have {listing(lost)}: no layer that `call` applies to its "
            f"inputs has these weights, so they would not be trained. {REMEDY}"
        )
    return traced


def _applied(model: keras.Model) -> Counter[Any]:
    """Return how often a graph applies each layer, and operations of each class."""
    applied = (operation for operation, _, _ in nodes(model))
    return Counter(id(each) if isinstance(each, keras.layers.Layer) else type(each) for each in applied)


def _input_like(value: Any) -> Any:
    is_tensor = isinstance(value, keras.KerasTensor)
    return keras.Input(batch_shape=value.shape, dtype=value.dtype) if is_tensor else value


def _inputs(shapes: Any) -> Any:
    """Return symbolic inputs for the shapes of those of a `call`; what it takes by name, data is given by that name."""
    if isinstance(shapes, Mapping):
        return {name: keras.Input(tuple(shape)[1:], name=name) for name, shape in shapes.items()}
    return keras.tree.map_shape_structure(lambda shape: keras.Input(tuple(shape)[1:]), shapes)
