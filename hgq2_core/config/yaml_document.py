"""A YAML document, by the core schema of YAML 1.2."""

from __future__ import annotations

import copy
import re
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import yaml

from hgq2_core.config.document_rules import (
    LONE_SURROGATE,
    MAX_DEPTH,
    MAX_KEY,
    MAX_VALUES,
    TOO_DEEP,
    TOO_LONG,
    TOO_MANY,
    is_unicode,
    line_and_column,
    twice,
)
from hgq2_core.errors import ConfigError

MAX_ALIASES = 100
MAX_ALIASED_NODES = 10_000
MAX_DIGITS = 100


def parse_yaml(text: str, where: str) -> Any:
    """Read one YAML document.

    Args:
        text: the document; one with only comments is None.
        where: the name of the source, for error messages.

    Returns:
        Dictionaries, lists, strings, numbers, booleans and None; an alias becomes a copy.

    Raises:
        ConfigError: the text is not YAML, or breaks a rule of `hgq2_core.config.reader`.
    """
    try:
        loader = _YAMLReader(text, where)
        return loader.document()
    except yaml.reader.ReaderError as error:
        line, column = line_and_column(text, error.position)
        problem = f"character U+{int(error.character):04X} is not allowed; remove it, or write it as an escape"
        raise ConfigError(f"{where}:{line}:{column}: {problem}") from None
    except yaml.MarkedYAMLError as error:
        problem = ", ".join(part for part in (error.context, error.problem) if part)
        raise _error(where, error.problem_mark or error.context_mark, problem) from None


def _error(where: str, mark: Any, problem: str) -> ConfigError:
    line, column = (mark.line + 1, mark.column + 1) if mark else (1, 1)
    return ConfigError(f"{where}:{line}:{column}: {problem}")


PREFIX = "tag:yaml.org,2002:"
MAPPING, SEQUENCE = PREFIX + "map", PREFIX + "seq"


def _integer(text: str) -> int:
    if len(text) > MAX_DIGITS:
        raise ValueError(f"more than {MAX_DIGITS} digits")
    base = {"0o": 8, "0x": 16}.get(text[:2], 10)
    return int(text, base)


def _float(text: str) -> float:
    return float(re.sub(r"\.(?=inf|nan)", "", text.lower()))


# The core schema, tried in this order: the pattern of a tag's scalars, their first characters, and their value.
SCALARS: dict[str, tuple[str, str, Callable[[str], Any]]] = {
    PREFIX + "null": (r"null|Null|NULL|~|", "nN~", lambda text: None),
    PREFIX + "bool": (r"true|True|TRUE|false|False|FALSE", "tTfF", lambda text: text.lower() == "true"),
    PREFIX + "int": (r"[-+]?[0-9]+|0o[0-7]+|0x[0-9a-fA-F]+", "-+0123456789", _integer),
    PREFIX + "float": (
        r"[-+]?(\.[0-9]+|[0-9]+(\.[0-9]*)?)([eE][-+]?[0-9]+)?|[-+]?\.(inf|Inf|INF)|\.(nan|NaN|NAN)",
        "-+.0123456789",
        _float,
    ),
    PREFIX + "str": (r"(?s:.*)", "", str),
}


@dataclass(frozen=True)
class _Anchored:
    """A value that aliases can repeat, with its number of nodes and its depth."""

    value: Any
    nodes: int
    levels: int


class _CoreSchemaLoader(yaml.SafeLoader):
    """PyYAML's scanner and parser, with the plain scalars of YAML 1.2."""

    yaml_implicit_resolvers = {}  # noqa: RUF012  (a class attribute in PyYAML; the scalars of YAML 1.1 are dropped)


for _tag, (_pattern, _first, _) in SCALARS.items():
    if _first:
        _CoreSchemaLoader.add_implicit_resolver(_tag, re.compile(rf"(?:{_pattern})\Z"), [*_first])
_CoreSchemaLoader.add_implicit_resolver(PREFIX + "null", re.compile(r"\Z"), [""])


