"""The command `hgq2 board`."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from hgq2_core.commands.printing import out
from hgq2_core.errors import ConfigError


def board(
    runs: Annotated[
        Path, typer.Argument(help="A directory with runs and sweeps, at any depth.", show_default=False)
    ] = Path("runs"),
    port: Annotated[int, typer.Option(min=0, max=65535, help="The port; 0 for any that is free.")] = 8720,
    show: Annotated[bool, typer.Option("--open", help="Open the page in a browser.")] = False,
) -> None:
    """Serve pages about runs to browsers on this machine: their reports, the live front of sweeps, and comparisons.

    The pages are made from files alone, and nothing is written. They are for this machine only; of another one, forward
    the port: ssh -L 8720:127.0.0.1:8720 HOST. Ctrl-C ends it.

    Example: hgq2 board runs --open
    """
    from hgq2_training.board.server import BoardServer

    if not runs.is_dir():
        raise ConfigError(
            f"board: there is no directory of runs. Received: {runs}. `hgq2 train FILE -o {runs}/NAME` makes one."
        )
    with BoardServer(runs, port) as server:
        out.print(f"{runs}: {server.url}  (Ctrl-C ends it)", markup=False)
        if show:
            typer.launch(server.url)
        try:
            server.serve_forever()
        except KeyboardInterrupt:
            return
