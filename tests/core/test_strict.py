"""The base of every schema: what it takes, what it refuses, and how the findings read."""

from typing import Annotated, Literal

import pytest
from pydantic import ValidationError

from hgq2_core import ConfigError
from hgq2_core.quantizers.config import Granularity
from hgq2_core.schema.base import (
    MAX_REPORTED,
    FromList,
    Interval,
    StrictModel,
    as_config_error,
    as_text,
    at_path,
    unknown,
    validation_error,
    validation_errors,
)


class Inner(StrictModel):
    size: int = 1


class Schema(StrictModel):
    number: float = 0.0
    whole: int = 0
    flag: bool = False
    text: str = ""
    sign: Literal[0, 1] = 1
    maybe_sign: Literal[0, 1] | None = None
    mode: Literal["RND", "TRN"] = "RND"
    either: Literal["all"] | Annotated[tuple[int, ...], FromList] = "all"
    size_or_sizes: int | Annotated[tuple[Inner, ...], FromList] = 0
    bounds: Interval = (0.0, 1.0)
    inner: Inner = Inner()
    by_name: dict[str, int] | None = None


def said(**fields: object) -> str:
    with pytest.raises(ConfigError) as caught, as_config_error("f.yaml"):
        Schema.model_validate(fields)
    return str(caught.value).removeprefix("f.yaml: ")


@pytest.mark.parametrize(
    ("field", "value", "kept"),
    [
        ("number", 3, 3.0),
        ("number", -0.5, -0.5),
        ("bounds", [0, 2], (0.0, 2.0)),
        ("bounds", (0, 2), (0.0, 2.0)),
        ("sign", 0, 0),
        ("maybe_sign", None, None),
        ("maybe_sign", 1, 1),
        ("either", "all", "all"),
        ("either", [1, 2], (1, 2)),
        ("size_or_sizes", 4, 4),
        ("size_or_sizes", [{"size": 2}], (Inner(size=2),)),
        ("inner", {"size": 3}, Inner(size=3)),
    ],
)
def test_taken(field: str, value: object, kept: object) -> None:
    found = getattr(Schema.model_validate({field: value}), field)
    assert found == kept and type(found) is type(kept)


@pytest.mark.parametrize(
    ("field", "value", "expected"),
    [
        ("number", "5", "number: must be a number. Received: '5' (str)."),
        ("number", True, "number: must be a number. Received: true (bool)."),
        ("number", None, "number: must be a number. Received: null."),
        ("number", float("nan"), "number: must be a finite number. Received: nan (float)."),
        ("number", float("inf"), "number: must be a finite number. Received: inf (float)."),
        ("whole", 5.0, "whole: must be an integer. Received: 5.0 (float)."),
        ("whole", True, "whole: must be an integer. Received: true (bool)."),
        ("flag", 1, "flag: must be true or false. Received: 1 (int)."),
        ("flag", "true", "flag: must be true or false. Received: 'true' (str)."),
        ("text", 1, "text: must be a string. Received: 1 (int)."),
        ("sign", True, "sign: not allowed. Received: true (bool). Allowed: 0, 1."),
        ("sign", 1.0, "sign: not allowed. Received: 1.0 (float). Allowed: 0, 1."),
        ("sign", "1", "sign: not allowed. Received: '1' (str). Allowed: 0, 1."),
        ("maybe_sign", False, "maybe_sign: not allowed. Received: false (bool). Allowed: 0, 1, null."),
        ("mode", "rnd", "mode: not allowed. Received: 'rnd' (str). Allowed: 'RND', 'TRN'. Did you mean 'RND'?"),
        ("either", "al", "either: not allowed. Received: 'al' (str). Allowed: 'all', a list. Did you mean 'all'?"),
        ("either", 3, "either: not allowed. Received: 3 (int). Allowed: 'all', a list."),
        ("either", [0, "x"], "either.1: must be an integer. Received: 'x' (str)."),
        ("size_or_sizes", "x", "size_or_sizes: not allowed. Received: 'x' (str). Allowed: an integer, a list."),
        ("size_or_sizes", [{"size": 1.0}], "size_or_sizes.0.size: must be an integer. Received: 1.0 (float)."),
        ("size_or_sizes", [{"sise": 1}], "size_or_sizes.0: unknown field 'sise'. Allowed: size. Did you mean 'size'?"),
        ("bounds", [0], "bounds.1: is missing."),
        ("bounds", [0, 1, 2], "bounds: must be a list of at most 2 items. Received: [0, 1, 2]."),
        ("bounds", [0, "1"], "bounds.1: must be a number. Received: '1' (str)."),
        ("inner", [], "inner: must be a mapping. Received: []."),
        ("inner", {"size": "1"}, "inner.size: must be an integer. Received: '1' (str)."),
        ("by_name", [], "by_name: must be a mapping. Received: []."),
        ("by_name", {1: 2}, "by_name.1: must be a string. Received: 1 (int)."),
        ("numbr", 1, f"{unknown('numbr', Schema.model_fields)}"),
    ],
)
def test_refused(field: str, value: object, expected: str) -> None:
    assert said(**{field: value}) == expected


def test_every_unknown_field_is_told() -> None:
    assert said(a=1, b=2).splitlines() == [
        unknown("a", Schema.model_fields),
        f"f.yaml: {unknown('b', Schema.model_fields)}",
    ]


def test_a_long_list_of_findings_is_cut() -> None:
    lines = said(by_name={str(index): "x" for index in range(MAX_REPORTED + 3)}).splitlines()
    assert len(lines) == MAX_REPORTED + 1
    assert lines[-1] == "... and 3 more."


def test_schemas_are_frozen() -> None:
    schema = Schema()
    with pytest.raises(ValidationError):
        schema.number = 1.0  # type: ignore[misc]


def test_the_allowed_values_of_granularity() -> None:
    class Holder(StrictModel):
        granularity: Granularity = "element"

    assert Holder.model_validate({"granularity": [0, -1]}).granularity == (0, -1)
    with pytest.raises(ConfigError) as caught, as_config_error(""):
        Holder.model_validate({"granularity": "rows"})
    assert str(caught.value) == (
        "granularity: not allowed. Received: 'rows' (str). Allowed: 'tensor', 'channel', 'element', a list."
    )


def test_findings_below_a_place() -> None:
    with pytest.raises(ConfigError) as caught, as_config_error("here"), at_path("a", 0):
        raise validation_errors([(("b",), "is wrong."), ((), "and so is this.")])
    assert str(caught.value) == "here: a.0.b: is wrong.\nhere: a.0: and so is this."


@pytest.mark.parametrize("error", [ConfigError("no."), validation_error("no.")])
def test_other_errors_become_findings_below(error: Exception) -> None:
    with pytest.raises(ConfigError, match=r"^here: a: no\.$"), as_config_error("here"), at_path("a"):
        raise error


def test_other_exceptions_pass() -> None:
    with pytest.raises(ZeroDivisionError), as_config_error("here"), at_path("a"):
        raise ZeroDivisionError


def test_describe_shortens() -> None:
    assert as_text("x" * 200) == "'" + "x" * 76 + "... (str)"
    assert as_text((1, 2)) == "[1, 2]"
    assert as_text(None) == "null"


def test_places_in_braces_do_not_disturb_the_message() -> None:
    with pytest.raises(ConfigError, match=r"^f: \{braces\} stay$"), as_config_error("f"):
        raise validation_errors([((), "{braces} stay")])
