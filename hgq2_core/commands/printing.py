"""Printing of results, for people and for programs."""

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
"""Standard output, for results."""


def console(as_json: bool) -> Console:
    """Return the console for everything but results: standard error with --json, whose output is JSON alone."""
    return Console(stderr=True, highlight=False) if as_json else out


def print_notes(notes: Sequence[str]) -> None:
    """Print notes to the user, one per line."""
    for note in notes:
        out.print(f"note: {note}", style="yellow", markup=False, soft_wrap=True)


def print_json(value: Any) -> None:
    """Print plain data as JSON, with null in place of NaN and infinity."""
    typer.echo(json.dumps(finite(value), indent=2, allow_nan=False))


def narrow(table: Table) -> Table:
    """Remove the frames of a table, so that it fits into 80 columns, and let names wrap instead of being cut."""
    table.box = rich.box.SIMPLE_HEAD
    table.padding = (0, 1, 0, 0)
    table.pad_edge = False
    table.title_justify = "left"
    for column in table.columns:
        column.overflow = "fold"
    return table
