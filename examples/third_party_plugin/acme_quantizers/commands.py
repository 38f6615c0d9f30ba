"""The subcommand `hgq2 levels`: its module imports no backend, so that `hgq2 levels --help` needs none."""

from __future__ import annotations

from typing import Annotated

import typer

from acme_quantizers.levels import Levels
from hgq2_core.commands.options import AsJson
from hgq2_core.commands.printing import print_json


def levels(
    n: Annotated[float, typer.Option(help="Levels above zero.")] = 7.0,
    step_exponent: Annotated[int, typer.Option(help="The levels are 2**step_exponent apart.")] = -2,
    as_json: AsJson = False,
) -> None:
    """Print the levels of a quantizer `acme.levels`.

    Example: hgq2 levels --n 3
    """
    config = Levels(n=n, step_exponent=step_exponent)
    values = [level * 2.0**config.step_exponent for level in range(-round(config.n), round(config.n) + 1)]
    if as_json:
        print_json(values)
    else:
        typer.echo(" ".join(map(str, values)))
