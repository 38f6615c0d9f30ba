"""Descriptions of kinds for the command line, from their schemas, docstrings and plugins."""

from __future__ import annotations

import inspect
import json
import re
from collections.abc import Iterator, Mapping
from dataclasses import asdict, dataclass
from importlib import metadata
from typing import Any

from hgq2_core.discovery.loading import CONFIG_GROUPS, CORE, NAMED_GROUPS, singular
from hgq2_core.discovery.registry import registry
from hgq2_core.errors import KindError, listing
from hgq2_core.quantizers.config import QuantizerConfig
from hgq2_core.schema.base import DEFINITION, PYTHON_WORDS, StrictModel, as_yaml
from hgq2_core.schema.keras_layers import snake
from hgq2_core.schema.keras_objects import (
    is_keras_kind,
    keras_class,
    keras_kinds,
    keras_parameters,
    named_classes,
)
from hgq2_core.schema.signature import parameters, schema_of
from hgq2_core.schema.versions import version_of

_ARGUMENT = re.compile(r"^(\*{0,2}\w+(?:, \w+)*)(?: \([^)]*\))?: (.*)$")


@dataclass(frozen=True)
class Field:
    """One field of a kind: its type and default as text, and its description in the docstring."""

    name: str
    type: str
    default: str | None
    description: str


@dataclass(frozen=True)
class Description:
    """A kind: what sort of thing it is, where it comes from, the first sentence of its docstring, and its fields."""

    kind: str
    sort: str
    distribution: str
    version: str
    schema_version: int
    summary: str
    fields: tuple[Field, ...]
    facts: Mapping[str, Any]

    def to_dict(self) -> dict[str, Any]:
        """Return plain data."""
        return asdict(self)


def describe(kind: str) -> Description:
    """Describe a kind.

    Args:
        kind: full or short, of any group.

    Raises:
        KindError: the kind is unknown, or ambiguous; the message lists the candidates.
        PluginError: its plugin is missing or failed.
    """
    try:
        group, full = find(kind)
    except KindError as error:
        return _of_keras_name(kind, error)
    if group in NAMED_GROUPS and full != kind and group in named_classes(kind):
        return _of_keras_name(kind, KindError(kind))  # in a config, too, Keras' own comes before a plugin's short name
    if is_keras_kind(full):
        cls = keras_class(group, full)
        return _keras_description(full, group, cls)
    cls = registry().load(group, full)
    owners = (plugin for plugin in registry().plugins if plugin.name == full.partition(".")[0])
    owner = next(((plugin.distribution, plugin.version) for plugin in owners), (CORE, metadata.version(CORE)))
    fields = tuple(_fields(cls))
    # Facts need an instance, so they are shown only for configs that can be built without arguments.
    buildable = issubclass(cls, QuantizerConfig) and all(field.default is not None for field in fields)
    facts = cls().facts() if buildable else {}
    return Description(full, singular(group), *owner, version_of(cls), _summary(cls), fields, facts)


def _keras_description(kind: str, group: str, cls: type) -> Description:
    fields = tuple(_of_keras(cls))
    return Description(kind, singular(group), "keras", _keras_version(), 1, _summary(cls), fields, {})


def _of_keras_name(kind: str, error: KindError) -> Description:
    """Describe an optimizer, loss, metric or schedule of Keras; raise the error if the name is none of these."""
    found = named_classes(kind)
    if not found:
        raise error
    if len(found) > 1:
        raise KindError(
            f"ambiguous kind. Received: {kind!r}. Allowed: {listing(f'{group}.{kind}' for group in found)}."
        )
    ((group, cls),) = found.items()
    return _keras_description(snake(cls.__name__), group, cls)


def all_kinds() -> Iterator[str]:
    """Return every kind of every group, in full."""
    for group in CONFIG_GROUPS:
        yield from (name for name in registry().names(group) if not is_keras_kind(name))
        yield from keras_kinds(group)


def find(kind: str) -> tuple[str, str]:
    """Return the group of a kind and its full name, also for kinds of Keras.

    Args:
        kind: full or short, of any group.

    Raises:
        KindError: the kind is unknown, or ambiguous; the message lists the candidates.
        PluginError: its plugin is missing or failed.
    """
    for group in CONFIG_GROUPS:
        if kind in keras_kinds(group):
            return group, kind
        if f"keras.{kind}" in keras_kinds(group):
            raise KindError(f"unknown kind. Received: {kind!r}. Keras' own have a prefix: {f'keras.{kind}'!r}.")
    if is_keras_kind(kind):
        allowed = [name for group in CONFIG_GROUPS for name in keras_kinds(group)]
        raise KindError(f"unknown Keras kind. Received: {kind!r}. Allowed: {listing(allowed)}.")
    return registry().find(kind)


