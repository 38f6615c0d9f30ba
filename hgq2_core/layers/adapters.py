"""Exact arithmetic and cost for layers that are Keras' own: plugins offer one adapter per Keras layer."""

from __future__ import annotations

import inspect
from abc import abstractmethod
from collections.abc import Callable, Mapping, Sequence
from typing import Any, ClassVar, TypeVar

import keras
import numpy as np

from hgq2_core.discovery.abstract import Abstract
from hgq2_core.discovery.registry import registry
from hgq2_core.errors import ExactnessError, listing
from hgq2_core.exact.arrays import Arrays
from hgq2_core.exact.widths import Widths
from hgq2_core.keras_graph.private import operation_name
from hgq2_core.keras_graph.traversal import operands, run
from hgq2_core.layers.base import QLayer
from hgq2_core.layers.states import CarriedStates
from hgq2_core.schema.keras_layers import KERAS, quantized_name

A = TypeVar("A")

OPS = "ops."
"""The prefix of the functions in `keras.ops` below that of Keras."""


class KerasAdapter(Abstract):
    """Base of the adapters, which give Keras' own layers exact arithmetic and cost.

    A plugin names a subclass in `hgq2_layers` under the name of the Keras layer, `keras.<Layer>`. It has no arguments
    and must define `exact`; `check` where not every layer of the class is exact, `ebops` where it costs something, and
    `sublayers` and `rewrap` where it holds layers. docs/extending/adapter.md has the complete files of a plugin.

    Raises:
        IncompleteError: when it is instantiated, a subclass without `exact`.
    """

    guide = "adapter"

    exact_where: ClassVar[str] = ""
    """The condition that `check` and `exact` put on the layer's arguments, for `hgq2 list --table`; empty without."""

    def check(self, layer: keras.layers.Layer) -> None:
        """Raise ExactnessError where this layer's arguments leave exact arithmetic."""

    def quantized_kind(self, layer: keras.layers.Layer) -> str | None:
        """Return the kind that `hgq2_core.quantize_model` makes of a layer that `check` refuses, if there is one."""
        return None

    def keeps(self, layer: keras.layers.Layer) -> bool:
        """Return True if `hgq2_core.quantize_model` leaves this layer, although a quantized kind has its name."""
        return False

    def sublayers(self, layer: keras.layers.Layer) -> Sequence[keras.layers.Layer]:
        """Return the layers or models that such a layer holds, which `hgq2_core.quantize_model` converts."""
        return ()

    def rewrap(self, layer: keras.layers.Layer, sublayers: Sequence[keras.layers.Layer]) -> keras.layers.Layer:
        """Make such a layer anew, around others.

        Args:
            layer: a layer with anything inside.
            sublayers: the layers to put in place of those that `sublayers` returns.
        """
        raise NotImplementedError(f"{type(self).__name__} defines no rewrap().")

    def operands(self, arrays: Arrays[A], args: tuple[Any, ...], path: str) -> list[Any]:
        """Return what such a layer is called with as the arguments of `exact`: its tensors, lists flattened.

        Args:
            arrays: integers, intervals, or hardware.
            args: operands of `arrays`, or tensors and numpy arrays, which become constants.
            path: the layer's place in the model, for messages.
        """
        return [as_operand(arrays, value, path) for value in operands(args)]

    @abstractmethod
    def exact(self, arrays: Arrays[A], layer: keras.layers.Layer, *inputs: A) -> A:
        """State the layer's inference arithmetic.

        Args:
            arrays: integers, intervals, or hardware.
            layer: the Keras layer.
            inputs: operands of `arrays`, batch axis first. An adapter whose layer is called with keyword arguments
                takes those too, see `QLayer.exact`.
        """

    def ebops(self, layer: keras.layers.Layer) -> Any:
        """Return the layer's own effective bit operations; passive layers have none."""
        return 0.0


def sublayers(layer: keras.layers.Layer) -> Sequence[keras.layers.Layer]:
    """Return the layers or models that a wrapper such as TimeDistributed holds; none for any other layer."""
    adapter = adapter_of(layer)
    return () if adapter is None else adapter.sublayers(layer)


def rewrapped(
    layer: keras.layers.Layer, convert: Callable[[keras.layers.Layer], keras.layers.Layer]
) -> keras.layers.Layer | None:
    """Return a wrapper anew, around what its layers are converted to; None for a layer that is no wrapper."""
    adapter = adapter_of(layer)
    inside = () if adapter is None else adapter.sublayers(layer)
    return adapter.rewrap(layer, [convert(each) for each in inside]) if adapter and inside else None


def adapter_of(layer: keras.layers.Layer) -> KerasAdapter | None:
    """Return the adapter of exactly the class of this layer, or operation on tensors; None if there is none."""
    name = type(layer).__name__
    if isinstance(layer, keras.layers.Layer):
        found = registry().adapter(name) if type(layer) is getattr(keras.layers, name, None) else None
    else:
        operation = operation_name(layer)
        found = None if operation is None else registry().adapter(f"{OPS}{operation}")
    return None if found is None else found()


