"""An operation on tensors as a layer, which counts in the loss."""

from __future__ import annotations

import functools
import warnings
from collections.abc import Sequence
from typing import Any, TypeVar

import keras
import numpy as np
from typing_extensions import override

from hgq2_core import ConfigError, ExactnessError
from hgq2_core.exact.arrays import Arrays
from hgq2_core.exact.widths import Width, in_host_format
from hgq2_core.layers.derived import derivation
from hgq2_core.layers.operations import (
    called_with,
    check_operation,
    make_operation,
    operation_adapter,
    operation_of,
    symbolic_calls,
)
from hgq2_core.ops import Tensor
from hgq2_layers.core.reciprocal import ReciprocalLayer, with_reciprocal
from hgq2_layers.operations.call import constants_in, described, filled, inputs_in, rounded

A = TypeVar("A")


class QOperation(ReciprocalLayer):
    """y = f(x_0, x_1, ...), f a function of `keras.ops`.

    It has no quantizers of its own; its cost follows the bits of the quantizers in front (docs/numerics.md#10).
    `quantize_model` and `hgq2_core.with_operation_layers` make it of `x + y` and the like.

    Args:
        function: name of the function, such as `add`; `get_item` for `x[key]`.
        arguments: those that the function takes beside tensors, such as `{"axis": 1}`.
        operands: its arguments by position: `input` for each tensor, numbers, `{constant: values}`, and the key of
            `get_item` as a text such as `"[:, 1:]"`; None for the inputs of the layer in their order.
        options: further arguments of the call, by name.
        reciprocal_quantizer: of the reciprocal of a mean over another number of terms than a power of two: a config, a
            kind or a mapping; None elsewhere.
        **kwargs: Keras' own arguments.

    Example:
        >>> half = QOperation("multiply", operands=["input", 0.5])
    """

    function: str
    arguments: dict[str, Any] | None = None
    operands: list[Any] | None = None
    options: dict[str, Any] | None = None

    @override
    def setup(self) -> None:
        """Find the operation.

        Raises:
            ConfigError: a function that no plugin adapts, or arguments that it does not take.
        """
        super().setup()
        self._adapter = operation_adapter(self.function, self.name)
        given = {name: _hashable(value) for name, value in (self.arguments or {}).items()}
        self._operation = make_operation(self.function, given, self.name)

    @classmethod
    @override
    def from_keras(cls, layer: Any, *successor: keras.layers.Layer, **arguments: Any) -> QOperation:
        """Make the layer of an operation in a graph; a reciprocal gets the default of weights."""
        args, options = called_with(layer)
        config = {name: value for name, value in layer.get_config().items() if name != "name"}
        given: dict[str, Any] = {
            "name": layer.name,
            "function": operation_of(layer),
            "arguments": _listed(config) or None,
            "operands": described(args),
            "options": described([options])[0] or None,
        }
        shape = tuple(keras.tree.flatten(args)[0].shape) if not isinstance(args[0], int | float) else ()
        terms = operation_adapter(given["function"], layer.name).terms(layer, shape)
        return cls(**with_reciprocal({**given, **arguments}, np.array(terms)))

    @property
    def multiplies_tensors(self) -> bool:
        """Whether it is a product of tensors alone, without constants."""
        return self._adapter.multiplies_tensors and not constants_in(self.operands)

    def round_constants(self, bits: int) -> None:
        """Round the constants among the operands, in a layer that is not built yet; warn of those that become 0.

        Args:
            bits: of the largest of a constant's numbers.
        """
        before, self.operands = constants_in(self.operands), rounded(self.operands, bits)
        lost = [old for old, new in zip(before, constants_in(self.operands), strict=True) if old and not new]
        if lost:
            warnings.warn(
                f"{self.name}: constants are rounded to {bits} bits of the largest in their array, so that "
                f"{len(lost)} of {len(before)} become 0, such as {lost[0]:g}. Use keras.layers.Normalization or "
                "Rescaling, or numbers of like size.",
                stacklevel=2,
            )

    @override
    def build(self, input_shape: Any) -> None:
        """Check the operation for the shapes of the inputs.

        Args:
            input_shape: of one input, or a list of them, batch axis included.

        Raises:
            ConfigError: a wrong number of inputs, or a reciprocal without a quantizer.
        """
        self._shapes = [tuple(input_shape)] if _is_shape(input_shape) else [tuple(shape) for shape in input_shape]
        wanted = inputs_in(self._template(len(self._shapes)))
        if wanted != len(self._shapes):
            raise ConfigError(
                f"{self.name}: {self.function} takes {wanted} inputs here. Received: {len(self._shapes)}."
            )
        symbols = [keras.KerasTensor(shape, self.compute_dtype) for shape in self._shapes]
        try:
            check_operation(self._adapter, self._operation, self._filled(symbols), self.options or {}, self.name)
        except ExactnessError as error:
            raise ConfigError(str(error).replace(f"{self._operation.name}: ", f"{self.name}: ", 1)) from error
        terms = self._adapter.terms(self._operation, self._shapes[0])
        self.build_reciprocal(np.array(terms), "values", "a mean of a power of two of values")
        self.built = True

    def _template(self, inputs: int) -> list[Any]:
        if self.operands is not None:
            return self.operands
        each = ["input"] * inputs
        return [each] if self._adapter.takes_list else list(each)

    def _filled(self, inputs: Any) -> list[Any]:
        tensors = list(inputs) if isinstance(inputs, list | tuple) else [inputs]
        found: list[Any] = filled(self._template(len(tensors)), iter(tensors), self.compute_dtype)
        return found

    def compute_output_spec(self, inputs: Any, training: bool | None = None) -> Any:
        """Return what Keras says of the operation's outputs."""
        return self._operation.compute_output_spec(*self._filled(inputs), **(self.options or {}))

    @override
    def compute_mask(self, inputs: Any, previous_mask: Any = None) -> None:
        """Return no mask: an operation on tensors passes none."""

    @override
    def call(self, inputs: Any, training: bool | None = None) -> Any:
        constants = self.constants(bool(training))
        return self._adapter.call(self._operation, *self._filled(inputs), **constants, **(self.options or {}))

    @override
    def ebops(self) -> Tensor:
        """Return the cost of the operation on the bits that its inputs have in the graph."""
        calls = symbolic_calls(self)
        costs = [self._cost(derivation().of(args[0])) for args, _ in calls]
        if not costs:
            raw = [
                in_host_format((1, *(size or 1 for size in shape[1:])), self.compute_dtype) for shape in self._shapes
            ]
            costs = [self._cost(raw)]
        cost = functools.reduce(keras.ops.maximum, costs)
        return keras.ops.cast(keras.ops.convert_to_tensor(cost), "float32")

    def _cost(self, inputs: Width | Sequence[Width]) -> Tensor:
        operands = self._adapter.operands(derivation().widths, tuple(self._filled(inputs)), self.name)
        options = {**(self.options or {}), **self.weight_bits()}
        return self._adapter.ebops(self._operation, *operands, **options)

    @override
    def exact(self, arrays: Arrays[A], *inputs: A) -> Any:
        operands = self._adapter.operands(arrays, tuple(self._filled(inputs)), self.name)
        constants = {"reciprocal": self.constant(arrays, "reciprocal")} if self.multiplies else {}
        return self._adapter.exact(arrays, self._operation, *operands, **(self.options or {}), **constants)

    @override
    def take_weights(self, layer: Any, *successor: keras.layers.Layer) -> None:
        """Do nothing: an operation has no weights."""


def _is_shape(shape: Any) -> bool:
    return not any(isinstance(size, list | tuple) for size in shape)


def _hashable(value: Any) -> Any:
    return tuple(map(_hashable, value)) if isinstance(value, list) else value


def _listed(value: Any) -> Any:
    if isinstance(value, dict):
        return {name: _listed(item) for name, item in value.items()}
    return [_listed(item) for item in value] if isinstance(value, list | tuple) else value
