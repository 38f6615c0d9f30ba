"""Configs drawn from the JSON schema: accepted, or refused only for what a schema cannot say."""

from __future__ import annotations

import re
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from hgq2_core import ConfigError, ModelConfig, json_schema
from hgq2_core.schema import base as strict

SCHEMA = json_schema()


@pytest.fixture(autouse=True, scope="module")
def every_error_is_listed():
    """So that none goes unseen behind "... and 1 more."."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(strict, "MAX_REPORTED", 1 << 20)
        yield


GRAPH = ("inputs", "outputs", "name", "layer", "model")
"""What names other parts of the graph; left out of lines, so that they make a chain."""

BEYOND_A_SCHEMA = (
    r"must lie within \w+_bounds",  # one field against another
    r"_bounds must be a lower and an upper bound",
    r"WRAP_SM is defined for signed formats",
    r"lowest must not exceed highest",
    r"names differ|must be unique",
    r"`test_fraction` and `validation_fraction` together|`folds?` ",
    r"`points` must be pairs whose epochs increase",
    r"A point is a pair of an epoch",
    r"has no logarithm|must be a power of two|one for each piece between two points",
    r"needs either `below` or `above`|leads out of the run directory",
    r"`target`|`features`|`classes`|`x_test` and `y_test`|`shape` must be one of",
    r"a column is |`categorical` of texts|`clip`|names (columns of )?inputs|names outputs|several inputs",
    r"are given both or not at all|is of a part that is given by|has the form of|part is in the file or in another one",
    r"metrics|directions",
    r"unknown (initializer|regularizer|constraint)",
    r"max_value ends a format|max_value must be a value of the format|block sets the exponents|the exponents must lie",
)


def typed(schema: Any) -> bool:
    """Whether a schema says what a value is; of Keras' own arguments it does not."""
    return bool(schema) and "pattern" not in schema


def drawn(schema: dict[str, Any], depth: int = 0) -> st.SearchStrategy[Any]:
    if "$ref" in schema:
        return st.deferred(lambda: drawn(SCHEMA["$defs"][schema["$ref"].rpartition("/")[2]], depth + 1))
    if "enum" in schema:
        return st.sampled_from(schema["enum"])
    if "const" in schema:
        return st.just(schema["const"])
    for union in ("anyOf", "oneOf"):
        if union in schema:
            return st.one_of([drawn(each, depth) for each in schema[union] if possible(each)])
    if schema.get("type") == "object":
        return of_object(schema, depth)
    return {"array": of_array, "integer": of_integer, "number": of_number}.get(schema["type"], of_rest)(schema)


def possible(schema: dict[str, Any]) -> bool:
    """Whether everything that must be given has a type, and it is no line that names another."""
    if any(name in schema.get("required", ()) for name in ("layer", "model")) and "kind" not in schema["properties"]:
        return False
    if schema.get("type") == "array" and not (schema.get("items") or "prefixItems" in schema):
        return False
    return all(typed(schema["properties"].get(name, {})) for name in schema.get("required", ()) if name != "kind")


def of_object(schema: dict[str, Any], depth: int) -> st.SearchStrategy[Any]:
    properties, required = schema.get("properties", {}), set(schema.get("required", ()))
    line = "kind" in properties and "inputs" in properties
    known = {name: drawn(each, depth + 1) for name, each in properties.items() if typed(each)}
    optional = {
        name: strategy
        for name, strategy in known.items()
        if name not in required and not (line and name in GRAPH) and name not in ("outputs", "name")
    }
    if "additionalProperties" in schema and schema["additionalProperties"] not in (False, True) and not properties:
        return st.dictionaries(
            st.sampled_from(["a"]), drawn(schema["additionalProperties"], depth + 1), min_size=1, max_size=1
        )
    if "patternProperties" in schema:
        (values,) = schema["patternProperties"].values()
        return st.dictionaries(st.sampled_from(["a"]), drawn(values, depth + 1), min_size=1, max_size=1)
    return st.fixed_dictionaries({name: known[name] for name in required if name in known}, optional=optional)


def of_array(schema: dict[str, Any]) -> st.SearchStrategy[Any]:
    if "prefixItems" in schema:
        return st.tuples(*(drawn(each) for each in schema["prefixItems"])).map(list)
    return st.lists(drawn(schema["items"]), min_size=schema.get("minItems", 0), max_size=schema.get("maxItems", 3))


def of_integer(schema: dict[str, Any]) -> st.SearchStrategy[int]:
    low = schema.get("minimum", schema.get("exclusiveMinimum", -5 if "minimum" not in schema else 0) + 1)
    return st.integers(low, max(low, min(schema.get("maximum", 40), 40)))


def of_number(schema: dict[str, Any]) -> st.SearchStrategy[float]:
    low, high = (
        schema.get("minimum", schema.get("exclusiveMinimum", -4)),
        schema.get("maximum", schema.get("exclusiveMaximum", 8)),
    )
    return st.floats(
        low, high, exclude_min="exclusiveMinimum" in schema, exclude_max="exclusiveMaximum" in schema, width=32
    )


def of_rest(schema: dict[str, Any]) -> st.SearchStrategy[Any]:
    return {"boolean": st.booleans(), "null": st.none(), "string": st.sampled_from(["a", "b"])}[schema["type"]]


def documents(part: str) -> st.SearchStrategy[dict[str, Any]]:
    """Small configs with a drawn entry in the place of one part."""

    def around(entry: Any) -> dict[str, Any]:
        line = {"kind": "dense", "units": 2, **({"kernel_quantizer": entry} if part == "quantizer" else {})}
        training = {"loss": "mean_squared_error", **({part: entry} if part in ("optimizer", "loss") else {})}
        return {
            "model": {"inputs": {"a": {"shape": [4]}}, "layers": [entry, line] if part == "layer" else [line]},
            "training": {**training, **({"callbacks": [entry]} if part == "callback" else {})},
            **({"data": entry} if part == "dataset" else {}),
        }

    return drawn(SCHEMA["$defs"][part]).map(around)


def accepted(document: dict[str, Any]) -> bool:
    try:
        ModelConfig.parse(document)
    except ConfigError as error:
        unexplained = [line for line in str(error).splitlines() if not re.search("|".join(BEYOND_A_SCHEMA), line)]
        assert not unexplained, "\n".join(unexplained)
        return False
    return True


PARTS = pytest.mark.parametrize("part", ["quantizer", "layer", "dataset", "callback", "optimizer", "loss"])


@PARTS
@settings(max_examples=40, suppress_health_check=list(HealthCheck))
@given(data=st.data())
def test_what_the_schema_admits_is_accepted_or_refused_for_what_it_cannot_say(part: str, data: st.DataObject) -> None:
    accepted(data.draw(documents(part)))


@PARTS
@pytest.mark.hypothesis
def test_much_of_what_the_schema_admits_is_accepted(part: str) -> None:
    found: list[bool] = []

    @settings(max_examples=40, suppress_health_check=list(HealthCheck), database=None)
    @given(documents(part))
    def collect(document: dict[str, Any]) -> None:
        found.append(accepted(document))

    collect()
    assert sum(found) >= len(found) / 5
