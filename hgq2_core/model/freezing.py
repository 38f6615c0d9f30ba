"""The deployable form of a model: constants as data, which verification, export and other backends rest on."""

from __future__ import annotations

from typing import Any

import keras

from hgq2_core.errors import ExactnessError
from hgq2_core.keras_graph.random_state import preserve_rng
from hgq2_core.keras_graph.traversal import layers_of
from hgq2_core.layers.adapters import rewrapped
from hgq2_core.layers.base import QLayer
from hgq2_core.model.calibration import copy_records, require_calibrated


def is_frozen(model: keras.layers.Layer) -> bool:
    """Return True if every quantized layer of a model stores constants; a model without any counts as frozen."""
    return all(layer.frozen for layer in layers_of(model) if isinstance(layer, QLayer))


@preserve_rng()
def freeze(model: keras.Model) -> keras.Model:
    """Compute every constant of a model once, and return the model that stores them.

    Args:
        model: functional or sequential, calibrated. It is not changed; a frozen model is returned itself.

    Returns:
        A model of the same graph and outputs, untrainable, that depends neither on how weights are folded and
        quantized nor on the compiler.

    Raises:
        CalibrationError: the model is uncalibrated or stale.
        ExactnessError: a subclassed model, which cannot be cloned.
    """
    require_calibrated(model, "freeze")
    if is_frozen(model):
        return model
    frozen = _clone(model)
    for source, copy in zip(layers_of(model), layers_of(frozen), strict=True):
        _copy(source, copy)
    frozen.trainable = False
    copy_records(model, frozen)
    return frozen


def _clone(model: keras.Model) -> keras.Model:
    try:
        clone = keras.models.clone_model(model, clone_function=_clone_layer, recursive=True)
    except ValueError as error:
        raise ExactnessError(
            f"freeze: {model.name} ({type(model).__name__}) cannot be cloned; "
            f"use a functional or sequential model. {error}"
        ) from error
    if not clone.built and model.built:
        clone.build(model.input_shape)
    return clone


def _clone_layer(layer: keras.layers.Layer) -> keras.layers.Layer:
    if isinstance(layer, keras.Model):  # inside a wrapper
        return _clone(layer)
    if (wrapper := rewrapped(layer, _clone_layer)) is not None:
        return wrapper
    copy = layer.__class__.from_config(_unbuilt(layer.get_config()))
    if not isinstance(layer, keras.layers.Layer):  # an operation such as `x + 1`, which holds nothing
        return copy
    for source, inner in zip(layers_of(layer), layers_of(copy), strict=False):
        if isinstance(source, QLayer) and not source.frozen:
            inner.freeze({name: tuple(value.shape) for name, value in source.stored().items()})
    return copy


def _unbuilt(config: Any) -> Any:
    # Keras builds the layer inside a wrapper when it reads its config; only an unbuilt one can take constants.
    if isinstance(config, dict):
        return {name: _unbuilt(value) for name, value in config.items() if name != "build_config"}
    return [_unbuilt(value) for value in config] if isinstance(config, list) else config


def _copy(source: keras.layers.Layer, copy: keras.layers.Layer) -> None:
    # Only what the layer owns itself: its sublayers come in their own turn.
    if isinstance(source, QLayer):
        values: dict[str, Any] = dict(source.stored())
        for name, variable in copy.stored().items():
            _assign(variable, values[name])
        _assign(copy.ebops_beta, source.ebops_beta)
        return
    of_sublayers = {id(weight) for layer in layers_of(source) if layer is not source for weight in layer.weights}
    theirs = {id(weight) for layer in layers_of(copy) if layer is not copy for weight in layer.weights}
    pairs = zip(
        (weight for weight in source.weights if id(weight) not in of_sublayers),
        (weight for weight in copy.weights if id(weight) not in theirs),
        strict=True,
    )
    for weight, target in pairs:
        _assign(target, weight)


def _assign(target: keras.Variable, value: Any) -> None:
    # jax would share the memory, which it gives up when one of the two models predicts.
    target.assign(keras.ops.copy(value))