def exact(
    arrays: Arrays[A],
    layer: keras.layers.Layer,
    path: str,
    args: tuple[Any, ...],
    kwargs: Mapping[str, Any],
    states: CarriedStates[A] | None = None,
) -> Any:
    """Interpret one layer: by its own statement, or by the adapter of its Keras class.

    Args:
        arrays: integers, intervals, or hardware.
        layer: a quantized layer or a Keras layer.
        path: the layer's place in the model, for messages.
        args: what the layer is called with: operands of `arrays`, or tensors and numpy arrays, which become constants.
        kwargs: what it is called with by keyword, as operands, tensors or arrays:
            masks, further inputs, options. `training` and what is None stay out.
        states: of the layers that keep some from call to call, which this call replaces; None begins at 0.

    Returns:
        An operand, or several as the layer gives them.

    Raises:
        ExactnessError: the layer states no exact arithmetic, or none for such a keyword.
    """
    named = {name: as_operand(arrays, value, path) for name, value in _given(kwargs).items()}
    if isinstance(layer, keras.Model):  # inside a wrapper; elsewhere the graph is walked through it
        inputs = [as_operand(arrays, value, path) for value in operands(args)]
        outputs = run(layer, inputs, lambda *application: exact(arrays, *application), f"{path}/")
        return outputs[0] if len(outputs) == 1 else outputs
    statement = statement_of(layer, path, kwargs)
    adapter = None if isinstance(layer, QLayer) else adapter_of(layer)
    inputs = (
        [as_operand(arrays, value, path) for value in operands(args)]
        if adapter is None
        else adapter.operands(arrays, args, path)
    )
    kept = layer.kept_states if isinstance(layer, QLayer) else None
    if kept is None:
        return statement(arrays, *inputs, **named)
    before = () if states is None else states.before(path, kept)
    given = keras.tree.flatten(statement(arrays, *inputs, *before, **named))
    outputs, after = given[: -len(kept.shapes)], given[-len(kept.shapes) :]
    if states is not None:
        states.of_layers[path] = after
    return outputs[0] if len(outputs) == 1 else tuple(outputs)


def statement_of(layer: keras.layers.Layer, path: str, kwargs: Mapping[str, Any]) -> Callable[..., Any]:
    """Return a layer's exact statement, a function of arrays and operands: its own, or its adapter's.

    Args:
        layer: a quantized layer or a Keras layer.
        path: the layer's place in the model, for messages.
        kwargs: what it is called with by keyword, see `exact`.

    Raises:
        ExactnessError: the layer states no exact arithmetic, or none for such a keyword.
    """
    if isinstance(layer, QLayer):
        own: Callable[..., Any] = _known(layer.exact, layer, path, _given(kwargs))
        return lambda arrays, *inputs, **named: (
            layer.width(arrays, *inputs, **named) if isinstance(arrays, Widths) else own(arrays, *inputs, **named)
        )
    adapter = adapter_of(layer)
    if adapter is None:
        kinds = [kind.partition(".")[2] for kind in registry().names("layers") if not kind.startswith(KERAS)]
        name = quantized_name(type(layer).__name__, kinds, adapted=False)
        what = f"{KERAS}{type(layer).__name__}"
        if not isinstance(layer, keras.layers.Layer):
            what = f"{type(layer).__name__}, an operation on tensors such as x + y,"
            if (operation := operation_name(layer)) is not None:
                what = f"{KERAS}{OPS}{operation}, an operation on tensors such as x + y,"
        raise ExactnessError(
            f"{path}: {what} has no exact arithmetic. Use {name or 'a quantized layer'} in its place, or a Keras layer "
            "that has (hgq2 list --table)."
        )
    adapter.check(layer)
    adapted = _known(adapter.exact, layer, path, _given(kwargs))
    return lambda arrays, *inputs, **named: adapted(arrays, layer, *inputs, **named)


def _given(kwargs: Mapping[str, Any]) -> dict[str, Any]:
    return {name: value for name, value in kwargs.items() if value is not None and name != "training"}


def as_operand(arrays: Arrays[Any], value: Any, path: str) -> Any:
    """Return a tensor or an array of numbers as a constant operand; anything else, an operand for one, unchanged.

    Args:
        arrays: integers, intervals, or hardware.
        value: an argument of a layer's call, or a list of such.
        path: the layer's place in the model, for messages.

    Raises:
        ExactnessError: the values are not finite.
    """
    if type(value) in (list, tuple):
        return type(value)(as_operand(arrays, each, path) for each in value)
    # Operands of hardware are arrays of objects.
    if not (keras.ops.is_tensor(value) or (isinstance(value, np.ndarray) and value.dtype != object)):
        return value
    values = np.asarray(keras.ops.convert_to_numpy(value))
    if not np.isfinite(values).all():
        raise ExactnessError(
            f"{path}: its inputs hold NaN or infinite values, for which there is no exact arithmetic. "
            "hgq2_core.doctor(model, x) names the layer that they come from."
        )
    return arrays.constant(values)


def _known(statement: Any, layer: keras.layers.Layer, path: str, named: Mapping[str, Any]) -> Any:
    taken = inspect.signature(statement).parameters
    if unexpected := [name for name in named if name not in taken]:
        raise ExactnessError(
            f"{path}: {type(layer).__name__} states no exact arithmetic for {listing(unexpected)} of its call."
        )
    return statement
