"""The JSON schema of config files, for completion and checks in editors; it covers every kind that is installed."""

from __future__ import annotations

import inspect
from collections.abc import Iterable, Iterator, Mapping
from typing import Any

from pydantic import BaseModel, PydanticUserError

from hgq2_core.config.model import ModelConfig
from hgq2_core.config.specs import LOSSES, METRICS, NAME, OPTIMIZERS, SCHEDULES, KerasKinds
from hgq2_core.discovery.loading import singular
from hgq2_core.discovery.registry import CORE_KINDS, registry
from hgq2_core.errors import KindError, PluginError
from hgq2_core.schema.base import DEFINITION, reference
from hgq2_core.schema.keras_objects import (
    classes_by_name,
    is_keras_kind,
    keras_class,
    keras_kinds,
    keras_parameters,
)
from hgq2_core.schema.signature import schema_of
from hgq2_core.schema.versions import VERSION, version_of

DIALECT = "https://json-schema.org/draft/2020-12/schema"

RATE = "learning_rate"
"""The argument of optimizers that may be a schedule."""

OF_EVERY_LAYER: Mapping[str, Any] = {
    "name": {"type": ["string", "null"], "pattern": f"^(?:{NAME.pattern})$", "default": None},
    "inputs": {
        "anyOf": [{"type": "string"}, {"type": "array", "items": {"type": "string"}, "minItems": 1}, {"type": "null"}],
        "default": None,
        "description": "Names of the inputs and layers whose outputs this layer takes; by default the previous layer.",
    },
}
"""Fields that a layer has in addition to the arguments of its kind."""

OTHER_NODES: Mapping[str, Any] = {
    "layer": {"type": "string", "description": "Name of an earlier layer to apply again, with the same weights."},
    "model": {"$ref": "#/$defs/ModelSection", "description": "A nested model."},
}
"""Fields that a node of the model can have in place of a kind."""

Schema = dict[str, Any]


def json_schema() -> Schema:
    """Return the JSON schema (draft 2020-12) of a model's config.

    Returns:
        The schema. Under `$defs`, `quantizer`, `layer`, `dataset`, `callback`, `optimizer`, `loss`, `metric` and
        `schedule` list the installed kinds; a kind whose class cannot be loaded is left out.
    """
    definitions: Schema = {}
    document = _of_model(ModelConfig, definitions)
    for group in ("quantizers", "layers", "datasets", "callbacks"):
        more = OF_EVERY_LAYER if group == "layers" else {}
        entries = [_entry(names, schema, more) for names, schema in _registered(group, definitions)]
        entries += [_entry([kind], _of_keras(keras_class(group, kind)), more) for kind in keras_kinds(group)]
        definitions[singular(group)] = _one_of(entries)
    definitions["layer"]["oneOf"] += [_node(key, schema) for key, schema in OTHER_NODES.items()]
    for kinds in (OPTIMIZERS, LOSSES, METRICS, SCHEDULES):
        definitions[singular(kinds.group)] = _one_of(_named(kinds, definitions), kinds.strings)
    schema: Schema = _referring({"$schema": DIALECT, **document, "$defs": definitions})
    return schema


def json_schema_of(group: str, kind: str) -> Schema:
    """Return the JSON schema of one kind in a config.

    Args:
        group: such as `quantizers` or `losses`.
        kind: the full kind.

    Returns:
        The schema, with the definitions that it refers to.

    Raises:
        KindError: configs do not name kinds of this group.
        PluginError: the kind's class cannot be loaded.
    """
    if not is_keras_kind(kind):
        registry().load(group, kind)
    definitions = json_schema()["$defs"]
    if singular(group) not in definitions:
        raise KindError(f"configs name no {group}, so {kind!r} has no schema; `hgq2 show {kind}` says what it takes.")
    entries = definitions[singular(group)]["oneOf"]
    entry = next(each for each in entries if kind in each.get("properties", {}).get("kind", {}).get("enum", ()))
    needed: Schema = {}
    _collect(entry, definitions, needed)
    return {"$schema": DIALECT, **entry, "$defs": needed}


def _collect(schema: Any, definitions: Schema, needed: Schema) -> None:
    """Gather the definitions that a schema refers to, directly or through other definitions."""
    for item in schema.values() if isinstance(schema, dict) else schema if isinstance(schema, list) else ():
        _collect(item, definitions, needed)
    name = str(schema.get("$ref", "")).removeprefix("#/$defs/") if isinstance(schema, dict) else ""
    if name and name not in needed:
        needed[name] = definitions[name]
        _collect(needed[name], definitions, needed)


