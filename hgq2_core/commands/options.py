"""Arguments and options that several commands share."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

ConfigFile = Annotated[Path, typer.Argument(help="A model's config, YAML or JSON.", show_default=False)]
RunDirectory = Annotated[Path, typer.Argument(help="A run directory, as `hgq2 train` writes.", show_default=False)]
AsJson = Annotated[bool, typer.Option("--json", help="Print JSON, for programs.")]
Settings = Annotated[
    list[str] | None,
    typer.Option(
        "--set",
        metavar="PATH=VALUE",
        help="Change a value of the config, such as training.epochs=10 or model.layers.hidden.units=64; repeatable.",
        show_default=False,
    ),
]
