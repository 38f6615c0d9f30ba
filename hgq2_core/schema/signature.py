"""Schemas from typed constructors: the signature alone declares the arguments of a layer, callback or data set."""

from __future__ import annotations

import functools
import inspect
import sys
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, replace
from types import SimpleNamespace
from typing import Any, TypeVar, Unpack, cast, get_args, get_origin, get_type_hints

from pydantic import PydanticUserError, create_model

from hgq2_core.errors import PluginError
from hgq2_core.schema.base import StrictModel

F = TypeVar("F", bound=Callable[..., Any])


def cached(function: F) -> F:
    """Return a function of a class with a cache of its results."""
    # Keeps the signature: `functools.cache` is typed for hashable arguments, which type checkers deny of classes.
    return cast(F, functools.cache(function))


@dataclass(frozen=True)
class Parameter:
    """One argument of a constructor.

    Args:
        name: name of the argument.
        annotation: its type, with metadata.
        default: its default; `inspect.Parameter.empty` if there is none.
        keyword_only: whether it cannot be passed by position.
    """

    name: str
    annotation: Any
    default: Any
    keyword_only: bool

    @property
    def required(self) -> bool:
        """Whether it has no default."""
        return self.default is inspect.Parameter.empty


@cached
def parameters(cls: type) -> Mapping[str, Parameter]:
    """Collect the arguments of a constructor along the MRO, as far as `**kwargs` pass them on.

    Args:
        cls: a class whose constructors are typed; `**kwargs` at the end of the chain is `Unpack` of a TypedDict.

    Returns:
        The parameters by name, the most derived first.

    Raises:
        PluginError: an argument has no annotation, or the constructor takes `*args`.
    """
    arguments: dict[str, Parameter] = {}
    keywords: dict[str, Parameter] = {}
    for owner in cls.__mro__:
        if owner is object or owner.__module__.partition(".")[0] == "keras":
            break
        if "_fields" in vars(owner):
            for parameter in _evaluated(owner):
                arguments.setdefault(parameter.name, parameter)
            continue
        if "__init__" not in vars(owner):
            continue
        for parameter in _own(owner):
            arguments.setdefault(parameter.name, parameter)
        handed_on = _keywords(owner)
        if handed_on is None:
            break
        for parameter in handed_on:
            keywords.setdefault(parameter.name, parameter)
    # The declaration of a base class has the default of an argument, which a TypedDict lacks.
    hidden = getattr(cls, "not_in_schema", ())
    everything = {**arguments, **{name: parameter for name, parameter in keywords.items() if name not in arguments}}
    return {name: parameter for name, parameter in everything.items() if name not in hidden}


def fields_of(cls: type) -> Mapping[str, Parameter]:
    """Return the fields of a class and its bases, the most derived first, with annotations as they are written."""
    fields: dict[str, Parameter] = {}
    for owner in cls.__mro__:
        for name, field in vars(owner).get("_fields", {}).items():
            fields.setdefault(name, field)
    return fields


def evaluated_fields(cls: type) -> Iterator[Parameter]:
    """Return the fields of a class and its bases, the most derived first; see `hgq2_core.schema.fields`."""
    pending = dict(fields_of(cls))
    for owner in cls.__mro__:
        if "_fields" in vars(owner):
            yield from (field for field in _evaluated(owner) if pending.pop(field.name, None) is not None)


def _evaluated(owner: type) -> Iterator[Parameter]:
    fields: Mapping[str, Parameter] = vars(owner)["_fields"]
    holder = SimpleNamespace(__annotations__={name: field.annotation for name, field in fields.items()})
    hints = _hints(owner, holder, vars(sys.modules[owner.__module__]))
    return (replace(field, annotation=hints[name]) for name, field in fields.items())


def _hints(owner: type, annotated: Any, names: dict[str, Any] | None = None) -> dict[str, Any]:
    try:
        return get_type_hints(annotated, names, include_extras=True)
    except NameError as error:
        raise PluginError(
            f"{_name_of(owner)}(): {error}; import what its annotations name, also while no type checker runs."
        ) from error


def _own(owner: type) -> Iterator[Parameter]:
    for item, annotation in _annotated(owner):
        if item.kind is not inspect.Parameter.VAR_KEYWORD:
            yield Parameter(item.name, annotation, item.default, item.kind is inspect.Parameter.KEYWORD_ONLY)


def _keywords(owner: type) -> list[Parameter] | None:
    # The arguments of `**kwargs: Unpack[SomeTypedDict]`; None if there are no `**kwargs`.
    for item, annotation in _annotated(owner):
        if item.kind is inspect.Parameter.VAR_KEYWORD:
            if get_origin(annotation) is not Unpack:
                return []
            (keywords,) = get_args(annotation)
            hints = get_type_hints(keywords, include_extras=True)
            return [Parameter(name, hint, None, keyword_only=True) for name, hint in hints.items()]
    return None


def _annotated(owner: type) -> Iterator[tuple[inspect.Parameter, Any]]:
    init = vars(owner)["__init__"]
    hints = _hints(owner, init)
    for item in list(inspect.signature(init).parameters.values())[1:]:
        where = f"{_name_of(owner)}(): "
        if item.kind is inspect.Parameter.VAR_POSITIONAL:
            raise PluginError(f"{where}*{item.name} cannot be described by a schema; name the arguments.")
        if item.name not in hints:
            raise PluginError(f"{where}argument `{item.name}` has no annotation.")
        yield item, hints[item.name]


def _name_of(cls: type) -> str:
    return f"{cls.__module__}.{cls.__qualname__}"


@cached
def schema_of(cls: type, without: frozenset[str] = frozenset()) -> type[StrictModel]:
    """Return the strict schema of a class, made from its typed constructor.

    Args:
        cls: the class; see `parameters`.
        without: arguments to leave out.

    Raises:
        PluginError: a schema cannot describe an argument.
    """
    fields: dict[str, Any] = {
        parameter.name: (parameter.annotation, ... if parameter.required else parameter.default)
        for parameter in parameters(cls).values()
        if parameter.name not in without
    }
    try:
        return create_model(
            cls.__name__, __base__=StrictModel, __module__=cls.__module__, __doc__=inspect.getdoc(cls), **fields
        )
    except (PydanticUserError, NameError) as error:
        raise PluginError(f"{_name_of(cls)}(): its arguments cannot be described by a schema: {error}") from error


def bind(cls: type, args: tuple[Any, ...], kwargs: Mapping[str, Any]) -> dict[str, Any]:
    """Return the arguments of a call to the constructor by name.

    Raises:
        TypeError: there are too many positional arguments, or one is passed twice.
    """
    names = [parameter.name for parameter in parameters(cls).values() if not parameter.keyword_only]
    if len(args) > len(names):
        raise TypeError(f"{cls.__name__}() takes {len(names)} positional arguments. Received: {len(args)}.")
    bound = dict(zip(names, args, strict=False))
    for name, value in kwargs.items():
        if name in bound:
            raise TypeError(f"{cls.__name__}() got several values for argument `{name}`.")
        bound[name] = value
    return bound
