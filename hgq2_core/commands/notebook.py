"""How notebooks show our objects: the tables of the terminal as HTML, escaped, in the colours of the page around."""

from __future__ import annotations

from abc import ABC, abstractmethod
from html import escape
from typing import Any

from rich.console import Group
from rich.table import Table
from typing_extensions import override


class Shown(ABC):
    """What prints as a table in a terminal, by rich, and is shown as one in a notebook."""

    @abstractmethod
    def __rich__(self) -> Any:
        """Return a table of rich, or a group of tables and texts."""

    def _repr_html_(self) -> str:
        return html_of(self.__rich__())

    @override
    def __str__(self) -> str:
        from rich.console import Console

        console = Console(width=110, color_system=None)
        with console.capture() as capture:
            console.print(self)
        return capture.get()


def html_of(shown: Any) -> str:
    """Return a table of rich, a group of them, or a text as HTML without colours.

    Args:
        shown: the object; texts and cells are taken literally.
    """
    if isinstance(shown, Group):
        return "".join(map(html_of, shown.renderables))
    return _table(shown) if isinstance(shown, Table) else f"<p>{_text(shown)}</p>"


def _table(table: Table) -> str:
    sides = ["right" if column.justify == "right" else "left" for column in table.columns]
    heads = [_cell("th", column.header, side) for column, side in zip(table.columns, sides, strict=True)]
    rows = zip(*(column.cells for column in table.columns), strict=True)
    body = [_row(_cell("td", cell, side) for cell, side in zip(row, sides, strict=True)) for row in rows]
    title = f'<caption style="text-align: left">{_text(table.title)}</caption>' if table.title else ""
    return f"<table>{title}<thead>{_row(heads)}</thead><tbody>{''.join(body)}</tbody></table>"


def _row(cells: Any) -> str:
    return f"<tr>{''.join(cells)}</tr>"


def _cell(tag: str, content: Any, side: str) -> str:
    return f'<{tag} style="text-align: {side}">{_text(content)}</{tag}>'


def _text(content: Any) -> str:
    return escape(" ".join(str(content).split()))
