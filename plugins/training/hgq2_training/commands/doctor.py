"""The command `hgq2 doctor`."""

from __future__ import annotations

from dataclasses import replace
from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer
from rich.console import Console

from hgq2_core.commands.exit_codes import UNHEALTHY
from hgq2_core.commands.options import AsJson
from hgq2_core.commands.printing import print_json
from hgq2_training.commands.options import Front

if TYPE_CHECKING:
    from hgq2_core.data.splits import Split, Splits
    from hgq2_core.diagnosis.report import Finding


class Part(StrEnum):
    """The parts of a data set."""

    test = "test"
    train = "train"
    validation = "validation"


def doctor(
    directory: Annotated[Path, typer.Argument(help="A run directory, as `hgq2 train` writes.", show_default=False)],
    split: Annotated[Part, typer.Option(help="The part of the data to run the model on.")] = Part.test,
    samples: Annotated[
        int | None, typer.Option(min=1, help="Maximal number of samples; the first ones are used.", show_default=False)
    ] = None,
    front: Front = None,
    strict: Annotated[bool, typer.Option("--strict", help=f"Exit code {UNHEALTHY} if a finding is an error.")] = False,
    as_json: AsJson = False,
) -> None:
    """Find problems in training, verification and deployment of a run's model, with their remedies.

    Uncalibrated or stale ranges, values that overflow, zeroed weights, layers without gradient, dead or constant
    outputs, NaN, bits at their upper bound, and sums too wide for float32.

    Example: hgq2 doctor runs/digits --strict
    """
    from hgq2_core import doctor as examine
    from hgq2_core.data.feed import for_model
    from hgq2_training.runs.directory import load_run

    config, model = load_run(directory, front)
    part = _part(for_model(config.load_data(), model), split).head(samples)
    found = examine(model, part.x, part.y)
    found = replace(found, findings=tuple(_of_run(finding, directory) for finding in found.findings))
    if as_json:
        print_json(found.to_dict())
    else:
        Console(highlight=False).print(found)
    if strict and not found.ok:
        raise typer.Exit(UNHEALTHY)


def _of_run(finding: Finding, directory: Path) -> Finding:
    from hgq2_core.model.calibration import REMEDY

    if finding.remedy != REMEDY:
        return finding
    return replace(finding, check=replace(finding.check, remedy=f"Run `hgq2 calibrate {directory}` first."))


def _part(splits: Splits, name: Part) -> Split:
    from hgq2_core.errors import DataError

    part: Split | None = getattr(splits, name)
    if part is None:
        raise DataError(
            "doctor: the data set has no validation part. Received: --split validation. Allowed: test, train."
        )
    return part
