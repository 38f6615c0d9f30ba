"""Options of the commands that take a run."""

from __future__ import annotations

from typing import Annotated

import typer

Front = Annotated[
    str | None,
    typer.Option(
        "--front",
        metavar="N|best",
        help="A model of the run's front in place of the last one: its number in rising EBOPs, from 0, or best, the "
        "recommended one.",
        show_default=False,
    ),
]
