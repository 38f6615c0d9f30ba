"""`with_operation_layers` puts layers in the place of the operations on tensors of a graph, so that they count."""

from __future__ import annotations

import functools
from collections.abc import Iterable
from typing import Any

import keras
import numpy as np

from hgq2_core.convert.names import free_name
from hgq2_core.convert.trainability import keep_trainability
from hgq2_core.discovery.known_plugins import OPERATION_LAYER, QUANTIZER_LAYER
from hgq2_core.discovery.registry import registry
from hgq2_core.errors import ConfigError, ExactnessError, listing, nearest
from hgq2_core.keras_graph.private import consumers, producer_name
from hgq2_core.keras_graph.random_state import preserve_rng
from hgq2_core.keras_graph.traversal import graph_is_known, layers_of, operations_of
from hgq2_core.layers.adapters import adapter_of
from hgq2_core.layers.derived import Derivation, holds_sums, is_raw, widest
from hgq2_core.layers.operations import (
    PREFIX,
    OperationAdapter,
    apply_to_tensors,
    called_with,
    check_operation,
    operation_names,
    operation_of,
    with_few_bits,
)

MOST_BITS, FEW_BITS = 22.0, 12.0
"""The derived width that a float32 holds with some room, and that of an operand which is left as it is."""


@preserve_rng()
def with_operation_layers(model: keras.Model) -> keras.Model:
    """Return a model of the same layers in which operations on tensors, such as `x + y`, are layers.

    Of a graph written by hand, `ebops` and `summary` count the operations, but the loss does not: in a layer they do,
    and the bits in front of them are trained to what they cost.

    Args:
        model: functional or sequential, built; nested models are converted too. It keeps its layers, which both share.

    Returns:
        A new model, compiled as the old one, if that is; the model itself if it has no operations.

    Raises:
        ConfigError: the graph is not known, or an operation has no exact arithmetic.
    """
    if not graph_is_known(model):
        raise ConfigError(
            f"with_operation_layers: the graph of {model.name} ({type(model).__name__}) is not known. "
            "Build it first, and use a functional or sequential model."
        )
    models = [each for each in (model, *layers_of(model)) if isinstance(each, keras.Model)]
    operations = {id(operation) for each in models for operation in operations_of(each)}
    made: dict[int, keras.layers.Layer] = {}

    def convert(layer: Any) -> Any:
        if isinstance(layer, keras.Model):
            return clone(layer)
        if id(layer) not in operations:
            return layer
        new = operation_layer(layer, "with_operation_layers")
        made[id(new)] = new
        return new

    def apply(layer: Any, *args: Any, **kwargs: Any) -> Any:
        return apply_to_tensors(layer, args, kwargs) if id(layer) in made else layer(*args, **kwargs)

    @functools.cache  # a nested model that is applied twice stays one model
    def clone(model: keras.Model) -> keras.Model:
        models = [model, *(each for each in layers_of(model) if isinstance(each, keras.Model))]
        if not any(map(operations_of, models)) or isinstance(model, keras.Sequential):
            return model
        copy: keras.Model = keras.models.clone_model(model, clone_function=convert, call_function=apply)
        keep_trainability(model, copy, added=made.values())
        return copy

    return clone(model)


MASKING, SUMS, OF_MASKS = -1e4, ("add", "subtract"), ("add", "subtract", "where")
"""From here on a constant in one of these operations, or in a product that goes into a sum, stands for a mask: in an
8-bit range nothing is left beside it. A product that goes elsewhere has its range for itself, as of other units."""

IN_ITS_PLACE = (
    "Or use a quantized layer in its place, such as unary_function (QUnaryFunction) for a function of one number."
)
REMEDIES = {
    "argmax": "Leave the choice of the largest to what reads the outputs: it is the same for the model's outputs.",
    "layer_norm": "Use keras.layers.LayerNormalization, which is converted.",
    "power": "quantize_model converts the constant exponents 2, 3, 4, 0.5, -0.5 and -1. For another one use "
    "unary_function (QUnaryFunction) with a function of your own that is registered with Keras.",
    "rmsnorm": "Use keras.layers.RMSNormalization, which is converted.",
}
"""What to write in place of operations that have none, where there is something better than `IN_ITS_PLACE`."""


