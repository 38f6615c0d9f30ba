"""Values of a training that are one for all outputs of the model, or one for each by its name."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from typing import Any

from pydantic import GetJsonSchemaHandler, TypeAdapter
from pydantic.json_schema import JsonSchemaValue
from pydantic_core import CoreSchema, core_schema

from hgq2_core.errors import listing, nearest
from hgq2_core.schema.base import Location, at_path


class PerOutput:
    """Annotation that validates a value for all outputs, or a mapping from outputs to such values.

    Args:
        one: type of a value, with its metadata.
        is_one: whether a mapping is one value.
    """

    def __init__(self, one: Any, is_one: Callable[[Mapping[str, Any]], bool]) -> None:
        self.one = one
        self.is_one = is_one

    def validate(self, value: Any) -> Any:
        """Check the value, or that of each output."""
        adapter: TypeAdapter[Any] = TypeAdapter(self.one)
        if isinstance(value, Mapping) and value and not self.is_one(value):
            checked = {}
            for name, own in value.items():
                with at_path(str(name)):
                    checked[str(name)] = adapter.validate_python(own)
            return checked
        with at_path():
            return adapter.validate_python(value)

    def serialize(self, value: Any) -> Any:
        """Return plain data."""
        adapter: TypeAdapter[Any] = TypeAdapter(self.one)
        if isinstance(value, Mapping) and not self.is_one(value):
            return {name: adapter.dump_python(own, mode="json") for name, own in value.items()}
        return adapter.dump_python(value, mode="json")

    def __get_pydantic_core_schema__(self, source: Any, handler: Any) -> CoreSchema:
        serialization = core_schema.plain_serializer_function_ser_schema(self.serialize)
        # The schema of one value stays inside for the JSON schema alone.
        return core_schema.no_info_wrap_validator_function(
            lambda value, _: self.validate(value), handler.generate_schema(self.one), serialization=serialization
        )

    def __get_pydantic_json_schema__(self, schema: CoreSchema, handler: GetJsonSchemaHandler) -> JsonSchemaValue:
        one = handler(schema)
        return {"anyOf": [one, {"type": "object", "additionalProperties": one}]}


def for_outputs(value: Any, names: Iterable[str]) -> list[Any]:
    """Return a checked value for each output.

    Args:
        value: one for all, or a mapping by output.
        names: the outputs, in order.
    """
    return [value.get(name) if isinstance(value, Mapping) else value for name in names]


def wrong_names(value: Any, place: Location, outputs: list[str], *, complete: bool) -> list[tuple[Location, str]]:
    """Return errors about the names of outputs in a value.

    Args:
        value: one for all, or a mapping by output.
        place: the place of the value.
        outputs: the outputs of the model.
        complete: whether each output needs a value.
    """
    if not isinstance(value, Mapping):
        return []
    found: list[tuple[Location, str]] = [
        (
            (*place, name),
            f"no such output. Received: {name!r}. Allowed: {listing(outputs)}.{nearest(name, outputs)}",
        )
        for name in value
        if name not in outputs
    ]
    missing = [name for name in outputs if name not in value]
    if complete and missing and not found:
        found.append((place, f"is missing for {listing(missing)}. Leave an output out in `model.outputs`."))
    return found
