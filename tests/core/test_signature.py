"""Schemas from typed constructors."""

from __future__ import annotations

import inspect
from typing import TYPE_CHECKING, Annotated, Any, TypedDict, Unpack

import keras
import pytest
from pydantic import Field

from hgq2_core import ConfigError, PluginError
from hgq2_core.schema.base import as_config_error
from hgq2_core.schema.signature import bind, parameters, schema_of

if TYPE_CHECKING:
    from fractions import Fraction

Positive = Annotated[int, Field(gt=0)]


class RootKwargs(TypedDict, total=False):
    name: str | None
    beta: float | None


class Root:
    def __init__(self, *, beta: float | None = 0.5, **kwargs: Unpack[RootKwargs]) -> None: ...


class MiddleKwargs(RootKwargs, total=False):
    scale: float


class Middle(Root):
    def __init__(self, *, scale: float = 2.0, **kwargs: Unpack[RootKwargs]) -> None: ...


class NoConstructor(Middle): ...


class Leaf(NoConstructor):
    """The leaf."""

    def __init__(self, size: Positive, flag: bool = True, **kwargs: Unpack[MiddleKwargs]) -> None: ...


class Closed(Leaf):
    def __init__(self, size: int) -> None: ...


def test_arguments_are_collected_along_the_bases() -> None:
    found = parameters(Leaf)
    assert list(found) == ["size", "flag", "scale", "beta", "name"]
    assert found["size"].annotation == Positive
    assert found["size"].required and not found["flag"].required
    assert [name for name, parameter in found.items() if not parameter.keyword_only] == ["size", "flag"]


def test_a_base_states_the_default_that_a_typed_dictionary_lacks() -> None:
    found = parameters(Leaf)
    assert (found["scale"].default, found["beta"].default, found["name"].default) == (2.0, 0.5, None)


def test_collection_ends_where_nothing_is_handed_on() -> None:
    assert list(parameters(Closed)) == ["size"]


def test_keras_own_constructors_are_not_read() -> None:
    class Layer(keras.layers.Layer):
        def __init__(self, units: int, **kwargs: Unpack[RootKwargs]) -> None: ...

    assert list(parameters(Layer)) == ["units", "name", "beta"]


def test_hidden_arguments() -> None:
    class Hidden:
        not_in_schema = ("data",)

        def __init__(self, size: int, data: Any = None) -> None: ...

    assert list(parameters(Hidden)) == ["size"]


def test_the_schema() -> None:
    schema = schema_of(Leaf)
    assert schema.__name__ == "Leaf" and inspect.getdoc(schema) == "The leaf."
    assert schema_of(Leaf) is schema
    assert schema.model_validate({"size": 3, "name": "x"}).model_dump() == {
        "size": 3,
        "flag": True,
        "scale": 2.0,
        "beta": 0.5,
        "name": "x",
    }
    said = r"^Leaf: size: must be greater than 0\. Received: 0 \(int\)\.$"
    with pytest.raises(ConfigError, match=said), as_config_error("Leaf"):
        schema.model_validate({"size": 0})


def test_a_class_without_constructor() -> None:
    class Nothing: ...

    assert parameters(Nothing) == {}
    with pytest.raises(ConfigError, match=r"unknown field 'x'\. Allowed: none\."), as_config_error(""):
        schema_of(Nothing).model_validate({"x": 1})


def test_an_argument_without_annotation() -> None:
    class Untyped:
        def __init__(self, size) -> None: ...  # type: ignore[no-untyped-def]

    with pytest.raises(PluginError, match=r"Untyped\(\): argument `size` has no annotation\.$"):
        parameters(Untyped)


def test_positional_star_arguments() -> None:
    class Star:
        def __init__(self, *sizes: int) -> None: ...

    with pytest.raises(PluginError, match=r"Star\(\): \*sizes cannot be described by a schema; name the arguments\.$"):
        schema_of(Star)


def test_untyped_keyword_arguments() -> None:
    class Loose:
        def __init__(self, size: int, **kwargs) -> None: ...  # type: ignore[no-untyped-def]

    with pytest.raises(PluginError, match=r"Loose\(\): argument `kwargs` has no annotation\.$"):
        parameters(Loose)


def test_an_annotation_that_only_a_type_checker_sees() -> None:
    class Unseen:
        def __init__(self, ratio: Fraction) -> None: ...

    with pytest.raises(PluginError, match=r"Unseen\(\): name 'Fraction' is not defined; import what"):
        parameters(Unseen)


def test_an_annotation_that_no_schema_describes() -> None:
    class Odd:
        def __init__(self, model: keras.Model) -> None: ...

    with pytest.raises(PluginError, match=r"Odd\(\): its arguments cannot be described by a schema: "):
        schema_of(Odd)


def test_positional_arguments_get_their_names() -> None:
    assert bind(Leaf, (3, False), {"beta": 1.0}) == {"size": 3, "flag": False, "beta": 1.0}
    with pytest.raises(TypeError, match=r"^Leaf\(\) takes 2 positional arguments\. Received: 3\.$"):
        bind(Leaf, (3, True, 1.0), {})
    with pytest.raises(TypeError, match=r"^Leaf\(\) got several values for argument `size`\.$"):
        bind(Leaf, (3,), {"size": 4})