class OperandQuantizers:
    """Quantizers, as layers, in front of operations, where without them the result would not be exact.

    They are put behind the raw inputs of a model, or of one nested in it, in front of a product of tensors that hold
    sums of a layer, and in front of an operation whose result would have more bits than a float32 holds. There, and in
    a product, constants that have as many, such as 0.1, are rounded to 12 bits of the largest.

    Args:
        names: those that the layers of the model have.
    """

    def __init__(self, names: Iterable[str]) -> None:
        self.layers: list[keras.layers.Layer] = []
        self.quantized: dict[int, Any] = {}
        self.names = set(names)

    def apply(self, layer: keras.layers.Layer, args: Any, kwargs: Any) -> Any:
        """Call a layer in place of an operation, on quantized tensors where that is needed.

        Args:
            layer: made of the operation.
            args: those of the operation.
            kwargs: those of the operation.
        """
        tensors = [each for each in keras.tree.flatten(args) if isinstance(each, keras.KerasTensor)]
        given = [self._quantize(each) if is_raw(each) else each for each in tensors]
        shapes = [tuple(each.shape) for each in given]
        shape = shapes[0] if len(shapes) == 1 else shapes
        try:
            layer.build(shape)
        except ConfigError:  # a factor with all the bits of a float32
            layer.round_constants(int(FEW_BITS))
            layer.build(shape)
        if getattr(layer, "multiplies_tensors", False):  # by a rule it may be another layer than that of operations
            given = [self._quantize(each) if holds_sums(each) else each for each in given]
        if _is_wide(layer, given):
            few = [widest(width) <= FEW_BITS for width in Derivation().of(given)]
            given = [each if fits else self._quantize(each) for each, fits in zip(given, few, strict=True)]
            if _is_wide(layer, given):  # numbers such as 0.1 have all the bits of a float32
                layer.round_constants(int(FEW_BITS))
        return layer(given[0] if len(given) == 1 else given)

    def _quantize(self, tensor: Any) -> Any:
        if id(tensor) not in self.quantized:
            # A layer that is applied again has further outputs.
            name = free_name(f"{producer_name(tensor)}_quantize", self.names)
            self.names.add(name)
            layer = registry().load("layers", QUANTIZER_LAYER)(name=name)
            self.layers.append(layer)
            self.quantized[id(tensor)] = layer(tensor)
        return self.quantized[id(tensor)]


def _is_wide(layer: keras.layers.Layer, tensors: list[Any]) -> bool:
    return widest(Derivation().call(layer, (Derivation().of(tensors),), {})) > MOST_BITS


def operation_layer(operation: Any, where: str, **arguments: Any) -> keras.layers.Layer:
    """Return the layer of an operation.

    Args:
        operation: of a graph.
        where: what needs it, for messages.
        arguments: of the layer, over those of the operation.

    Raises:
        ConfigError: the operation has no exact arithmetic.
    """
    check_convertible(operation, where)
    return registry().load("layers", OPERATION_LAYER, where).from_keras(operation, **arguments)


def check_convertible(operation: Any, where: str, bits: float | None = None) -> None:
    """Refuse an operation without exact arithmetic.

    Args:
        operation: of a graph.
        where: what needs it, for messages.
        bits: those that its constants may be rounded to.

    Raises:
        ConfigError: says why, and the remedy.
    """
    adapter = adapter_of(operation)
    if not isinstance(adapter, OperationAdapter):
        names = operation_names()
        name = operation_of(operation)
        raise ConfigError(
            f"{where}: {operation.name}: {PREFIX}{name}, an operation on tensors, has no exact arithmetic. "
            f"Allowed: {listing(names)}.{nearest(name, names)} {REMEDIES.get(name, IN_ITS_PLACE)}"
        )
    args, options = called_with(operation)
    if bits is not None:
        _check_mask(operation, args, where)
    try:
        check_operation(adapter, operation, args, options, operation.name)
    except ExactnessError as error:
        try:
            if bits is None:
                raise
            check_operation(adapter, operation, with_few_bits(args, int(bits)), options, operation.name)
        except ExactnessError:
            raise ConfigError(f"{where}: {error}") from error


def _check_mask(operation: Any, args: Any, where: str) -> None:
    numbers = (
        np.asarray(keras.ops.convert_to_numpy(each), dtype=np.float64)
        for each in keras.tree.flatten(args)
        if isinstance(each, float | int | np.ndarray) or keras.ops.is_tensor(each)
    )
    least = min((float(each.min()) for each in numbers if each.size), default=0.0)
    name = operation_of(operation)
    if least <= MASKING and (name in OF_MASKS or (name == "multiply" and _is_added(operation))):
        raise ConfigError(
            f"{where}: {operation.name}: in a quantized range that holds {least:g}, nothing is left of other values. "
            "Where it masks a softmax, use keras.layers.Softmax()(x, mask=mask), or the mask argument of an attention "
            "layer; elsewhere a number just below those of the data, such as -16."
        )


def _is_added(operation: Any) -> bool:
    """Return True if a result goes into a sum of tensors, as it is or by operations of one, such as `reshape`."""
    return any(
        operation_of(each).lower() in SUMS  # a layer has the name of its class
        if len(tensors) > 1
        else not isinstance(each, keras.layers.Layer) and _is_added(each)
        for each, tensors in consumers(operation)
    )
