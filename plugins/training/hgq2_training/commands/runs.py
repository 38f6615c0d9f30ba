"""The commands that finish or inspect a run: `calibrate`, `report` and `verify`."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from hgq2_core.commands.exit_codes import MISMATCH
from hgq2_core.commands.options import AsJson, RunDirectory
from hgq2_core.commands.printing import console, narrow, out, print_json
from hgq2_training.commands.options import Front
from hgq2_training.commands.outcome import front_lines, outcome_lines, show_finished


def calibrate(
    directory: RunDirectory,
    margin: Annotated[int, typer.Option(min=0, help="Additional integer bits.")] = 0,
    as_json: AsJson = False,
) -> None:
    """Calibrate the integer bits of a run's wrapping activations again, on its training data.

    The command also finishes a run that was interrupted: it measures, verifies, freezes and reports.

    Example: hgq2 calibrate runs/digits --margin 1
    """
    from hgq2_training.runs.results import recalibrate

    show_finished(recalibrate(directory, margin), as_json)


def report(
    directory: RunDirectory,
    front: Front = None,
    baseline: Annotated[
        Path | None,
        typer.Option(help="A run to compare with on the page's front, such as one in floats.", show_default=False),
    ] = None,
    vendor: Annotated[
        Path | None,
        typer.Option(
            metavar="DIR",
            help="Also show the reports of Vivado, Vitis HLS or Quartus below DIR, beside the predicted LUTs.",
            show_default=False,
        ),
    ] = None,
    show: Annotated[bool, typer.Option("--open", help="Open the page in a browser.")] = False,
    as_json: AsJson = False,
) -> None:
    """Show a run's metrics and the bits and cost of each layer, and write its page again.

    The page, report.html in the directory, also has the curves, the front, confusion matrix or residuals, bits, weights
    and ranges, and the cost of exports. With --front the metrics on the terminal are those of the front, measured on
    validation data, and the page is that of the model, beside it in the folder of the front.

    The directory of a sweep gets a page as well: its front, with error bars where there are seeds, and its trials.

    Example: hgq2 report runs/digits --front best --open
    """
    from hgq2_training.report.sweep import SWEEP, write_sweep_page
    from hgq2_training.report.vendor import beside_vendor
    from hgq2_training.runs.directory import load, read_metrics
    from hgq2_training.runs.report import report as write

    if (directory / SWEEP).is_file():
        _report_sweep(write_sweep_page(directory), directory, show, as_json)
        return

    beside = None if vendor is None else beside_vendor(vendor, load(directory, front=front))
    found = write(directory, front, baseline)
    for note in found.notes:
        console(True).print(f"note: {note}", style="yellow", markup=False)
    if as_json:
        print_json({**found.to_dict(), **({} if beside is None else beside.to_dict())})
    else:
        out.print(narrow(found.layers.__rich__()))
        if beside is not None:
            out.print(narrow(beside.__rich__()))
        for line in (
            outcome_lines(read_metrics(directory), directory) if front is None else front_lines(directory, front)
        ):
            out.print(line)
        if found.page is not None:
            out.print(f"page: {found.page}", markup=False)
    if show and found.page is not None:
        typer.launch(found.page.resolve().as_uri())


def _report_sweep(page: Path, directory: Path, show: bool, as_json: bool) -> None:
    from hgq2_core.files import read_json
    from hgq2_training.report.sweep import FRONT

    if as_json:
        print_json({"directory": str(directory), "front": read_json(directory / FRONT, []), "page": str(page)})
    else:
        out.print(f"page: {page}", markup=False)
    if show:
        typer.launch(page.resolve().as_uri())


def verify(directory: RunDirectory, front: Front = None, as_json: AsJson = False) -> None:
    """Compare a run's model with its integer interpretation, on every test sample.

    Every value of every layer is compared with ==. Exit code 1 if one differs; the first layer that differs is named.

    Example: hgq2 verify runs/digits
    """
    from hgq2_core import verify as compare
    from hgq2_training.runs.directory import calibration_of, load_run

    config, model = load_run(directory, front)
    with calibration_of(directory):
        found = compare(model, config.load_data().test.x)
    if as_json:
        print_json(found.to_dict())
    else:
        out.print(str(found), markup=False)
    if not found.ok:
        raise typer.Exit(MISMATCH)
