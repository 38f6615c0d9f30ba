"""The command `validate`, which finds the errors of a config before it is trained."""

from __future__ import annotations

import importlib
import warnings
from collections.abc import Callable
from pathlib import Path
from typing import Annotated, Any

import typer

from hgq2_core.commands.options import AsJson, ConfigFile, Settings
from hgq2_core.commands.own_files import check_of
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

    A file of a plugin's command, such as `hgq2 sweep`, is known by the command's name at the top, and checked by it.

    Example: hgq2 validate examples/digits.yaml --set model.layers.hidden.units=64
    """
    check = _check_of_command(file)
    if check is not None:
        check(file, settings, no_data, as_json)
        return
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


def _check_of_command(file: Path) -> Callable[..., Any] | None:
    """Return the function that checks a file with the name of a plugin's command at the top; None for other files."""
    from hgq2_core.config.model import ModelConfig
    from hgq2_core.config.reader import read_document
    from hgq2_core.discovery.registry import registry

    kinds = {kind.partition(".")[2]: kind for kind in registry().names("commands")}
    for key in read_document(file):
        if key in kinds and key not in ModelConfig.model_fields:
            check = check_of(registry().command(kinds[key]))
            if check is not None:
                module, _, function = check.partition(":")
                return getattr(importlib.import_module(module), function)  # type: ignore[no-any-return]
    return None
