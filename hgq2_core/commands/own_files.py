"""Files that belong to one subcommand, such as `hgq2 sweep`, and that `hgq2 validate` checks by it."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, TypeVar

Command = TypeVar("Command", bound=Callable[..., Any])

_CHECK, _SCHEMA = "__hgq2_check__", "__hgq2_schema__"


def checked_by(check: str, schema: str | None = None) -> Callable[[Command], Command]:
    """Let `hgq2 validate` check the files of a command: those with the command's name as a key at the top.

    Args:
        check: `"module:function"`, called with the file, the `--set` options, and whether `--no-data` and `--json` are
            given; it raises or prints what it found.
        schema: `"module:function"`, which returns the JSON schema of such a file, for `hgq2 schema --command`.
    """

    def mark(command: Command) -> Command:
        setattr(command, _CHECK, check)
        setattr(command, _SCHEMA, schema)
        return command

    return mark


def check_of(command: Callable[..., Any]) -> str | None:
    """Return the function that checks the files of a command, as `"module:function"`; None if it has no files."""
    found: str | None = getattr(command, _CHECK, None)
    return found


def schema_of(command: Callable[..., Any]) -> str | None:
    """Return the function that returns the JSON schema of a command's files; None if there is none."""
    found: str | None = getattr(command, _SCHEMA, None)
    return found
