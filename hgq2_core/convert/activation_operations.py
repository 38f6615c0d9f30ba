"""Activations that a graph applies as operations, such as `keras.ops.sigmoid(x)`: the layers that compute them."""

from __future__ import annotations

import inspect
from typing import Any

import keras

from hgq2_core.layers.adapters import adapter_of
from hgq2_core.layers.operations import is_operation, operation_of

OF_THEIR_OWN = {"leaky_relu": keras.layers.LeakyReLU, "softmax": keras.layers.Softmax}
"""Operations with a layer that has their arguments; that of any other is Activation."""


def activation_layer(operation: Any) -> keras.layers.Layer | None:
    """Return the Keras layer of an activation that is applied as an operation; None for anything else.

    `keras.activations.sigmoid(x)` of a symbolic tensor is such an operation too. An operation that has exact
    arithmetic of its own, such as `relu`, and one with other arguments than the activation's stay what they are.

    Args:
        operation: a layer or an operation in a graph.
    """
    if not is_operation(operation) or adapter_of(operation) is not None:
        return None
    name = operation_of(operation)
    arguments = {key: value for key, value in operation.get_config().items() if key != "name"}
    if name in OF_THEIR_OWN:
        return OF_THEIR_OWN[name](**arguments, name=operation.name)
    activation = getattr(keras.activations, name, None)
    if activation is None:
        return None
    defaults = {key: each.default for key, each in inspect.signature(activation).parameters.items()}
    same = all(key in defaults and defaults[key] == value for key, value in arguments.items())
    return keras.layers.Activation(activation, name=operation.name) if same else None
