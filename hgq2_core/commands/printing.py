"""How results look on a terminal, and to a program."""

from __future__ import annotations

import json
from collections.abc import Sequence
from typing import Any

import rich.box
import typer
from rich.console import Console
from rich.table import Table

from hgq2_core.files import finite

out = Console(highlight=False, soft_wrap=False)
"""The standard output, where results go."""


def console(as_json: bool) -> Console:
    """Return the console for what is no result: with --json, the standard output is JSON alone."""
    return Console(stderr=True, highlight=False) if as_json else out


def print_notes(notes: Sequence[str]) -> None:
    """Print what a user should know, a line each."""
    for note in notes:
        out.print(f"note: {note}", style="yellow", markup=False, soft_wrap=True)


def print_json(value: Any) -> None:
    """Print plain data as JSON, which has no NaN and no infinity: they become null."""
    typer.echo(json.dumps(finite(value), indent=2, allow_nan=False))


def narrow(table: Table) -> Table:
    """Draw a table without frames, so that 80 columns hold it, and fold names rather than cut them."""
    table.box = rich.box.SIMPLE_HEAD
    table.padding = (0, 1, 0, 0)
    table.pad_edge = False
    table.title_justify = "left"
    for column in table.columns:
        column.overflow = "fold"
    return table
