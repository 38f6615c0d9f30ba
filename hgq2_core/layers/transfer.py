"""What a Keras layer and its quantized form share: arguments and weights of the same names."""

from __future__ import annotations

from collections.abc import Collection
from typing import Any

import keras

from hgq2_core.errors import ConfigError, listing, nearest
from hgq2_core.schema.keras_objects import keras_parameters
from hgq2_core.schema.signature import parameters

DRAWN = "_initializer"
"""How the names of arguments end that say how weights are drawn."""


def shared_arguments(layer: keras.layers.Layer, cls: type, translated: Collection[str] = ()) -> dict[str, Any]:
    """Return a Keras layer's arguments to the constructor of another class.

    How weights were drawn is left out where `cls` does not have them, as the weights themselves are kept.

    Args:
        layer: the Keras layer.
        cls: a class with a typed constructor.
        translated: arguments of the layer that the caller takes care of.

    Raises:
        ConfigError: an argument that `cls` does not have, and that is not Keras' default.
    """
    config = dict(layer.get_config())
    if isinstance(layer, keras.layers.Layer):  # an operation on tensors has no dtype of its own
        config["dtype"] = layer.dtype_policy.name
    ours = parameters(cls)
    lost = [
        name
        for name, value in config.items()
        if not (name in ours or name in translated or name.endswith(DRAWN) or value == _default(type(layer), name))
    ]
    if lost:
        received = ", ".join(f"{name}={config[name]!r}" for name in sorted(lost))
        raise ConfigError(
            f"{layer.name}: {cls.__name__} has no {listing(lost)}, which this {type(layer).__name__} needs. "
            f"Received: {received}. Allowed: {listing(ours)}.{nearest(lost[0], ours)}"
        )
    return {name: value for name, value in config.items() if name in ours and name not in translated}


def _default(cls: type, name: str) -> Any:
    """Return Keras' default of an argument, which a base may have behind `**kwargs`."""
    bases = (base for base in cls.__mro__ if issubclass(base, keras.layers.Layer))
    return next((found[name] for base in bases if name in (found := keras_parameters(base))), None)


def copy_weights(source: keras.layers.Layer, target: keras.layers.Layer) -> None:
    """Return a layer the weights of another, by their names; what else it has stays as it is.

    Args:
        source: a built layer.
        target: a built layer.

    Raises:
        ConfigError: a weight of the source for which there is no place.
    """
    places = _weights(target)
    for name, weight in _weights(source).items():
        place = places.get(name)
        if place is None or tuple(place.shape) != tuple(weight.shape):
            there = "none of that name" if place is None else f"one of shape {tuple(place.shape)}"
            raise ConfigError(
                f"{source.name}: {type(target).__name__} has no place for the weight {name!r} of shape "
                f"{tuple(weight.shape)}: it has {there}."
            )
        # By value: on jax two models that share an array cannot be trained one after the other.
        place.assign(keras.ops.convert_to_numpy(weight).copy())


def _weights(layer: keras.layers.Layer) -> dict[str, keras.Variable]:
    return {weight.path.removeprefix(f"{layer.path}/"): weight for weight in layer.weights}
