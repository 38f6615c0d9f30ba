"""Operations on tensors in a functional graph, such as `x + y`: what gives them exact arithmetic and cost."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, ClassVar, TypeVar

import keras
import numpy as np
from typing_extensions import override

from hgq2_core.discovery.registry import registry
from hgq2_core.errors import ConfigError, listing, nearest
from hgq2_core.exact import Intervals
from hgq2_core.exact.arrays import Arrays
from hgq2_core.keras_graph.private import inbound_calls, operation_class, operation_name
from hgq2_core.layers.adapters import OPS, KerasAdapter, as_operand
from hgq2_core.ops import Tensor
from hgq2_core.schema.keras_layers import KERAS

A = TypeVar("A")

PREFIX = f"{KERAS}{OPS}"


class OperationAdapter(KerasAdapter):
    """Base of the adapters of operations on tensors, as `x + y` and `keras.ops.mean(x, axis=1)` put them into a graph.

    A plugin names a subclass in `hgq2_layers` under the name of the function, `keras.ops.<function>`; `x[1:]` is
    `keras.ops.get_item`. It has no arguments and must define `exact`; `ebops` where it costs something, and `check`
    where not every call is exact.

    Raises:
        IncompleteError: when it is instantiated, a subclass without `exact`.
    """

    static: ClassVar[tuple[int, ...]] = ()
    """The positions of arguments that hold no values, such as the key of `x[1:]`."""

    multiplies_tensors: ClassVar[bool] = False
    """Whether tensors are multiplied, by each other or by themselves."""

    takes_list: ClassVar[bool] = False
    """Whether the operation takes a list of tensors, as `concatenate` does."""

    @override
    def check(self, layer: Any) -> None:
        """Raise ExactnessError where the operation's call in its graph leaves exact arithmetic."""
        args, options = called_with(layer)
        self.check_call(layer, *args, **options)

    def check_call(self, operation: Any, *args: Any, **options: Any) -> None:
        """Raise ExactnessError where a call leaves exact arithmetic; `exact` may refuse it too, by the shapes.

        Args:
            operation: the operation.
            args: the arguments of its call: symbolic tensors, numbers, arrays.
            options: its arguments by keyword.
        """

    @override
    def operands(self, arrays: Arrays[A], args: tuple[Any, ...], path: str) -> list[Any]:
        """Return the arguments of `exact`: tensors and numbers as operands, lists kept."""
        return [value if n in self.static else _operands(arrays, value, path) for n, value in enumerate(args)]

    @override
    def ebops(self, layer: Any, *inputs: Any, **options: Any) -> Any:
        """Return the operation's effective bit operations for one sample; 0, as here, where it is wiring.

        Args:
            layer: the operation.
            inputs: the arguments of its call, a `hgq2_core.exact.widths.Width` in place of each tensor and number.
            options: its arguments by keyword.
        """
        return 0.0

    def terms(self, operation: Any, shape: tuple[int | None, ...]) -> int:
        """Return how many terms each result averages; 1, as here, if it is no average.

        The reciprocal of another number than a power of two has to be quantized. Such an operation is exact in a layer
        only, `QOperation`, which owns the quantizer and passes the reciprocal to `call`, `ebops` and `exact`.

        Args:
            operation: the operation.
            shape: of its first tensor.
        """
        return 1

    def call(self, operation: Any, *args: Any, reciprocal: Tensor = None, **options: Any) -> Any:
        """Compute the operation.

        Args:
            operation: the operation.
            args: the arguments of its call.
            reciprocal: the quantized reciprocal, from 1/2 to 1; None where it averages a power of two of terms.
            options: its arguments by keyword.
        """
        return operation(*args, **options)


def _operands(arrays: Arrays[A], value: Any, path: str) -> Any:
    if type(value) in (list, tuple):
        return [_operands(arrays, each, path) for each in value]
    if isinstance(value, bool | int | float | np.generic):  # Keras computes with its float32 value
        return arrays.constant(np.float32(value))
    return as_operand(arrays, value, path)


def is_operation(layer: Any) -> bool:
    """Return True for an operation on tensors, which is no layer."""
    return isinstance(layer, keras.Operation) and not isinstance(layer, keras.layers.Layer)


def operation_of(operation: Any) -> str:
    """Return the name of an operation in `keras.ops`; that of its class where it is none of Keras."""
    return operation_name(operation) or type(operation).__name__


