"""Factors of the loss by label, as a config may say them."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Annotated, Any

from pydantic import PlainValidator, WithJsonSchema

from hgq2_core.config.per_output import PerOutput
from hgq2_core.data.class_weight import BALANCED, is_of_labels
from hgq2_core.schema.base import as_text, validation_error, validation_errors


def _check(value: Any) -> Any:
    if value == BALANCED:
        return value
    if not isinstance(value, Mapping) or not value:
        raise validation_error(
            f"must be `{BALANCED}`, or a mapping from labels to factors. Received: {as_text(value)}."
        )
    wrong = [
        ((str(label),), f"must be a number that is at least 0. Received: {as_text(factor)}.")
        for label, factor in value.items()
        if not _is_number(factor) or factor < 0
    ]
    if wrong:
        raise validation_errors(wrong)
    # YAML reads a label 0 as a number.
    return {str(label): float(factor) for label, factor in value.items()}


def _is_number(value: Any) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool) and math.isfinite(value)


_FACTORS = {"type": "object", "additionalProperties": {"type": "number", "minimum": 0}, "minProperties": 1}
_ONE = Annotated[Any, PlainValidator(_check), WithJsonSchema({"anyOf": [{"const": BALANCED}, _FACTORS]})]
ClassWeight = Annotated[Any, PerOutput(_ONE, is_of_labels)]
"""`balanced`, or a factor for each label; or a mapping from outputs to these."""
