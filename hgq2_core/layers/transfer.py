"""From a Keras layer to its quantized form: arguments and weights of the same names, or as a class translates them."""

from __future__ import annotations

from collections.abc import Collection
from typing import TYPE_CHECKING, Any, ClassVar, cast

import keras

from hgq2_core.errors import ConfigError, listing, nearest
from hgq2_core.schema.keras_objects import keras_parameters
from hgq2_core.schema.signature import parameters

if TYPE_CHECKING:
    from hgq2_core.layers.base import QLayer

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


class FromKeras:
    """A layer that `quantize_model` can make of a Keras layer; part of `QLayer`."""

    fuses: ClassVar[str | None] = None
    """A Keras class, such as `keras.BatchNormalization`, whose layer `from_keras` fuses where it directly follows."""

    fused_kind: ClassVar[str | None] = None
    """The kind that `quantize_model` uses in place of this one where the layer that it fuses directly follows."""

    @classmethod
    def from_keras(cls, layer: keras.layers.Layer, *successor: keras.layers.Layer, **arguments: Any) -> QLayer:
        """Make the quantized form of a Keras layer, for `hgq2_core.quantize_model`.

        Here the arguments of the same names are taken over. A class whose arguments differ translates them.

        Args:
            layer: the Keras layer.
            successor: the layer of class `fuses` that alone takes its output, if there is one.
            arguments: of this class, over those of the layer.

        Raises:
            ConfigError: an argument of the layer that this class cannot keep.
        """
        return cast("QLayer", cls(**{**cls.keras_arguments(layer, *successor), **arguments}))

    @classmethod
    def keras_arguments(cls, layer: keras.layers.Layer, *successor: keras.layers.Layer) -> dict[str, Any]:
        """Return the arguments of this class that stand for a Keras layer; here those of the same names.

        A class that fuses refuses here what it cannot fuse, so that `quantize_model` leaves two layers.

        Args:
            layer: the Keras layer.
            successor: see `from_keras`.

        Raises:
            ConfigError: an argument of the layer that this class cannot keep.
        """
        return shared_arguments(layer, cls)

    def take_weights(self, layer: keras.layers.Layer, *successor: keras.layers.Layer) -> None:
        """Take over the weights of the Keras layers that this one was made from; here those of the same names.

        Args:
            layer: the Keras layer; all are built.
            successor: see `from_keras`.

        Raises:
            ConfigError: a weight for which there is no place.
        """
        for each in (layer, *successor):
            copy_weights(each, self)
