"""The command `hgq2 predict`."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from hgq2_core.commands.options import RunDirectory
from hgq2_core.commands.printing import out
from hgq2_training.commands.options import Front


def predict(
    directory: RunDirectory,
    data: Annotated[Path, typer.Argument(help="Raw data: a npz, npy or csv file.", show_default=False)],
    output: Annotated[
        Path, typer.Option("-o", "--output", help="The file to write, .npz or .csv.", show_default=False)
    ],
    front: Front = None,
    integers: Annotated[
        bool, typer.Option("--integers", help="Compute with integers, as hardware does; the values are equal.")
    ] = False,
) -> None:
    """Apply a run's model to raw data, standardized as in training.

    A csv file has the columns of the run, in any order; targets and other columns are not needed. The output holds the
    values of the model, and the class of each sample if the run has labels.

    Example: hgq2 predict runs/digits new.npz -o predictions.csv
    """
    from hgq2_core.model.number_format import format_count
    from hgq2_training.runs.predict import check_output
    from hgq2_training.runs.predict import predict as apply

    check_output(output)
    found = apply(directory, data, front=front, integers=integers)
    found.save(output)
    out.print(f"{output}: {format_count(len(found))} samples", markup=False)
