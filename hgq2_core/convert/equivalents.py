"""Operations without exact arithmetic of their own, such as `keras.ops.sigmoid(x)` and `x ** 2`: what computes them."""

from __future__ import annotations

import functools
import inspect
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

import keras
import numpy as np

from hgq2_core.keras_graph.private import producer
from hgq2_core.layers.adapters import adapter_of
from hgq2_core.layers.operations import called_with, is_operation, operation_of


@dataclass(frozen=True)
class Expression:
    """Other operations and layers that together compute an operation.

    Args:
        name: of the operation.
        compute: takes what the operation takes.
    """

    name: str
    compute: Callable[..., Any]

    def __call__(self, *args: Any) -> Any:
        """Apply them."""
        return self.compute(*args)


OF_THEIR_OWN = {"leaky_relu": keras.layers.LeakyReLU, "softmax": keras.layers.Softmax}
"""Operations with a layer that has their arguments."""

POOLING = {"average_pool": "AveragePooling", "max_pool": "MaxPooling"}
"""Operations with a layer for each rank that has their arguments."""

FUNCTIONS = (
    "arctan", "ceil", "cos", "erf", "exp", "exp2", "expm1", "floor", "gelu", "log", "log1p", "reciprocal", "round",
    "rsqrt", "sign", "sin", "sqrt",
)  # fmt: skip
"""Operations of one number that become a lookup table, besides Keras' activations."""

MOST_FACTORS = 4
"""The largest exponent of a power that is a product."""


def equivalent(operation: Any) -> keras.layers.Layer | Expression | None:
    """Return the Keras layer, or a function of other operations, that computes an operation; None for anything else.

    `keras.activations.sigmoid(x)` of a symbolic tensor is such an operation too. What has exact arithmetic as it is
    applied, such as `relu`, and what no layer computes with these arguments, stays what it is.

    Args:
        operation: a layer or an operation in a graph.
    """
    if not is_operation(operation):
        return None
    expression = EXPRESSIONS.get(operation_of(operation))
    if expression is not None:
        compute = expression(operation, *called_with(operation)[0])
        return None if compute is None else Expression(operation.name, compute)
    return _layer(operation) if adapter_of(operation) is None else None


def _layer(operation: Any) -> keras.layers.Layer | None:
    name = operation_of(operation)
    arguments = {key: value for key, value in operation.get_config().items() if key != "name"}
    if name in OF_THEIR_OWN:
        return OF_THEIR_OWN[name](**arguments, name=operation.name)
    if name in POOLING:
        rank = len(called_with(operation)[0][0].shape) - 2
        return getattr(keras.layers, f"{POOLING[name]}{rank}D")(**arguments, name=operation.name)
    functions = [getattr(module, name) for module in _modules(name) if hasattr(module, name)]
    same = (function for function in functions if _by_default(function, arguments))
    function = next(same, None)
    return None if function is None else keras.layers.Activation(function, name=operation.name)


def _modules(name: str) -> list[Any]:
    return [keras.activations, *([keras.ops] if name in FUNCTIONS else [])]


def _by_default(function: Callable[..., Any], arguments: dict[str, Any]) -> bool:
    defaults = {key: each.default for key, each in inspect.signature(function).parameters.items()}
    return all(key in defaults and defaults[key] == value for key, value in arguments.items())


def applied(outputs: Any, inputs: Any) -> Iterator[Any]:
    """Yield the operations and layers that compute outputs from inputs, each once.

    Args:
        outputs: symbolic tensors.
        inputs: symbolic tensors.
    """
    seen = {id(tensor) for tensor in keras.tree.flatten(inputs)}
    waiting = keras.tree.flatten(outputs)
    while waiting:
        tensor = waiting.pop()
        source = producer(tensor) if isinstance(tensor, keras.KerasTensor) and id(tensor) not in seen else None
        if source is None or id(source[0]) in seen:
            continue
        operation, args, _, _ = source
        seen.add(id(operation))
        yield operation
        waiting.extend(keras.tree.flatten(args))


