"""The command `hgq2 compare`."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from hgq2_core.commands.options import AsJson
from hgq2_core.commands.printing import narrow, out, print_json


def compare(
    runs: Annotated[list[Path], typer.Argument(help="Run directories, two or more.", show_default=False)],
    plot: Annotated[
        Path | None,
        typer.Option("--plot", help="An image to write: a metric over EBOPs, fronts included.", show_default=False),
    ] = None,
    as_json: AsJson = False,
) -> None:
    """Compare finished runs: metrics on test data, calibrated EBOPs, and the settings in which they differ.

    Example: hgq2 compare runs/a runs/b --plot compared.png
    """
    from hgq2_training.runs.compare import compare as side_by_side

    found = side_by_side(*runs)
    if plot is not None:
        from hgq2_core.commands.plots import image
        from hgq2_training.report.comparison import metric_over_ebops

        image(metric_over_ebops(found), plot)
    if as_json:
        print_json(found.to_dict())
        return
    for table in found.tables():
        out.print(narrow(table))
    if plot is not None:
        out.print(f"{plot}: written", markup=False)
