"""Read a configuration file, YAML or JSON, into plain data.

Files are untrusted: nothing in one may run code, hide a setting behind another of the same name, or grow when it is
read. So scalars follow the YAML 1.2 core schema (`1e-5` is a number, `yes` is text), keys are unique strings, tags that
name Python objects and merge keys (`<<`) are refused, and size, depth, the number of values and aliases are limited.
Every error gives file, line and column.
"""

from __future__ import annotations

import copy
import json
import os
import re
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml

from hgq2_core.errors import ConfigError

MAX_BYTES = 1_000_000
MAX_DEPTH = 64
MAX_ALIASES = 100
MAX_ALIASED_NODES = 10_000
MAX_VALUES = 20_000
MAX_KEY = 200
MAX_DIGITS = 100

SUFFIXES = (".yaml", ".yml", ".json")


def read_document(path: str | os.PathLike[str]) -> dict[str, Any]:
    """Read a configuration file.

    Args:
        path: a `.yaml`, `.yml` or `.json` file, UTF-8, of at most 1 MB.

    Returns:
        The mapping at the top of the file.

    Raises:
        ConfigError: the file cannot be read, or breaks a rule of this module.
    """
    path = Path(path)
    text = _read_text(path)
    parse = parse_json if path.suffix.lower() == ".json" else parse_yaml
    document = parse(text, str(path))
    if document is None:
        raise ConfigError(f"{path}: the document is empty; write at least `model:` with its `inputs` and `layers`")
    if not isinstance(document, dict):
        found = type(document).__name__
        raise ConfigError(
            f"{path}:1:1: the top of the document is a {found}; it must be a mapping (`key: value` lines)"
        )
    return document


def parse_yaml(text: str, where: str) -> Any:
    """Read one YAML document.

    Args:
        text: the document; one with only comments is None.
        where: the name of the source, for error messages.

    Returns:
        Dictionaries, lists, strings, numbers, booleans and None; an alias becomes a copy.

    Raises:
        ConfigError: the text is not YAML, or breaks a rule of this module.
    """
    try:
        loader = _YAMLReader(text, where)
        return loader.document()
    except yaml.reader.ReaderError as error:
        line, column = _line_and_column(text, error.position)
        problem = f"character U+{int(error.character):04X} is not allowed; remove it, or write it as an escape"
        raise ConfigError(f"{where}:{line}:{column}: {problem}") from None
    except yaml.MarkedYAMLError as error:
        problem = ", ".join(part for part in (error.context, error.problem) if part)
        raise _error(where, error.problem_mark or error.context_mark, problem) from None


def parse_json(text: str, where: str, max_values: int = MAX_VALUES) -> Any:
    """Read one JSON document, which may hold `NaN` and `Infinity`, under the rules and limits of YAML.

    Args:
        text: the document; one with only white space is None.
        where: the name of the source, for error messages.
        max_values: limit on the number of values, including keys.

    Returns:
        Dictionaries, lists, strings, numbers, booleans and None.

    Raises:
        ConfigError: the text is not JSON, or breaks a rule of this module.
    """
    return _JSONReader(text, where, max_values).document()


def _read_text(path: Path) -> str:
    try:
        if not path.exists():
            raise ConfigError(f"{path}: no such file; check the path, it is taken from {Path.cwd()}")
        if path.is_dir():
            raise ConfigError(f"{path}: is a directory; give the file in it, for example {path / 'config.yaml'}")
        if path.suffix.lower() not in SUFFIXES:
            raise ConfigError(f"{path}: unknown suffix {path.suffix!r}; allowed: {', '.join(SUFFIXES)}")
        if not path.is_file():
            raise ConfigError(f"{path}: is not a regular file; save the configuration to a file first")
        with path.open("rb") as file:
            raw = file.read(MAX_BYTES + 1)
    except OSError as error:
        raise ConfigError(f"{path}: cannot be read ({error.strerror or error}); check its permissions") from error
    if len(raw) > MAX_BYTES:
        raise ConfigError(f"{path}: is larger than {MAX_BYTES} bytes; a configuration holds settings, not data")
    try:
        return raw.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        line, column = _line_and_column(raw[: error.start].decode("utf-8-sig"), error.start)
        raise ConfigError(f"{path}:{line}:{column}: is not UTF-8; save the file in that encoding") from None


