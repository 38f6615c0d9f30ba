"""The commands that describe configs: `show`, `schema` and `resolve`."""

from __future__ import annotations

import importlib
import json
from collections import Counter
from contextlib import suppress
from pathlib import Path
from typing import Annotated, Any

import typer
from rich.console import Console
from rich.table import Table
from rich.text import Text

from hgq2_core.commands.options import AsJson, Settings
from hgq2_core.commands.printing import narrow, print_json
from hgq2_core.errors import ConfigError, HGQ2Error


def complete_kinds(incomplete: str) -> list[str]:
    """Return the kinds, full or short, that begin with what was typed, for the shell's completion."""
    from hgq2_core.config.describe import all_kinds

    with suppress(HGQ2Error):  # a broken plugin is reported when a command runs
        kinds = list(all_kinds())
        short = Counter(kind.partition(".")[2] for kind in kinds if not kind.startswith("keras."))
        unique = [name for name, count in short.items() if count == 1]
        return [kind for kind in [*kinds, *unique] if kind.startswith(incomplete)]
    return []


Kind = Annotated[
    str,
    typer.Argument(
        help="Such as kbi, layers.dense or keras.Dropout; `hgq2 list` has all.", autocompletion=complete_kinds
    ),
]


def show(
    kind: Kind,
    as_json: AsJson = False,
    plot: Annotated[
        Path | None,
        typer.Option("--plot", help="An image to write: the values of a quantizer's defaults.", show_default=False),
    ] = None,
) -> None:
    """Show what a kind is, where it comes from, and every field with its type, default and meaning.

    Example: hgq2 show fixed_point.kbi
    """
    from hgq2_core.config.describe import describe

    found = describe(kind)
    if plot is not None:
        _plot(found.kind, plot)
    if as_json:
        print_json(found.to_dict())
        return
    out = Console(highlight=False)
    schema = f", schema version {found.schema_version}" if found.schema_version > 1 else ""
    article = "an" if found.sort[0] in "aeiou" else "a"
    origin = f"{found.distribution} {found.version}{schema}"
    out.print(f"{found.kind}, {article} {found.sort} of {origin}", style="bold", markup=False)
    out.print(found.summary, markup=False)
    table = narrow(Table("field", "type", "default", "meaning"))
    for field in found.fields:
        default = "required" if field.default is None else field.default
        table.add_row(*map(Text, (field.name, field.type, default, field.description)))
    out.print(table)
    for name, value in found.facts.items():
        out.print(f"{name}: {value}", markup=False)
    if plot is not None:
        out.print(f"{plot}: written", markup=False)


def _plot(kind: str, path: Path) -> None:
    from hgq2_core.commands.plots import image, values
    from hgq2_core.config.describe import find
    from hgq2_core.discovery.registry import registry

    group, full = find(kind)
    numbers = registry().load(group, full)().values() if group == "quantizers" else []
    if len(numbers) < 2:
        raise ConfigError(
            f"show: only a quantizer that lists its values can be drawn. Received: --plot {path} for {full}. "
            "Allowed: kinds such as minifloat.float8_e4m3fn."
        )
    image(values(numbers, full), path)


def schema(
    kind: Annotated[
        str | None,
        typer.Option("--kind", help="Only this kind's.", autocompletion=complete_kinds, show_default=False),
    ] = None,
    command: Annotated[
        str | None,
        typer.Option("--command", help="That of the files of a command, such as sweep.", show_default=False),
    ] = None,
    output: Annotated[
        Path | None, typer.Option("-o", "--output", help="A file to write, in place of printing.", show_default=False)
    ] = None,
) -> None:
    """Print the JSON schema of config files, for everything that is installed: editors complete and check with it.

    Example: hgq2 schema -o hgq2.schema.json, and as first line of a config:
    # yaml-language-server: $schema=hgq2.schema.json
    """
    from hgq2_core.config.describe import find
    from hgq2_core.config.json_schema import json_schema, json_schema_of
    from hgq2_core.files import write_text

    if kind is not None and command is not None:
        raise ConfigError("schema: --kind and --command ask for different schemas. Leave one of them out.")
    if command is not None:
        found = _schema_of_command(command)
    else:
        found = json_schema() if kind is None else json_schema_of(*find(kind))
    text = json.dumps(found, indent=2)
    if output is None:
        typer.echo(text)
    else:
        write_text(output, text + "\n")
        Console(highlight=False).print(f"{output}: written", markup=False)


def _schema_of_command(name: str) -> dict[str, Any]:
    """Return the JSON schema of the files of a plugin's command."""
    from hgq2_core.commands.own_files import schema_of
    from hgq2_core.discovery.registry import registry

    schema = schema_of(registry().command(name, "schema"))
    if schema is None:
        raise ConfigError(f"schema: the command has no files with a schema. Received: {name!r}.")
    module, _, function = schema.partition(":")
    found: dict[str, Any] = getattr(importlib.import_module(module), function)()
    return found


def resolve(
    file: Annotated[Path, typer.Argument(help="A model's config, YAML or JSON.", show_default=False)],
    settings: Settings = None,
    as_json: AsJson = False,
) -> None:
    """Show the resolved settings of each quantizer of a config, field by field, and where each value comes from.

    A source is the layer itself, the config's `defaults`, the default of the role, or the quantizer's class.

    Example: hgq2 resolve examples/digits.yaml --set defaults.weight.b=4
    """
    from hgq2_core.config.model import load_config
    from hgq2_core.config.resolved import provenance

    rows = provenance(load_config(file, settings or ()).build())
    if as_json:
        print_json([row.to_dict() for row in rows])
        return
    table = narrow(Table("layer", "slot", "kind", "field", "value", "from"))
    before: tuple[Any, ...] = ()
    for row in rows:
        head = (row.layer, row.slot, row.kind)
        shown = (*(("", "", "") if head == before else head), row.field, json.dumps(row.value), row.source)
        table.add_row(*map(Text, shown))
        before = head
    Console(highlight=False).print(table)
