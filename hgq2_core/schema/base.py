"""The base of every schema, and the translation of pydantic's errors into those of this project."""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Annotated, Any, Literal, Self, get_args, get_origin

from pydantic import (
    BaseModel,
    BeforeValidator,
    ConfigDict,
    ValidationError,
    ValidationInfo,
    ValidatorFunctionWrapHandler,
    field_validator,
    model_validator,
)
from pydantic_core import ErrorDetails, InitErrorDetails, PydanticCustomError

from hgq2_core.errors import ConfigError, listing, nearest

MAX_REPORTED = 10

WHOLE, PLACED = "whole", "placed"
"""Types of errors whose message is shown unchanged; a `PLACED` one may name a place that the value does not have."""

WANTED: Mapping[str, str] = {
    "bool_type": "true or false",
    "dict_type": "a mapping",
    "finite_number": "a finite number",
    "float_type": "a number",
    "int_from_float": "an integer",
    "int_type": "an integer",
    "list_type": "a list",
    "mapping_type": "a mapping",
    "model_type": "a mapping",
    "model_attributes_type": "a mapping",
    "string_type": "a string",
    "tuple_type": "a list",
}
"""What a value must be, by the type of pydantic's error; in the terms of YAML and JSON."""

PYTHON_WORDS: Mapping[str, str] = {"None": "null", "True": "true", "False": "false"}
"""Python's constants as YAML and JSON write them."""

DEFINITION = "x-hgq2-definition"
"""The key that `reference` uses."""

Location = tuple[int | str, ...]


class StrictModel(BaseModel):
    """A frozen schema that refuses unknown fields, `"5"` for 5, True for 1, and NaN."""

    model_config = ConfigDict(
        extra="forbid",
        frozen=True,
        strict=True,
        allow_inf_nan=False,
        hide_input_in_errors=True,
        protected_namespaces=(),
    )

    @model_validator(mode="before")
    @classmethod
    def _refuse_unknown_fields(cls, data: Any) -> Any:
        # Pydantic's own message does not say what is allowed.
        if isinstance(data, Mapping):
            unexpected = [name for name in data if name not in cls.model_fields]
            if unexpected:
                raise validation_errors(((), unknown(name, cls.model_fields)) for name in unexpected)
        return data

    @field_validator("*", mode="wrap")
    @classmethod
    def _check_field(cls, value: Any, check: ValidatorFunctionWrapHandler, info: ValidationInfo) -> Any:
        _refuse_lookalikes(cls.model_fields[info.field_name or ""].annotation, value)
        try:
            return check(value)
        except ValidationError as error:
            raise _without_branches(error, value) from None


Strict = StrictModel
"""Former name, for plugins that import it."""


def unknown(name: object, allowed: Iterable[str], what: str = "field") -> str:
    """Return a message that a name is not allowed, with the nearest allowed one."""
    names = list(allowed)
    return f"unknown {what} {name!r}. Allowed: {listing(names)}.{nearest(name, names)}"


def as_tuple(value: Any) -> Any:
    """Return a list as a tuple, since YAML and JSON have only lists; other values are returned unchanged."""
    return tuple(value) if isinstance(value, list) else value


FromList = BeforeValidator(as_tuple)
Interval = Annotated[tuple[float, float], FromList]
"""Lower and upper bound, both included."""


def as_yaml(value: Any) -> str:
    """Return a value as a config file writes it, on one line: `null`, `true` and `false`, tuples as lists."""
    if value is None or isinstance(value, bool):
        return json.dumps(value)
    if isinstance(value, Mapping):
        return f"{{{', '.join(f'{as_yaml(key)}: {as_yaml(item)}' for key, item in value.items())}}}"
    if isinstance(value, list | tuple):
        return f"[{', '.join(map(as_yaml, value))}]"
    return repr(value)