def symbolic_calls(layer: Any) -> list[tuple[tuple[Any, ...], dict[str, Any]]]:
    """Return the arguments of each call of a layer in a graph."""
    return inbound_calls(layer)


def called_with(operation: Any) -> tuple[tuple[Any, ...], dict[str, Any]]:
    """Return the arguments of an operation in its graph, by position and by keyword, those that are None left out."""
    args, kwargs = inbound_calls(operation)[0]
    return args, {name: value for name, value in kwargs.items() if value is not None}


def apply_to_tensors(layer: keras.layers.Layer, args: Any, options: Any) -> Any:
    """Call a layer in place of an operation, on the tensors among the operation's arguments."""
    tensors = [each for each in keras.tree.flatten((args, options)) if isinstance(each, keras.KerasTensor)]
    return layer(tensors[0] if len(tensors) == 1 else tensors)


def operation_names() -> list[str]:
    """Return the names of all operations that a plugin adapts."""
    return [kind.removeprefix(PREFIX) for kind in registry().names("layers") if kind.startswith(PREFIX)]


def operation_adapter(name: str, where: str) -> OperationAdapter:
    """Return the adapter of an operation.

    Args:
        name: of its function in `keras.ops`.
        where: what needs it, for the message.

    Raises:
        ConfigError: no plugin adapts such an operation.
    """
    found = registry().adapter(f"{OPS}{name}")
    if found is None:
        known = operation_names()
        raise ConfigError(
            f"{where}: unknown operation. Received: {name!r}. Allowed: {listing(known)}.{nearest(name, known)}"
        )
    adapter: OperationAdapter = found()
    return adapter


def check_operation(
    adapter: OperationAdapter, operation: Any, args: Sequence[Any], options: Mapping[str, Any], path: str
) -> None:
    """Refuse the call of an operation that has no exact arithmetic, also by the shapes of its tensors.

    Args:
        adapter: of the operation.
        operation: the operation.
        args: the arguments of its call, with symbolic tensors.
        options: its arguments by keyword.
        path: the operation's place in the model, for messages.

    Raises:
        ExactnessError: says why, and the remedy.
    """
    adapter.check_call(operation, *args, **options)
    intervals = Intervals()
    shapes = [tuple(each.shape) for each in keras.tree.flatten(list(args)) if isinstance(each, keras.KerasTensor)]
    shifts = adapter.terms(operation, shapes[0]).bit_count() == 1
    named = {} if shifts else {"reciprocal": intervals.constant(0.5)}
    adapter.exact(intervals, operation, *adapter.operands(intervals, _sized(args), path), **options, **named)


def _sized(value: Any) -> Any:
    if isinstance(value, keras.KerasTensor):
        return Intervals().input(1, 1, 0, (1, *(size or 1 for size in value.shape[1:])))
    return type(value)(map(_sized, value)) if type(value) in (list, tuple) else value


def with_few_bits(value: Any, bits: int) -> Any:
    """Return constants rounded to multiples of the step that the largest of an array has then; anything else unchanged.

    Args:
        value: an argument of an operation, or a list of such; integers stay as they are.
        bits: of the largest magnitude, from its highest to its last.
    """
    if type(value) in (list, tuple):
        return type(value)(with_few_bits(each, bits) for each in value)
    is_constant = isinstance(value, float | np.ndarray | np.generic) or keras.ops.is_tensor(value)
    numbers = np.asarray(keras.ops.convert_to_numpy(value)) if is_constant else np.zeros((), int)
    if numbers.dtype.kind != "f":
        return value
    exponent = np.frexp(np.abs(numbers).max(initial=0.0))[1] - bits
    rounded = np.ldexp(np.round(np.ldexp(numbers, -exponent)), exponent)
    return rounded if rounded.ndim else float(rounded)


def make_operation(name: str, arguments: Mapping[str, Any], where: str) -> Any:
    """Return the Keras operation of a function of `keras.ops`.

    Args:
        name: of the function.
        arguments: those that the operation keeps, such as `axis`.
        where: what needs it, for the message.

    Raises:
        ConfigError: no plugin adapts the operation, or it takes other arguments.
    """
    operation_adapter(name, where)
    cls = operation_class(name)
    if cls is None:
        raise ConfigError(f"{where}: this version of Keras has no operation {name!r}.")
    try:
        return cls(**arguments)
    except TypeError as error:
        raise ConfigError(
            f"{where}: {name} does not take these arguments. Received: {dict(arguments)}. {error}"
        ) from error
