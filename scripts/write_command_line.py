"""Write docs/command_line.md, the reference of every command, from what the commands say of themselves."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from hgq2_core.cli.main import app

import typer  # isort: skip

PAGE = Path(__file__).resolve().parents[1] / "docs" / "command_line.md"
HEAD = """\
# Command line

Every command of `hgq2` with the plugins of this repository, as `hgq2 COMMAND --help` shows it. Written by `make stubs`.
"""


def page() -> str:
    """Return the page."""
    group = typer.main.get_command(app)
    context = group.make_context("hgq2", [], resilient_parsing=True)
    parts = [HEAD, _section("hgq2", group, context)]
    for name in group.list_commands(context):  # type: ignore[attr-defined]
        _, command, _ = group.resolve_command(context, [name])  # type: ignore[attr-defined]
        parts.append(_section(f"hgq2 {name}", command, command.make_context(name, [], context, resilient_parsing=True)))
    return "\n".join(parts)


def _section(title: str, command: Any, context: Any) -> str:
    usage = " ".join([title, *command.collect_usage_pieces(context)])
    lines = [f"## {title}", "", *_prose(command.help), "```", usage, "```", ""]
    lines += _rows("argument", command, context)
    lines += _rows("option", command, context)
    lines += _prose(command.epilog) if command.epilog else []
    return "\n".join(lines)


def _prose(text: str) -> Iterator[str]:
    """Yield lines of help, with an example as code."""
    for paragraph in text.split("\n\n"):
        words = " ".join(paragraph.split())
        example = re.fullmatch(r"Example: (hgq2 [^,]+?)", words)
        yield f"Example: `{example[1]}`" if example else words
        yield ""


def _rows(sort: str, command: Any, context: Any) -> list[str]:
    records = [
        parameter.get_help_record(context)
        for parameter in command.get_params(context)
        if parameter.param_type_name == sort
    ]
    rows = [f"| `{name}` | {_cell(text)} |" for name, text in filter(None, records)]
    return [f"| {sort} | |", "|---|---|", *rows, ""] if rows else []


def _cell(text: str) -> str:
    return text.replace("|", "\\|")


if __name__ == "__main__":
    PAGE.write_text(page(), encoding="utf-8")