def as_text(value: Any) -> str:
    """Return a received value as text, shortened, with its type if that could be the error."""
    text = as_yaml(value)
    text = text if len(text) <= 80 else f"{text[:77]}..."
    return text if value is None or isinstance(value, Mapping | list | tuple) else f"{text} ({type(value).__name__})"


def explain(error: ValidationError, where: str) -> str:
    """Return a message with one line per error: the place, what is wrong, what was received, what is allowed."""
    errors = error.errors(include_url=False)
    lines = [
        ": ".join(part for part in (where, _dotted(finding["loc"]), format_error(finding)) if part)
        for finding in errors[:MAX_REPORTED]
    ]
    if len(errors) > MAX_REPORTED:
        lines.append(f"... and {len(errors) - MAX_REPORTED} more.")
    return "\n".join(lines)


def _dotted(place: Location) -> str:
    return ".".join(str(part) for part in place if part != "[key]")


def format_error(*alternatives: ErrorDetails) -> str:
    """Return the message of one error, or of the errors that the branches of a union report about one value."""
    first = alternatives[0]
    if first["type"] in (WHOLE, PLACED, "missing"):
        return "is missing." if first["type"] == "missing" else first["msg"]
    received = f"Received: {as_text(first['input'])}."
    if first["type"] == "unexpected_keyword_argument":
        return f"is no field. {received}"
    choices = [choice for finding in alternatives for choice in _choices(finding)]
    if len(alternatives) > 1 or first["type"] == "literal_error":
        allowed = ", ".join(dict.fromkeys(wanted for finding in alternatives for wanted in _wanted(finding)))
        return f"not allowed. {received} Allowed: {allowed}.{nearest(first['input'], choices)}"
    if first["type"] == "value_error":
        text = first["msg"].removeprefix("Value error, ").rstrip(".")
        return f"{text}." if "Received:" in text else f"{text}. {received}"
    return f"must be {_wanted(first)[0]}. {received}"


def _wanted(finding: ErrorDetails) -> list[str]:
    if finding["type"] == "literal_error":
        words = re.findall(r"'[^']*'|[^\s,']+(?=,| or |$)", finding["ctx"]["expected"])
        return [PYTHON_WORDS.get(word, word) for word in words]
    if finding["type"] == "string_pattern_mismatch":
        return [f"a string that matches {finding['ctx']['pattern']}"]
    if finding["type"] in ("string_too_short", "string_too_long", "too_short", "too_long"):
        size = finding["ctx"].get("min_length", finding["ctx"].get("max_length"))
        limit = "at least" if finding["type"].endswith("short") else "at most"
        if finding["type"].startswith("string"):
            return [f"a string of {limit} {size} character{'' if size == 1 else 's'}"]
        collection = "mapping" if finding["ctx"]["field_type"] == "Dictionary" else "list"
        return [f"a {collection} of {limit} {size} item{'' if size == 1 else 's'}"]
    return [WANTED.get(finding["type"], finding["msg"].removeprefix("Input should be "))]


def _choices(finding: ErrorDetails) -> list[str]:
    if finding["type"] != "literal_error":
        return []
    return [text.strip("'") for text in _wanted(finding) if text.startswith("'")]


def validation_error(message: object, error_type: str = WHOLE) -> PydanticCustomError:
    """Return an error to raise inside a validator; its message is shown unchanged."""
    return PydanticCustomError(error_type, "{message}", {"message": str(message)})


def reference(name: str) -> dict[str, Any]:
    """Return a reference to a definition of `hgq2_core.json_schema()`, for the schema of an annotation."""
    # Not `$ref`: pydantic looks those up among its own definitions.
    return {DEFINITION: name}


def validation_errors(errors: Iterable[tuple[Location, object]]) -> ValidationError:
    """Return an error to raise inside a validator, with several messages.

    Args:
        errors: places, relative to the value that is validated, and messages.
    """
    details = [
        InitErrorDetails(type=validation_error(message, PLACED), loc=place, input=None) for place, message in errors
    ]
    return ValidationError.from_exception_data("findings", details)


