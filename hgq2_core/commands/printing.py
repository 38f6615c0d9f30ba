"""How results look on a terminal, and to a program."""

from __future__ import annotations

import json
from typing import Any

import rich.box
import typer
from rich.table import Table

from hgq2_core.atomic import finite


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
