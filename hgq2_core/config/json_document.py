"""A JSON document, under the rules of YAML."""

from __future__ import annotations

import json
import re
from typing import Any

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


def parse_json(text: str, where: str, max_values: int = MAX_VALUES) -> Any:
    """Read one JSON document, which may hold `NaN` and `Infinity`, under the rules and limits of YAML.

    Args:
        text: the document; one with only white space is None.
        where: the name of the source, for error messages.
        max_values: limit on the number of values, including keys.

    Returns:
        Dictionaries, lists, strings, numbers, booleans and None.

    Raises:
        ConfigError: the text is not JSON, or breaks a rule of `hgq2_core.config.reader`.
    """
    return _JSONReader(text, where, max_values).document()


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
        line, column = line_and_column(self.text, self.position if position is None else position)
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
        if isinstance(value, str) and not is_unicode(value):
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
                raise self.error(twice(key, *line_and_column(self.text, starts[key])), start)
            starts[key] = start
            self.take(":")
            values[key] = self.value(level + 1)
            if self.take(",", "}") == "}":
                return values
