"""The subcommands of plugins, listed without importing them."""

from __future__ import annotations

import ast
import importlib.util
from contextlib import suppress
from pathlib import Path
from typing import Any

from typer.core import TyperCommand, TyperGroup
from typing_extensions import override

from hgq2_core.commands.subcommand import as_command
from hgq2_core.discovery.known_plugins import COMMANDS
from hgq2_core.discovery.registry import registry
from hgq2_core.errors import HGQ2Error, KindError, listing, nearest

GROUP = "commands"
PANEL = "Commands of plugins"


class PluginCommands(TyperGroup):
    """A group of the core's commands and, under their short names, the commands of plugins.

    A name that two plugins offer is run as `<plugin>.<name>`; the core's own names take precedence.
    """

    @override
    def list_commands(self, ctx: Any) -> list[str]:
        """Return the core's commands, then those of plugins."""
        return [*super().list_commands(ctx), *sorted(self._kinds())]

    @override
    def get_command(self, ctx: Any, cmd_name: str) -> Any:
        """Return a command for help and completion: only name and summary, if it is a plugin's."""
        kind = self._kinds().get(cmd_name)
        if kind is None:
            return super().get_command(ctx, cmd_name)
        return TyperCommand(cmd_name, help=_summary(registry().spec(GROUP, kind)), rich_help_panel=PANEL)

    @override
    def resolve_command(self, ctx: Any, args: list[str]) -> Any:
        """Return the command to run, which imports its module."""
        name = args[0]
        if name in self.commands or name.startswith("-"):
            return super().resolve_command(ctx, args)
        kinds = self._kinds()
        if name not in kinds and name not in registry().names(GROUP):
            if ctx.resilient_parsing:
                return None, None, args[1:]
            raise KindError(self._unknown(name))
        return name, as_command(name, registry().command(kinds.get(name, name), "hgq2")), args[1:]

    def _kinds(self) -> dict[str, str]:
        """Return the full kinds of plugins' commands, by the names under which they are run."""
        full: list[str] = []
        with suppress(HGQ2Error):  # with HGQ2_STRICT=1, a broken plugin is reported when a command runs
            full = list(registry().names(GROUP))
        short = [kind.partition(".")[2] for kind in full]
        return {
            kind if short.count(name) > 1 or name in self.commands else name: kind
            for name, kind in zip(short, full, strict=True)
        }

    def _unknown(self, name: str) -> str:
        names = [*self.commands, *self._kinds()]
        missing = registry().comes_with(COMMANDS.get(name.removeprefix("training."), ""))
        advice = missing or nearest(name, names) + registry().not_loaded() or registry().not_installed(GROUP)
        return f"hgq2: unknown command. Received: {name!r}. Allowed: {listing(names)}.{advice}"


def _summary(spec: str) -> str:
    """Return the first line of a function's docstring, from the source of its module, without importing it."""
    module, _, function = spec.partition(":")
    package, *path = module.split(".")
    with suppress(ImportError, OSError, SyntaxError, ValueError):
        found = importlib.util.find_spec(package)
        for folder in (found and found.submodule_search_locations) or ():
            for node in ast.parse(Path(folder, *path).with_suffix(".py").read_text(encoding="utf-8")).body:
                if isinstance(node, ast.FunctionDef) and node.name == function:
                    return (ast.get_docstring(node) or "").partition("\n")[0]
    return ""
