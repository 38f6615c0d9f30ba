"""Activations as layers of their own, those that a quantized layer would need a table for, and operations in terms of
others."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import keras

from hgq2_core.convert.equivalents import Expression, applied, equivalent, name_of
from hgq2_core.convert.names import free_name
from hgq2_core.convert.trainability import keep_trainability
from hgq2_core.keras_graph.traversal import layers_of, operations_of
from hgq2_core.layers.adapters import rewrapped, sublayers

SUFFIX = "_activation"
"""Suffix of the name of an activation that was split off."""


def separated(model: keras.Model, should_split: Callable[[keras.layers.Layer], bool]) -> keras.Model:
    """Return a model of the same function in which some layers are linear, each followed by its activation.

    Operations that a layer computes, or others together, such as activations, become those.

    Args:
        model: functional, or sequential and built, with nested models or without. It is not changed.
        should_split: whether to split the activation off a layer.

    Returns:
        A copy with the same weights if there is anything to change, else the model itself.
    """
    if not any(should_split(layer) or equivalent(layer) for layer in _plain_layers(model)):
        return model
    separation = _Separation(should_split, {layer.name for layer in layers_of(model)})
    copy = separation.model(model)
    for layer, made in separation.made:  # one by one, since named outputs may change the order of the copy's layers
        made.set_weights(layer.get_weights())
    return copy


class _Separation:
    """A copy of a model, in which a shared layer is copied once."""

    def __init__(self, should_split: Callable[[keras.layers.Layer], bool], names: set[str]) -> None:
        self.should_split = should_split
        self.names = names
        self.copies: dict[int, keras.layers.Layer] = {}
        self.activations: dict[int, keras.layers.Layer] = {}
        self.made: list[tuple[keras.layers.Layer, keras.layers.Layer]] = []

    def model(self, model: keras.Model) -> keras.Model:
        if isinstance(model, keras.Sequential):
            layers = [made for layer in model.layers for made in self.chain(self.copy(layer))]
            (given,) = model.inputs
            inputs = keras.Input(batch_shape=given.shape, dtype=given.dtype, name=given.name)
            return keras.Sequential([inputs, *layers], name=model.name, trainable=model.trainable)
        copy: keras.Model = keras.models.clone_model(model, clone_function=self.copy, call_function=self.call)
        keep_trainability(model, copy)
        return copy

    def copy(self, layer: keras.layers.Layer) -> keras.layers.Layer:
        if id(layer) not in self.copies:
            if isinstance(layer, keras.Model):
                self.copies[id(layer)] = self.model(layer)
            elif any(isinstance(each, keras.Model) for each in sublayers(layer)):
                self.copies[id(layer)] = rewrapped(layer, self.copy)
            else:
                self.copies[id(layer)] = equivalent(layer) or self.linear(layer)
                if isinstance(layer, keras.layers.Layer):  # an operation has no weights
                    self.made.append((layer, self.copies[id(layer)]))
        return self.copies[id(layer)]

    def linear(self, layer: keras.layers.Layer) -> keras.layers.Layer:
        """Return a copy of a layer, without its activation if that is split off."""
        config, activation = layer.get_config(), self._activation_inside(layer)
        if self.should_split(layer):
            activation, made = layer.activation, type(layer).from_config({**config, "activation": "linear"})
        elif activation is not None:  # elementwise, so it commutes with TimeDistributed
            made = rewrapped(layer, self.linear)
        else:
            return type(layer).from_config(config)
        name = free_name(f"{layer.name}{SUFFIX}", self.names)
        self.activations[id(made)] = keras.layers.Activation(activation, name=name)
        return made

    def _activation_inside(self, layer: keras.layers.Layer) -> Any:
        """Return the activation to split off the only layer in a wrapper, or in the wrapper in it; None without one."""
        inside = sublayers(layer)
        if len(inside) != 1:
            return None
        return inside[0].activation if self.should_split(inside[0]) else self._activation_inside(inside[0])

    def chain(self, made: keras.layers.Layer) -> list[keras.layers.Layer]:
        return [made, self.activations[id(made)]] if id(made) in self.activations else [made]

    def call(self, made: keras.layers.Layer | Expression, *args: Any, **kwargs: Any) -> Any:
        outputs = made(*args, **kwargs)
        if isinstance(made, Expression):
            for operation in applied(outputs, args):
                operation.name = free_name(f"{made.name}_{name_of(operation)}", self.names)
                self.names.add(operation.name)
        return self.activations[id(made)](outputs) if id(made) in self.activations else outputs


def _plain_layers(layer: keras.layers.Layer) -> Iterator[keras.layers.Layer]:
    inside = [*layer.layers, *operations_of(layer)] if isinstance(layer, keras.Model) else sublayers(layer)
    if not isinstance(layer, keras.Model):
        yield layer
    for each in inside:
        yield from _plain_layers(each)