class _YAMLReader:
    """Builds values from parser events, so that limits are enforced during reading."""

    def __init__(self, text: str, where: str) -> None:
        self.events: Any = _CoreSchemaLoader(text)  # PyYAML does not type its events
        self.where = where
        self.anchored: dict[str, _Anchored] = {}
        self.values = 0
        self.aliases = 0
        self.aliased_nodes = 0

    def document(self) -> Any:
        self.events.get_event()  # the start of the stream
        if self.events.check_event(yaml.StreamEndEvent):
            return None
        self.events.get_event()  # the start of the document
        value = self.node(1).value
        self.events.get_event()  # the end of the document
        if not self.events.check_event(yaml.StreamEndEvent):
            raise self.error(self.events.peek_event(), "a second document starts here; a file holds one")
        return value

    def error(self, event: yaml.Event, problem: str) -> ConfigError:
        return _error(self.where, event.start_mark, problem)

    def node(self, level: int) -> _Anchored:
        event = self.events.get_event()
        self.values += 1
        if self.values > MAX_VALUES:
            raise self.error(event, TOO_MANY.format(MAX_VALUES))
        if isinstance(event, yaml.AliasEvent):
            return self.alias(event, level)
        if isinstance(event, yaml.CollectionStartEvent) and level > MAX_DEPTH:
            raise self.error(event, TOO_DEEP)
        if isinstance(event, yaml.MappingStartEvent):
            node = self.mapping(event, level)
        elif isinstance(event, yaml.SequenceStartEvent):
            node = self.sequence(event, level)
        else:
            node = _Anchored(self.scalar(event), nodes=1, levels=0)
        if event.anchor:
            self.anchored[event.anchor] = node
        return node

    def alias(self, event: yaml.AliasEvent, level: int) -> _Anchored:
        node = self.anchored.get(event.anchor or "")
        if node is None:
            raise self.error(event, f"alias *{event.anchor} has no finished anchor &{event.anchor} before it")
        self.aliases += 1
        if self.aliases > MAX_ALIASES:
            raise self.error(event, f"more than {MAX_ALIASES} aliases; write the values out")
        self.aliased_nodes += node.nodes
        if self.aliased_nodes > MAX_ALIASED_NODES:
            raise self.error(event, f"aliases repeat more than {MAX_ALIASED_NODES} values; write fewer")
        if level + node.levels - 1 > MAX_DEPTH:
            raise self.error(event, TOO_DEEP)
        return _Anchored(copy.deepcopy(node.value), node.nodes, node.levels)

    def sequence(self, event: yaml.SequenceStartEvent, level: int) -> _Anchored:
        self.check_tag(event, event.tag, SEQUENCE)
        items = []
        while not self.events.check_event(yaml.SequenceEndEvent):
            items.append(self.node(level + 1))
        self.events.get_event()
        return self.collection([item.value for item in items], items)

    def mapping(self, event: yaml.MappingStartEvent, level: int) -> _Anchored:
        self.check_tag(event, event.tag, MAPPING)
        values: dict[str, Any] = {}
        lines: dict[str, tuple[int, int]] = {}
        items = []
        while not self.events.check_event(yaml.MappingEndEvent):
            start = self.events.peek_event()
            key = self.node(level + 1)
            self.check_key(start, key.value)
            if key.value in values:
                raise self.error(start, twice(key.value, *lines[key.value]))
            lines[key.value] = (start.start_mark.line + 1, start.start_mark.column + 1)
            value = self.node(level + 1)
            values[key.value] = value.value
            items += [key, value]
        self.events.get_event()
        return self.collection(values, items)

    @staticmethod
    def collection(value: Any, items: list[_Anchored]) -> _Anchored:
        nodes = 1 + sum(item.nodes for item in items)
        return _Anchored(value, nodes, 1 + max((item.levels for item in items), default=0))

    def check_key(self, event: yaml.Event, key: object) -> None:
        if not isinstance(key, str):
            shown = "null" if key is None else str(key)[:MAX_KEY]
            raise self.error(event, f"key {shown} is a {type(key).__name__}, not text; put it in quotes")
        if len(key) > MAX_KEY:
            raise self.error(event, TOO_LONG)
        if key == "<<" and isinstance(event, yaml.ScalarEvent) and event.implicit[0]:
            raise self.error(event, "merge keys (<<) are not supported; write the keys out")

    def check_tag(self, event: yaml.Event, tag: str | None, *allowed: str) -> None:
        if tag is not None and tag not in ("!", *allowed):
            shown = tag.replace(PREFIX, "!!")
            raise self.error(event, f"tag {shown} is not allowed; a configuration is plain data")

    def scalar(self, event: yaml.ScalarEvent) -> Any:
        self.check_tag(event, event.tag, *SCALARS)
        tag = PREFIX + "str" if event.tag == "!" else event.tag
        if tag is None:
            tag = self.events.resolve(yaml.ScalarNode, event.value, event.implicit)
        pattern, _, value = SCALARS[tag]
        try:
            if not re.fullmatch(pattern, event.value):
                raise ValueError
            result = value(event.value)
        except ValueError:  # also an integer of too many digits
            raise self.error(event, f"{event.value[:40]!r} is not a {tag.removeprefix(PREFIX)}") from None
        if isinstance(result, str) and not is_unicode(result):
            raise self.error(event, LONE_SURROGATE)
        return result
