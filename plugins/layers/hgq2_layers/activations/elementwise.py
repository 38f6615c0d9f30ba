"""The argument for a function of one number: Keras' activations by name, and functions registered with Keras."""

from __future__ import annotations

import inspect
import warnings
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Annotated, Any

import keras
import numpy as np
from pydantic import GetJsonSchemaHandler
from pydantic.json_schema import JsonSchemaValue
from pydantic_core import CoreSchema
from typing_extensions import override

from hgq2_core.errors import listing, nearest
from hgq2_core.layers.arguments import KerasObject
from hgq2_core.schema.base import as_text, validation_error
from hgq2_layers.activations.functions import FUNCTIONS

PROBE = np.array([-2.5, -0.5, 0.25, 1.0, 3.0, 7.0], dtype=np.float32)

MANY = np.arange(-32.0, 32.0, 1 / 16, dtype=np.float32)


@dataclass(frozen=True)
class Elementwise(KerasObject):
    """A function that gives one number for each number, whatever the others are."""

    group: str = "activations"

    @override
    def resolve(self, value: Any) -> Any:
        """Return the function."""
        return FUNCTIONS[value] if isinstance(value, str) and value in FUNCTIONS else super().resolve(value)

    @override
    def to_config(self, value: Any) -> Any:
        """Return the name of one of the functions here, else Keras' form."""
        return next((name for name, function in FUNCTIONS.items() if function is value), None) or super().to_config(
            value
        )

    @override
    def validate(self, value: Any) -> Any:
        """Refuse what is no function of one number, and what could not be loaded from a file."""
        function = self._found(value)
        if not _is_elementwise(function):
            raise validation_error(f"must be a function of one number. Received: {as_text(value)}.")
        return value

    def _found(self, value: Any) -> Any:
        if isinstance(value, str):
            known = _public()
            if value not in known:
                raise validation_error(
                    f"unknown activation. Received: {as_text(value)}. Allowed: {listing(known)}, or a function that "
                    f"is registered with Keras.{nearest(value, known)}"
                )
            return known[value]
        # Keras' own form of a registered function; of a lambda it would hold code.
        name = value.get("config") if isinstance(value, Mapping) else keras.saving.get_registered_name(value)
        found = keras.saving.get_registered_object(name) if isinstance(name, str) else None
        own = _public().get(getattr(value, "__name__", ""))
        if callable(value) and value in (own, found):
            return value
        if isinstance(value, Mapping) and inspect.isfunction(found):
            return found
        raise validation_error(
            "must be one of Keras' activations by name, or a function that "
            f"keras.saving.register_keras_serializable() has registered. Received: {as_text(value)}."
        )

    @override
    def __get_pydantic_json_schema__(self, schema: CoreSchema, handler: GetJsonSchemaHandler) -> JsonSchemaValue:
        named = [name for name, function in _public().items() if _is_elementwise(function)]
        # A function of one's own has no name that a file could know.
        return {"enum": named, "description": "A function of one number."}


def never_negative(function: Callable[[Any], Any]) -> bool:
    """Return True if a function of one number is nowhere below 0, judged by its values at many points."""
    return bool((_numpy(function(keras.ops.convert_to_tensor(MANY))) >= 0).all())


def _public() -> dict[str, Callable[..., Any]]:
    activations = {
        name: function
        for name, function in vars(keras.activations).items()
        if inspect.isfunction(function) and name not in ("get", "serialize", "deserialize")
    }
    return FUNCTIONS | activations


def _is_elementwise(function: Callable[..., Any]) -> bool:
    try:
        together = _numpy(function(keras.ops.convert_to_tensor(PROBE)))
        with warnings.catch_warnings():  # a softmax warns of a single number
            warnings.simplefilter("ignore")
            alone = [_numpy(function(keras.ops.convert_to_tensor(PROBE[n : n + 1]))) for n in range(len(PROBE))]
    except Exception:  # a function of something else fails in whatever way
        return False
    if any(each.shape != (1,) for each in alone):
        return False
    return together.shape == PROBE.shape and np.allclose(together, np.concatenate(alone), rtol=1e-5, equal_nan=True)


def _numpy(tensor: Any) -> Any:
    return np.asarray(keras.ops.convert_to_numpy(tensor))


ELEMENTWISE = Elementwise()
ElementwiseArg = Annotated[Any, ELEMENTWISE]
