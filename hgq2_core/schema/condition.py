"""Conditions on the logs of an epoch, as data."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated, Any

from pydantic import Field, GetCoreSchemaHandler, GetJsonSchemaHandler, model_validator
from pydantic.json_schema import JsonSchemaValue
from pydantic_core import CoreSchema, core_schema
from typing_extensions import override

from hgq2_core.schema.base import StrictModel, validation_error


class Condition(StrictModel):
    """A bound on one value in the logs of an epoch, such as `{metric: ebops, below: 5000}`.

    Args:
        metric: its name in the logs.
        below: the value must be smaller.
        above: the value must be larger.
    """

    metric: Annotated[str, Field(min_length=1)]
    below: float | None = None
    above: float | None = None

    @model_validator(mode="after")
    def _one_bound(self) -> Condition:
        if (self.below is None) == (self.above is None):
            received = "neither" if self.below is None else f"below: {self.below:g}, above: {self.above:g}"
            raise validation_error(f"needs either `below` or `above`. Received: {received}.")
        return self

    def holds(self, logs: Mapping[str, Any]) -> bool:
        """Return True if the value is within the bound; NaN and a missing value are not."""
        value = float(logs.get(self.metric, float("nan")))
        return value < self.below if self.below is not None else value > float(self.above or 0.0)

    @override
    def __str__(self) -> str:
        word, bound = ("below", self.below) if self.below is not None else ("above", self.above)
        return f"{self.metric} {word} {bound:,g}"


class StopCondition(Condition):
    """A condition that must hold for some epochs in a row.

    Args:
        for_epochs: how many.
    """

    for_epochs: Annotated[int, Field(ge=1)] = 1

    @override
    def __str__(self) -> str:
        return f"{super().__str__()} for {self.for_epochs} epoch{'s' * (self.for_epochs > 1)}"


class OneOrMore:
    """Annotation of a list, in place of which one item may stand by itself."""

    def __get_pydantic_core_schema__(self, source: Any, handler: GetCoreSchemaHandler) -> CoreSchema:
        return core_schema.no_info_before_validator_function(_as_tuple, handler(source))

    def __get_pydantic_json_schema__(self, schema: CoreSchema, handler: GetJsonSchemaHandler) -> JsonSchemaValue:
        several = handler(schema)
        return {"anyOf": [several["items"], several]}


def _as_tuple(given: Any) -> Any:
    return tuple(given) if isinstance(given, list | tuple) else (given,)


Conditions = Annotated[tuple[Condition, ...], Field(min_length=1), OneOrMore()]
"""One condition, or several that must all hold."""

StopConditions = Annotated[tuple[StopCondition, ...], Field(min_length=1), OneOrMore()]
"""One condition with a number of epochs, or several."""