def _keras_version() -> str:
    import keras

    return str(keras.__version__)


def _summary(cls: type) -> str:
    text = inspect.getdoc(cls) or ""
    return " ".join(text.partition("\n\n")[0].split())


def _fields(cls: Any) -> Iterator[Field]:
    model = cls if issubclass(cls, StrictModel) else schema_of(cls)
    schema = model.model_json_schema()
    required, words = set(schema.get("required", ())), _documented(cls)
    order = schema["properties"] if issubclass(cls, StrictModel) else parameters(cls)
    for name in order:
        entry = schema["properties"][name]
        default = None if name in required else json.dumps(entry.get("default"))
        described = in_yaml_words(words.get(name) or entry.get("description", ""))
        yield Field(name, in_words(entry, schema.get("$defs", {})), default, described)


def _of_keras(cls: type) -> Iterator[Field]:
    words = _documented(cls)
    for name, default in keras_parameters(cls).items():
        empty = default is inspect.Parameter.empty
        yield Field(name, "", None if empty else as_yaml(default), in_yaml_words(words.get(name, "")))


def _documented(cls: type) -> dict[str, str]:
    """Return the description of each argument from the docstrings along the MRO; the most derived class wins."""
    texts: dict[str, str] = {}
    for owner in cls.__mro__:
        if owner is object:
            break
        for name, text in _arguments(inspect.cleandoc(vars(owner).get("__doc__") or "")):
            texts.setdefault(name, text)
    return texts


def _arguments(text: str) -> Iterator[tuple[str, str]]:
    section = re.search(r"^(?:Args|Arguments):\n(.*?)(?=^\S|\Z)", text, re.MULTILINE | re.DOTALL)
    names, lines = list[str](), list[str]()
    for line in inspect.cleandoc(section.group(1)).splitlines() if section else ():
        begun = _ARGUMENT.match(line)
        if begun:
            yield from ((name, " ".join(lines)) for name in names)
            names, lines = begun.group(1).split(", "), [begun.group(2)]
        else:
            lines.append(line.strip())
    yield from ((name, " ".join(lines)) for name in names)


def in_yaml_words(text: str) -> str:
    """Return a docstring with Python's constants written as in a config file: `null`, `true` and `false`."""
    return re.sub(r"\b(None|True|False)\b", lambda word: PYTHON_WORDS[word[0]], text)


def in_words(schema: Mapping[str, Any], definitions: Mapping[str, Any]) -> str:
    """Return the values that a JSON schema allows, as text.

    Args:
        schema: the schema of one value.
        definitions: the definitions that its references name.
    """
    if DEFINITION in schema:
        return f"a {schema[DEFINITION]}"
    if "$ref" in schema:
        return in_words(definitions[schema["$ref"].rpartition("/")[2]], definitions)
    if "enum" in schema:
        return " | ".join("null" if value is None else str(value) for value in schema["enum"])
    if "const" in schema:
        return str(schema["const"])
    if "anyOf" in schema:
        return " | ".join(dict.fromkeys(in_words(each, definitions) for each in schema["anyOf"]))
    return _typed(schema, definitions)


def _typed(schema: Mapping[str, Any], definitions: Mapping[str, Any]) -> str:
    kind = schema.get("type", "any value")
    if kind == "array":
        items = schema.get("prefixItems")
        if items:
            return f"[{', '.join(in_words(each, definitions) for each in items)}]"
        return f"list of {in_words(schema.get('items', {}), definitions)}"
    if kind == "object":
        return f"mapping of {', '.join(schema['properties'])}" if schema.get("properties") else "mapping"
    bounds = (("minimum", "≥"), ("exclusiveMinimum", ">"), ("maximum", "≤"), ("exclusiveMaximum", "<"))
    # Older versions of pydantic write the bounds of a number as floats.
    limits = [f"{sign} {f'{schema[name]:,}'.removesuffix('.0')}" for name, sign in bounds if name in schema]
    return " ".join([{"string": "text", "boolean": "true | false"}.get(kind, kind), ", ".join(limits)]).strip()
