"""The base of every schema, and the translation of pydantic's findings into our errors."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Annotated, Any

from pydantic import BaseModel, BeforeValidator, ConfigDict, ValidationError, model_validator
from pydantic_core import PydanticCustomError

from hgq2_core.errors import ConfigError, listing, nearest

MAX_REPORTED = 10


class Strict(BaseModel):
    """A frozen schema that takes no unknown field, no `"5"` for 5, no True for 1, no NaN."""

    model_config = ConfigDict(extra="forbid", frozen=True, strict=True, allow_inf_nan=False, hide_input_in_errors=True)

    @model_validator(mode="before")
    @classmethod
    def _refuse_unknown_fields(cls, data: Any) -> Any:
        # Pydantic's own message does not say what is allowed.
        if isinstance(data, Mapping):
            for name in data:
                if name not in cls.model_fields:
                    raise PydanticCustomError("unknown_field", "{message}", {"message": unknown(name, cls.model_fields)})
        return data


def unknown(name: object, allowed: Mapping[str, Any] | list[str], what: str = "field") -> str:
    """Say that a name is not among those allowed, and which comes closest."""
    names = list(allowed)
    return f"unknown {what} {name!r}. Allowed: {listing(names)}.{nearest(name, names)}"


def as_tuple(value: Any) -> Any:
    """Take a list, all that YAML and JSON know, where a tuple is meant."""
    return tuple(value) if isinstance(value, list) else value


FromList = BeforeValidator(as_tuple)
Interval = Annotated[tuple[float, float], FromList]
"""Lower and upper bound, both included."""


def describe(value: Any) -> str:
    """Show a received value, shortened, with its type where that could be the fault."""
    text = repr(value)
    text = text if len(text) <= 80 else f"{text[:77]}..."
    return text if value is None or isinstance(value, dict | list) else f"{text} ({type(value).__name__})"


def explain(error: ValidationError, where: str) -> str:
    """Phrase pydantic's findings: the place, what is wrong, what was received."""
    lines = []
    for finding in error.errors(include_url=False)[:MAX_REPORTED]:
        place = ".".join(part for part in (where, *map(str, finding["loc"])) if part)
        if finding["type"] == "missing":
            text = "is missing."
        elif finding["type"] in CUSTOM:
            text = finding["msg"]
        else:
            text = f"{finding['msg'].removeprefix('Value error, ')}. Received: {describe(finding.get('input'))}."
        lines.append(f"{place}: {text}" if place else text)
    if error.error_count() > MAX_REPORTED:
        lines.append(f"... and {error.error_count() - MAX_REPORTED} more.")
    return "\n".join(lines)


CUSTOM = frozenset({"unknown_field", "kind", "argument"})
"""Types of findings whose message is already whole."""


def refuse(message: object, sort: str = "argument") -> PydanticCustomError:
    """Make a finding whose message is shown as it stands."""
    return PydanticCustomError(sort, "{message}", {"message": str(message)})


@contextmanager
def explained(where: str) -> Iterator[None]:
    """Turn a validation error raised inside into a ConfigError that begins with `where`."""
    try:
        yield
    except ValidationError as error:
        raise ConfigError(explain(error, where)) from None
