"""The rules for subcommands of `hgq2`: their parameters, their help, and that both are light."""

from __future__ import annotations

import contextlib
import io
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

from hgq2_core.commands.subcommand import as_command
from hgq2_core.discovery.registry import registry
from hgq2_core.testing.protocols import PROTOCOLS
from hgq2_core.testing.rules import Check, checks, require, run, without_backend


def check_command(name: str, imports: bool = True) -> None:
    """Check that a subcommand keeps the rules that `hgq2` and its help rely on. It is not run.

    Args:
        name: the command's kind, full or short.
        imports: whether to check, in a subprocess, that the command's module imports no backend; takes a second.

    Raises:
        ConformanceError: a line for each rule that is broken.
        KindError: no installed plugin has the command.

    Example:
        >>> check_command("acme.budget")
    """
    run(name, command_checks(name, imports))


def command_checks(name: str, imports: bool = True) -> Iterator[Check]:
    """Return the checks of `check_command` one by one, for `parametrize_with_checks`.

    Args:
        name: see `check_command`.
        imports: see `check_command`.
    """
    kind = registry().resolve("commands", name)
    subject = _Subject(kind, registry().command(kind, "check_command"))
    yield from checks((is_typed,), subject)
    yield from checks((has_help,), subject, after=is_typed.__name__)
    if imports:
        yield from checks((imports_no_backend,), subject)


@dataclass(frozen=True)
class _Subject:
    kind: str
    function: Callable[..., Any]


def is_typed(subject: _Subject) -> None:
    """Each parameter of a command is typed, and its docstring says what it does."""
    problem = PROTOCOLS["commands"](subject.function)
    require(not problem, f"{subject.function.__name__} {problem}")


def has_help(subject: _Subject) -> None:
    """`hgq2 NAME --help` prints the first line of the docstring."""
    command = as_command(subject.kind.partition(".")[2], subject.function)
    printed = io.StringIO()
    with contextlib.redirect_stdout(printed):
        code = command.main(["--help"], prog_name=command.name, standalone_mode=False)
    require(not code, f"It ends with exit code {code}. {printed.getvalue().strip()[-200:]}")
    summary = " ".join(str(subject.function.__doc__).strip().splitlines()[0].split())
    require(summary in " ".join(printed.getvalue().split()), f"It lacks {summary!r}.")


def imports_no_backend(subject: _Subject) -> None:
    """A command's module imports no backend, so that its help is fast."""
    without_backend(subject.function.__module__)
