"""The command `validate`, which finds the errors of a config before it is trained."""

from __future__ import annotations

import warnings
from typing import Annotated

import typer

from hgq2_core.commands.options import AsJson, ConfigFile, Settings
from hgq2_core.commands.printing import out, print_json, print_notes


def validate(
    file: ConfigFile,
    settings: Settings = None,
    no_data: Annotated[bool, typer.Option("--no-data", help="Do not open the data.")] = False,
    as_json: AsJson = False,
) -> None:
    """Check a config against the schemas of everything it names, build the model, and open the data.

    Data, model, loss, metrics and callbacks are checked against each other; nothing is trained.

    A layer that cannot be verified is an error if the config has a `training` section, since `hgq2 train` would refuse
    it, else a warning. A layer that can be verified but not exported is a warning.

    Example: hgq2 validate examples/digits.yaml --set model.layers.hidden.units=64
    """
    from hgq2_core.config.model import load_config
    from hgq2_core.config.preflight.check import check_config

    config = load_config(file, settings or ())
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # shown below
        model = config.build(exact=config.training is not None)
    unsupported = config.unsupported(model)
    splits = None if no_data else check_config(config, model)
    if as_json:
        counts = {"layers": len(model.layers), "parameters": model.count_params()}
        found = {"unsupported": [each.to_dict() for each in unsupported]}
        print_json({"file": str(file), **counts, **found, "data": None if splits is None else splits.to_dict()})
        return
    for each in unsupported:
        out.print(
            f"warning: {each} `{each.stage}` will refuse the model.", style="yellow", markup=False, soft_wrap=True
        )
    out.print(f"{file}: valid. {len(model.layers)} layers, {model.count_params():,} parameters.", markup=False)
    if splits is not None:
        out.print(f"data: {splits.describe()}", markup=False)
        print_notes(splits.notes)