def name_of(operation: Any) -> str:
    """Return the name of the function that an operation, or a layer with an activation, applies."""
    return operation_of(operation) if is_operation(operation) else str(operation.activation.__name__)


def _table(function: Callable[[Any], Any], x: Any) -> Any:
    return keras.layers.Activation(function)(x)


def _quotient(operation: Any, dividend: Any, divisor: Any) -> Callable[..., Any] | None:
    """x / y is a product with 1 / y, which is a number, or a table; by powers of two it is exact as it is."""
    if isinstance(divisor, keras.KerasTensor):
        return lambda x, y: x * _table(keras.ops.reciprocal, y)
    numbers = np.asarray(keras.ops.convert_to_numpy(divisor), dtype=np.float64)
    if not numbers.all() or (np.abs(np.frexp(numbers)[0]) == 0.5).all():
        return None
    factor = (1.0 / numbers).astype(np.float32)
    return lambda x, y: x * (factor if factor.ndim else float(factor))


def _power(operation: Any, base: Any, exponent: Any) -> Callable[..., Any] | None:
    """x² and so on is a product, roots and reciprocals are tables; of other exponents there is none."""
    if isinstance(exponent, keras.KerasTensor) or np.ndim(exponent):
        return None
    tables = {0.5: keras.ops.sqrt, -0.5: keras.ops.rsqrt, -1.0: keras.ops.reciprocal}
    if float(exponent) in tables:
        return lambda x, n: _table(tables[float(exponent)], x)
    if exponent not in range(2, MOST_FACTORS + 1):
        return None
    return lambda x, n: functools.reduce(lambda product, _: product * x, range(int(exponent) - 2), keras.ops.square(x))


def _moments(operation: Any, x: Any) -> Callable[..., Any]:
    settings = operation.get_config()
    axis, keepdims = settings.get("axis", settings.get("axes")), settings["keepdims"]

    def compute(x: Any) -> tuple[Any, Any]:
        mean = keras.ops.mean(x, axis=axis, keepdims=True)
        variance = keras.ops.mean(keras.ops.square(x - mean), axis=axis, keepdims=keepdims)
        return mean if keepdims else keras.ops.squeeze(mean, axis), variance

    return compute


def _variance(operation: Any, x: Any) -> Callable[..., Any]:
    return lambda x: _moments(operation, x)(x)[1]


def _deviation(operation: Any, x: Any) -> Callable[..., Any]:
    return lambda x: _table(keras.ops.sqrt, _moments(operation, x)(x)[1])


def _norm(operation: Any, x: Any) -> Callable[..., Any] | None:
    settings = operation.get_config()
    if settings["ord"] not in (None, 2) or not isinstance(settings["axis"], int):
        return None
    return lambda x: _table(keras.ops.sqrt, _squares(x, settings["axis"], settings["keepdims"]))


def _normalized(operation: Any, x: Any) -> Callable[..., Any] | None:
    settings = operation.get_config()
    if settings["order"] != 2 or not isinstance(settings["axis"], int):
        return None
    return lambda x: x * _table(keras.ops.rsqrt, _squares(x, settings["axis"], keepdims=True))


def _gated(operation: Any, x: Any) -> Callable[..., Any]:
    def compute(x: Any) -> Any:
        value, gate = keras.ops.split(x, 2, axis=operation.get_config()["axis"])
        return value * _table(keras.activations.sigmoid, gate)

    return compute


def _squares(x: Any, axis: int, keepdims: bool) -> Any:
    return keras.ops.sum(keras.ops.square(x), axis=axis, keepdims=keepdims)


EXPRESSIONS: dict[str, Callable[..., Callable[..., Any] | None]] = {
    "divide": _quotient,
    "glu": _gated,
    "moments": _moments,
    "norm": _norm,
    "normalize": _normalized,
    "power": _power,
    "std": _deviation,
    "true_divide": _quotient,
    "var": _variance,
}
