"""How tables look on a terminal."""

from __future__ import annotations

import rich.box
from rich.table import Table


def narrow(table: Table) -> Table:
    """Draw a table without frames, so that 80 columns hold it, and fold names rather than cut them."""
    table.box = rich.box.SIMPLE_HEAD
    table.padding = (0, 1, 0, 0)
    table.pad_edge = False
    table.title_justify = "left"
    for column in table.columns:
        column.overflow = "fold"
    return table