def _registered(group: str, definitions: Schema) -> Iterator[tuple[list[str], Schema]]:
    """Yield the names of each kind that can be loaded, and the schema of its arguments."""
    kinds = [kind for kind in registry().names(group) if not is_keras_kind(kind)]
    short = {kind: kind.partition(".")[2] for kind in kinds}
    # Under the name of a plugin's kind it is there already.
    for kind in sorted(CORE_KINDS.get(group, {}).keys() - short.values()):
        yield [kind], _of_model(registry().load(group, kind), definitions, f"{kind}.")
    for kind in kinds:
        try:
            cls: Any = registry().load(group, kind)
            model = cls if issubclass(cls, BaseModel) else schema_of(cls)
            schema = _of_model(model, definitions, f"{kind}.")
        except (PluginError, PydanticUserError):  # `hgq2 plugins --check` says what is wrong with it
            continue
        unique = list(short.values()).count(short[kind]) == 1
        if version_of(cls) > 1:
            schema.setdefault("properties", {})[VERSION] = {"enum": list(range(1, version_of(cls) + 1))}
        yield [kind, short[kind]] if unique else [kind], schema


def _named(kinds: KerasKinds, definitions: Schema) -> Iterator[Schema]:
    own = kinds.extra.model_json_schema().get("properties", {})
    classes = classes_by_name(kinds.group)
    yield from (_entry([name], {}, {}) for name in kinds.strings if name not in classes)
    for name, cls in classes.items():
        yield _entry(list(dict.fromkeys([name, cls.__name__])), _with_schedules(_of_keras(cls)), own)
    for names, schema in _registered(kinds.group.rpartition(".")[2], definitions):
        yield _entry([name for name in names if name not in classes], _with_schedules(schema), own)


def _with_schedules(arguments: Schema) -> Schema:
    """Let the learning rate of an optimizer be a schedule; what else it may be stays as it is."""
    properties = arguments.get("properties", {})
    if RATE not in properties:
        return arguments
    number = properties[RATE] or {"type": "number"}
    return {**arguments, "properties": {**properties, RATE: {"anyOf": [number, reference("schedule")]}}}


def _of_model(model: type[BaseModel], definitions: Schema, prefix: str = "") -> Schema:
    """Return the schema of a pydantic model, and add its definitions under prefixed names."""
    schema = model.model_json_schema(ref_template=f"#/$defs/{prefix}{{model}}")
    definitions.update({f"{prefix}{name}": nested for name, nested in schema.pop("$defs", {}).items()})
    return schema


def _of_keras(cls: type) -> Schema:
    """Return a schema with the names of a Keras constructor's arguments, which have no type annotations."""
    taken = keras_parameters(cls)
    return {
        "title": cls.__name__,
        "properties": {name: {} for name in taken},
        "required": [name for name, default in taken.items() if default is inspect.Parameter.empty],
    }


def _entry(names: list[str], arguments: Schema, more: Mapping[str, Any]) -> Schema:
    return {
        **{key: arguments[key] for key in ("title", "description") if key in arguments},
        "type": "object",
        "properties": {"kind": {"enum": names}, **arguments.get("properties", {}), **more},
        "required": ["kind", *arguments.get("required", ())],
        "additionalProperties": False,
    }


def _node(key: str, schema: Any) -> Schema:
    properties = {key: schema, **OF_EVERY_LAYER}
    return {"type": "object", "properties": properties, "required": [key], "additionalProperties": False}


def _one_of(entries: Iterable[Schema], strings: Iterable[str] = ()) -> Schema:
    """Return a schema that allows each entry, and the bare name of a kind without required arguments."""
    entries = list(entries)
    bare = [name for entry in entries if entry["required"] == ["kind"] for name in entry["properties"]["kind"]["enum"]]
    names = list(dict.fromkeys([*strings, *bare]))
    return {"oneOf": [{"enum": names}, *entries] if names else entries}


def _referring(schema: Any) -> Any:
    """Turn every `reference` into a `$ref`."""
    if isinstance(schema, list):
        return [_referring(item) for item in schema]
    if not isinstance(schema, dict):
        return schema
    return {
        ("$ref" if key == DEFINITION else key): (f"#/$defs/{item}" if key == DEFINITION else _referring(item))
        for key, item in schema.items()
    }
