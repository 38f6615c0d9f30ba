"""The commands that list what is installed: `plugins` and `list`."""

from __future__ import annotations

import textwrap
from collections.abc import Mapping, Sequence
from typing import Annotated, Any

import typer
from rich.console import Console
from rich.table import Table

from hgq2_core.cli.checking import check_plugin
from hgq2_core.commands.exit_codes import WRONG
from hgq2_core.commands.options import AsJson
from hgq2_core.commands.printing import console, narrow, out, print_json
from hgq2_core.discovery.known_plugins import install_hint
from hgq2_core.errors import ConfigError


def complete_groups(incomplete: str) -> list[str]:
    """Return the groups of kinds that begin with what was typed, for the shell's completion."""
    from hgq2_core.discovery.loading import GROUPS

    return [group for group in GROUPS if group.startswith(incomplete)]


def plugins(
    as_json: AsJson = False,
    check: Annotated[
        bool,
        typer.Option(
            "--check",
            help="Also import every class, and check it by the rules of the conformance kit that need no data. Exit "
            "code 2 if one is broken.",
        ),
    ] = False,
) -> None:
    """Show the installed plugins, where they come from, and their state.

    A plugin that cannot be loaded does not affect the others; its error is shown below the table. With --check, a sound
    plugin of somebody else gets a line for its README. What needs arguments or data, the tests of the plugin check.

    Example: hgq2 plugins --check
    """
    from hgq2_core.discovery.registry import plugins as installed

    found = installed()
    checked = [check_plugin(plugin) for plugin in found] if check else []
    if as_json:
        print_json([each.to_dict() for each in (checked or found)])
    else:
        _print_plugins(found)
    for each in checked:
        each.show(console(as_json), Console(stderr=True, highlight=False))
    if not all(each.conforms for each in checked if each.plugin.state in ("loaded", "failed")):
        raise typer.Exit(WRONG)


def _print_plugins(found: Sequence[Any]) -> None:
    table = narrow(Table("plugin", "distribution", "version", "state", "kinds"))
    for plugin in found:
        table.add_row(plugin.name, plugin.distribution, plugin.version, plugin.state, _count(plugin.kinds))
    out.print(table)
    for plugin in found:
        if plugin.error is not None:
            out.print(str(plugin.unusable()), style="red", markup=False)
    if not found:
        hint = install_hint("hgq2-fixed-point", "hgq2-layers", "hgq2-training")
        out.print(f"No plugins are installed. The official ones: {hint}", markup=False)


def list_kinds(
    groups: Annotated[
        list[str] | None,
        typer.Argument(
            metavar="group",
            help="Of quantizers, layers, callbacks, datasets, exporters, losses, metrics, optimizers, schedules and "
            "commands; all by default.",
            autocompletion=complete_groups,
        ),
    ] = None,
    table: Annotated[
        bool,
        typer.Option("--table", help="Layers: what each converts to, whether it is exact, where it may be used."),
    ] = False,
    as_json: AsJson = False,
) -> None:
    """List the kinds that config files can name, and the subcommands that plugins bring.

    The part before the dot is the plugin; `kbi` stands for `fixed_point.kbi` as long as it is unique.

    Example: hgq2 list quantizers; hgq2 list losses metrics; hgq2 list --table
    """
    asked = list(dict.fromkeys(groups or ()))
    if table:
        _list_table(asked, as_json)
        return
    from hgq2_core.discovery.loading import GROUPS, NAMED_GROUPS
    from hgq2_core.discovery.registry import registry
    from hgq2_core.errors import nearest
    from hgq2_core.schema.keras_objects import classes_by_name, keras_kinds, named_group

    for each in asked:
        if each not in GROUPS:
            allowed = f"Allowed: {', '.join(GROUPS)}.{nearest(each, GROUPS)}"
            raise ConfigError(f"list: unknown group of kinds. Received: {each!r}. {allowed}")
    kinds = {
        # An adapter, under the name of a Keras layer, is not a kind.
        each: sorted({*(n for n in registry().names(each) if not n.startswith("keras.")), *keras_kinds(each)})
        for each in asked or GROUPS
    }
    for each in asked:
        if each in NAMED_GROUPS:
            kinds[each] += classes_by_name(named_group(each))
    if as_json:
        print_json(kinds)
        return
    for each, names in kinds.items():
        out.print(each, style="bold")
        ours = [name for name in names if not name.startswith("keras.")]
        keras_own = [name for name in names if name.startswith("keras.")]
        for name in ours:
            out.print(f"  {name}", markup=False)
        if keras_own:
            text = textwrap.fill(", ".join(keras_own), out.width, initial_indent="  ", subsequent_indent="  ")
            out.print(text, markup=False)
        if not asked and each in NAMED_GROUPS:  # Keras' own are asked for alone, since Keras takes seconds
            out.print(f"  those of Keras: hgq2 list {each}", style="dim", markup=False)
        elif not names:
            out.print("  none", style="dim")


def _list_table(groups: Sequence[str], as_json: bool) -> None:
    from hgq2_core.cli.layer_table import layer_table, markdown

    for each in groups:
        if each != "layers":
            raise ConfigError(f"list: --table shows layers. Received: {each!r}. Allowed: layers, or nothing.")
    rows = layer_table()
    if as_json:
        print_json([row.to_dict() for row in rows])
    else:
        typer.echo(markdown(rows), nl=False)


def _count(kinds: Mapping[str, Mapping[str, str]]) -> str:
    from hgq2_core.discovery.loading import singular

    counts = {group: len(names) for group, names in kinds.items()}
    adapters = sum(name.startswith("keras.") for name in kinds["layers"])
    counts["layers"] -= adapters
    shown = [f"{count} {singular(group) if count == 1 else group}" for group, count in counts.items() if count]
    return ", ".join([*shown, f"{adapters} adapters of Keras layers"] if adapters else shown)