def _line_and_column(text: str, position: int) -> tuple[int, int]:
    before = text[:position]
    return before.count("\n") + 1, len(before) - (before.rfind("\n") + 1) + 1


def _error(where: str, mark: Any, problem: str) -> ConfigError:
    line, column = (mark.line + 1, mark.column + 1) if mark else (1, 1)
    return ConfigError(f"{where}:{line}:{column}: {problem}")


TOO_DEEP = f"nested deeper than {MAX_DEPTH} levels"
TOO_MANY = "more than {} values; a configuration holds settings, not data"
TOO_LONG = f"a key of more than {MAX_KEY} characters"
LONE_SURROGATE = "the text holds half of a character (a surrogate escape); write the character itself"


def _twice(key: str, line: int, column: int) -> str:
    return f"key {key!r} is given twice, first at line {line}, column {column}; keep one"


def _is_unicode(text: str) -> bool:
    return not any("\ud800" <= character <= "\udfff" for character in text)


# --- YAML ------------------------------------------------------------------------------------------------------------

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
                raise self.error(start, _twice(key.value, *lines[key.value]))
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
        if isinstance(result, str) and not _is_unicode(result):
            raise self.error(event, LONE_SURROGATE)
        return result


# --- JSON ------------------------------------------------------------------------------------------------------------


class _JSONReader:
    """Parses objects and arrays itself, to know positions and enforce limits; the standard decoder does the rest."""

    decoder = json.JSONDecoder()
    space = re.compile(r"[ \t\n\r]*")

    def __init__(self, text: str, where: str, max_values: int) -> None:
        self.text = text
        self.where = where
        self.position = 0
        self.max_values = max_values
        self.values = 0

    def document(self) -> Any:
        if not self.next():
            return None
        value = self.value(1)
        if self.next():
            raise self.error("text after the end of the document")
        return value

    def error(self, problem: str, position: int | None = None) -> ConfigError:
        line, column = _line_and_column(self.text, self.position if position is None else position)
        return ConfigError(f"{self.where}:{line}:{column}: {problem}")

    def next(self) -> str:
        """Return the next character that is not white space; empty at the end."""
        match = self.space.match(self.text, self.position)
        self.position = match.end() if match else self.position
        return self.text[self.position : self.position + 1]

    def take(self, *allowed: str) -> str:
        character = self.next()
        if character not in allowed or not character:
            expected = " or ".join(repr(one) for one in allowed)
            raise self.error(f"expected {expected}, got {character or 'the end of the document'!r}")
        self.position += 1
        return character

    def value(self, level: int) -> Any:
        character = self.next()
        self.values += 1
        if self.values > self.max_values:
            raise self.error(TOO_MANY.format(self.max_values))
        if character in ("{", "["):
            if level > MAX_DEPTH:
                raise self.error(TOO_DEEP)
            return self.object(level) if character == "{" else self.array(level)
        try:
            value, end = self.decoder.raw_decode(self.text, self.position)
        except json.JSONDecodeError as error:
            raise self.error(error.msg[0].lower() + error.msg[1:], error.pos) from None
        except ValueError:
            raise self.error("an integer of too many digits") from None
        if isinstance(value, str) and not _is_unicode(value):
            raise self.error(LONE_SURROGATE)
        self.position = end
        return value

    def array(self, level: int) -> list[Any]:
        self.take("[")
        items: list[Any] = []
        if self.next() == "]":
            self.take("]")
            return items
        while True:
            items.append(self.value(level + 1))
            if self.take(",", "]") == "]":
                return items

    def object(self, level: int) -> dict[str, Any]:
        self.take("{")
        values: dict[str, Any] = {}
        starts: dict[str, int] = {}
        if self.next() == "}":
            self.take("}")
            return values
        while True:
            if self.next() != '"':
                raise self.error("expected a key in double quotes")
            start = self.position
            key = self.value(level + 1)
            if len(key) > MAX_KEY:
                raise self.error(TOO_LONG, start)
            if key in values:
                raise self.error(_twice(key, *_line_and_column(self.text, starts[key])), start)
            starts[key] = start
            self.take(":")
            values[key] = self.value(level + 1)
            if self.take(",", "}") == "}":
                return values