@contextmanager
def at_path(*place: int | str) -> Iterator[None]:
    """Prefix the places of validation errors raised inside; other errors of this project become validation errors."""
    try:
        yield
    except ValidationError as error:
        errors = error.errors(include_url=False)
        raise validation_errors(((*place, *finding["loc"]), format_error(finding)) for finding in errors) from None
    except (ConfigError, PydanticCustomError) as error:
        raise validation_errors([(place, error)]) from None


@contextmanager
def as_config_error(where: str) -> Iterator[None]:
    """Turn a validation error raised inside into a ConfigError that begins with `where`."""
    try:
        yield
    except ValidationError as error:
        raise ConfigError(explain(error, where)) from None


explained = as_config_error
"""Former name, for plugins that import it."""


def _refuse_lookalikes(annotation: Any, value: Any) -> None:
    # True == 1 == 1.0, and pydantic's Literal compares by value; alternatives that are types check themselves.
    options = _literals(annotation) if isinstance(value, bool | int | float) else ()
    if value in options and type(value) not in {type(option) for option in options if option == value}:
        allowed = ", ".join(map(as_yaml, options))
        raise validation_error(f"not allowed. Received: {as_text(value)}. Allowed: {allowed}.")


def _literals(annotation: Any) -> tuple[Any, ...]:
    if annotation is type(None):
        return (None,)
    if get_origin(annotation) is Literal:
        return get_args(annotation)
    branches = () if get_origin(annotation) in (Annotated, None) else get_args(annotation)
    options = [_literals(branch) for branch in branches]
    return tuple(option for options in options for option in options) if all(options) else ()


def _without_branches(error: ValidationError, value: Any) -> ValidationError:
    """Merge the errors of a union's branches, which pydantic lists one by one under invented places."""
    unions: dict[Location, dict[int | str, list[tuple[Location, ErrorDetails]]]] = {}
    merged: list[tuple[Location, object]] = []
    errors = error.errors(include_url=False)
    rightly = [finding for finding in errors if not _miscounted(finding)]
    for finding in rightly:
        place, branch, inside = _split_place(finding, value)
        if branch is None:
            merged.append((place, format_error(finding)))
        else:
            unions.setdefault(place, {}).setdefault(branch, []).append((inside, finding))
    if not unions and len(rightly) == len(errors):
        return error
    for place, branches in unions.items():
        # The branch whose errors lie inside the value is the one that was meant.
        meant = next((found for found in branches.values() if any(inside for inside, _ in found)), None)
        if meant:
            merged += [(place + inside, format_error(finding)) for inside, finding in meant]
        else:
            merged.append((place, format_error(*(finding for found in branches.values() for _, finding in found))))
    return validation_errors(merged)


def _miscounted(finding: ErrorDetails) -> bool:
    # Pydantic counts only valid items, and reports the invalid ones separately.
    return finding["type"] == "too_short" and len(finding["input"]) >= finding["ctx"]["min_length"]


def _split_place(finding: ErrorDetails, value: Any) -> tuple[Location, int | str | None, Location]:
    """Split a place at the first part that is not in the value, which names the branch of a union."""
    place = finding["loc"]
    for depth, part in enumerate(place):
        if isinstance(value, Mapping) and part in value:
            value = value[part]
        elif isinstance(value, Sequence) and not isinstance(value, str) and part in range(len(value)):
            value = value[int(part)]
        elif finding["type"] in ("missing", PLACED) and depth == len(place) - 1:
            break
        elif part == "[key]":
            return place[:depth], None, ()
        else:
            return place[:depth], part, place[depth + 1 :]
    return place, None, ()


class Document(StrictModel):
    """The schema of a whole file."""

    @classmethod
    def parse(cls, document: Mapping[str, Any], where: str = "") -> Self:
        """Check plain data.

        Args:
            document: the contents of a file.
            where: the file, for messages.

        Raises:
            ConfigError: the data are invalid; lists every error with its place.
        """
        with as_config_error(where):
            return cls.model_validate(document)
