"""Rules that YAML and JSON documents share: limits, and how a place in a text and a breach are told."""

from __future__ import annotations

MAX_DEPTH = 64
MAX_VALUES = 20_000
MAX_KEY = 200

TOO_DEEP = f"nested deeper than {MAX_DEPTH} levels"
TOO_MANY = "more than {} values; a configuration holds settings, not data"
TOO_LONG = f"a key of more than {MAX_KEY} characters"
LONE_SURROGATE = "the text holds half of a character (a surrogate escape); write the character itself"


def twice(key: str, line: int, column: int) -> str:
    """Return the message for a key that was given before, at this place."""
    return f"key {key!r} is given twice, first at line {line}, column {column}; keep one"


def is_unicode(text: str) -> bool:
    """Return True if a text holds no half of a character."""
    return not any("\ud800" <= character <= "\udfff" for character in text)


def line_and_column(text: str, position: int) -> tuple[int, int]:
    """Return line and column of a position, from 1."""
    before = text[:position]
    return before.count("\n") + 1, len(before) - (before.rfind("\n") + 1) + 1
