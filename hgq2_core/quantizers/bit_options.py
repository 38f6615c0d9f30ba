"""Options of bit variables in configs: their first values, and what regularizes them. Imports no backend."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Annotated, Any

import numpy as np
import numpy.typing as npt
from pydantic import GetJsonSchemaHandler, ValidationError
from pydantic.json_schema import JsonSchemaValue
from pydantic_core import CoreSchema, core_schema

from hgq2_core.discovery.loading import singular
from hgq2_core.errors import ConfigError, KindError
from hgq2_core.schema.base import as_text, at_path, validation_error
from hgq2_core.schema.keras_objects import class_by_name, make, validate_by_construction

Interval = tuple[float, float]


@dataclass(frozen=True)
class NumberOrKeras:
    """A number, or a Keras object of a group as plain data: its kind and its arguments.

    Args:
        group: the Keras module, such as `initializers`; None for numbers alone.
        least: the smallest number that is allowed, also in lists.
        arrays: whether nested lists and numpy arrays of numbers are allowed too.
    """

    group: str | None
    least: float = -math.inf
    arrays: bool = False

    def validate(self, value: Any) -> Any:
        """Return a float, a nested tuple of floats, or a mapping with `kind`."""
        if isinstance(value, np.ndarray | np.generic):
            value = value.tolist()
        if isinstance(value, Mapping) and self.group is not None:
            return self._keras(self.group, value)
        if isinstance(value, list | tuple) and self.arrays:
            return self._array(value)
        if self._is_number(value):
            return self._number(value)
        if isinstance(value, float):
            raise validation_error(f"must be a finite number. Received: {as_text(value)}.")
        config = getattr(value, "get_config", None)
        if self.group is not None and callable(config) and not isinstance(value, type):
            given = {name: item for name, item in config().items() if item is not None}
            return self._keras(self.group, {"kind": type(value).__name__, **given})
        raise validation_error(f"must be {self._allowed}. Received: {as_text(value)}.")

    @property
    def _allowed(self) -> str:
        if self.group is None:
            return "a number or a list of numbers" if self.arrays else "a number"
        name = singular(self.group)
        article = "an" if name[0] in "aeiou" else "a"
        lists = " a list of numbers," if self.arrays else ""
        return f"a number,{lists} or a mapping with the `kind` of {article} {name}"

    def _number(self, value: float) -> float:
        if value < self.least:
            raise validation_error(f"must be {self.least:g} or more. Received: {as_text(value)}.")
        return float(value)

    def _is_number(self, value: Any) -> bool:
        return isinstance(value, int | float) and not isinstance(value, bool) and math.isfinite(value)

    def _keras(self, group: str, value: Mapping[str, Any]) -> dict[str, Any]:
        kind = value.get("kind")
        if not isinstance(kind, str):
            raise validation_error(f"must be {self._allowed}. Received: {as_text(value)}.")
        arguments = {name: item for name, item in value.items() if name != "kind"}
        with at_path():
            validate_by_construction(class_by_name(group, kind), arguments)
        return {"kind": kind, **arguments}

    def _array(self, value: Any) -> Any:
        def plain(items: Any) -> Any:
            if isinstance(items, list | tuple):
                return tuple(map(plain, items))
            if not self._is_number(items):
                raise validation_error(f"must be a list of numbers. Received: {as_text(items)} in it.")
            return self._number(items)

        nested = plain(value)
        try:
            empty = np.asarray(nested, dtype=np.float64).size == 0
        except ValueError:
            raise validation_error(f"must be a list of lists of one length. Received: {as_text(value)}.") from None
        if empty:
            raise validation_error(f"must be a list of numbers. Received: {as_text(value)}.")
        return nested

    def __get_pydantic_core_schema__(self, source: Any, handler: Any) -> CoreSchema:
        return core_schema.no_info_plain_validator_function(self.validate)

    def __get_pydantic_json_schema__(self, schema: CoreSchema, handler: GetJsonSchemaHandler) -> JsonSchemaValue:
        number = {"type": "number"} if math.isinf(self.least) else {"type": "number", "minimum": self.least}
        arrays = [{"type": "array"}] if self.arrays else []
        if self.group is None:
            return {"anyOf": [number, *arrays]}
        named = {"type": "object", "properties": {"kind": {"type": "string"}}, "required": ["kind"]}
        return {"anyOf": [number, *arrays, named], "description": f"A number, or one of Keras' {self.group}."}


if TYPE_CHECKING:
    FirstBits = float | npt.ArrayLike | Mapping[str, Any]
    BitRegularizer = float | Mapping[str, Any]
else:
    FirstBits = Annotated[Any, NumberOrKeras("initializers", arrays=True)]
    BitRegularizer = Annotated[Any, NumberOrKeras("regularizers", least=0.0)]


def is_number(value: Any) -> bool:
    """Return True if bits have one first value for all elements, or one coefficient for a regularizer."""
    return isinstance(value, int | float)


def nominal(value: Any, bounds: Interval) -> float:
    """Return one number for first values: the largest of them; of an initializer the upper bound."""
    return extremes(value, bounds)[1]


def extremes(value: Any, bounds: Interval) -> Interval:
    """Return the smallest and the largest of the first values; an initializer's are clipped to the bounds."""
    if isinstance(value, Mapping):
        return bounds
    return float(np.min(value)), float(np.max(value))


def shifted(value: Any, by: float) -> Any:
    """Return first values, a number or nested tuples, with a number added."""
    return value + by if is_number(value) else tuple(shifted(each, by) for each in value)


def first_value(value: Any, shape: tuple[int, ...], variable_shape: tuple[int, ...], where: str) -> Any:
    """Return the first value of a bit variable: a number, an array, or a Keras initializer.

    Args:
        value: as a config has it, validated.
        shape: of the bits, as a user sees it: 1 on shared axes, one for each block.
        variable_shape: of the variable, in which a block has a further axis of size 1.
        where: the slot and the field, for messages.

    Raises:
        ConfigError: an array whose shape does not broadcast to that of the bits.
    """
    if isinstance(value, Mapping):
        return make_keras("initializers", value, where)
    array = np.asarray(value, dtype=np.float32)
    if array.ndim == 0:
        return float(array)
    try:
        return np.broadcast_to(array, shape).reshape(variable_shape)
    except ValueError:
        raise ConfigError(
            f"{where}: the list has the shape of the bits, as the granularity makes it, or one that broadcasts to it. "
            f"Received: shape {array.shape}. Allowed: {shape}."
        ) from None


def make_keras(group: str, value: Mapping[str, Any], where: str) -> Callable[..., Any]:
    """Return the Keras object of a validated mapping with `kind`."""
    arguments = {name: item for name, item in value.items() if name != "kind"}
    try:
        return make(class_by_name(group, value["kind"]), arguments)  # type: ignore[no-any-return]
    except (KindError, ValidationError) as error:
        raise ConfigError(f"{where}: {error}") from None
