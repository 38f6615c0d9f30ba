"""A function of a plugin as a subcommand of `hgq2`."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import typer


def as_command(name: str, function: Callable[..., Any]) -> Any:
    """Return the command that typer makes of a function with typed parameters.

    Args:
        name: of the subcommand.
        function: its parameters are the arguments and options.
    """
    app = typer.Typer(add_completion=False, pretty_exceptions_enable=False)
    app.command(name, context_settings={"help_option_names": ["-h", "--help"]})(function)
    return typer.main.get_command(app)
