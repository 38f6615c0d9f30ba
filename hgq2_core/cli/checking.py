"""What `hgq2 plugins --check` finds: whether classes are what their group asks for, and keep the quick rules."""

from __future__ import annotations

import traceback
import warnings
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any
from urllib.parse import quote

from rich.console import Console

from hgq2_core.discovery.known_plugins import is_official
from hgq2_core.discovery.loading import CORE, Plugin
from hgq2_core.errors import HGQ2Error, PluginError

BADGE = "https://img.shields.io/badge/{}-{}-{}"


@dataclass(frozen=True)
class Checked:
    """A plugin after the check.

    Args:
        plugin: the plugin.
        kinds: number of its kinds.
        rules: number of rules that were checked, over all kinds.
        problems: an error for each kind that breaks some, or that of loading.
    """

    plugin: Plugin
    kinds: int
    rules: int
    problems: tuple[BaseException, ...]

    @property
    def conforms(self) -> bool:
        """Whether the plugin is loaded, and nothing is wrong with it."""
        return self.plugin.state == "loaded" and not self.problems

    @property
    def verdict(self) -> str:
        """The number of kinds, in a sentence about a plugin that conforms."""
        return f"{self.kinds} kind conforms" if self.kinds == 1 else f"{self.kinds} kinds conform"

    @property
    def badge(self) -> str | None:
        """A line for a README, as Markdown; None if something is wrong."""
        if not self.conforms:
            return None
        from hgq2_core import __version__

        parts = (f"{CORE} {__version__}", self.verdict, "2563eb")
        # shields.io ends a part at a hyphen, unless it is doubled.
        address = BADGE.format(*(quote(part.replace("-", "--")) for part in parts))
        return f"![{self.verdict} to {CORE} {__version__}]({address})"

    def to_dict(self) -> dict[str, Any]:
        """Return plain data: that of the plugin, and what was found."""
        found = {"rules": self.rules, "problems": list(map(str, self.problems)), "badge": self.badge}
        return {**self.plugin.to_dict(), **found}

    def show(self, out: Console, complain: Console) -> None:
        """Print what was found, with the tracebacks of errors that are not ours.

        Args:
            out: for what is sound.
            complain: for problems.
        """
        for problem in self.problems:
            cause = problem.__cause__ if isinstance(problem, HGQ2Error) else problem
            if cause is not None and not isinstance(cause, HGQ2Error):
                complain.print("".join(traceback.format_exception(problem)).rstrip(), markup=False, soft_wrap=True)
            else:
                complain.print(f"error: {problem}", markup=False, soft_wrap=True)
        if self.conforms:
            out.print(f"{self.plugin.name}: {self.verdict}, {self.rules} rules checked", markup=False)
            if not is_official(f"{self.plugin.name}."):
                out.print(f"  for its README: {self.badge}", markup=False, soft_wrap=True)


def check_plugin(plugin: Plugin) -> Checked:
    """Import every class of a plugin, and check it as far as that needs no arguments, data or seconds.

    Args:
        plugin: the plugin, in any state.
    """
    kinds, rules, problems = 0, 0, [plugin.error] if plugin.state == "failed" and plugin.error else []
    for group, names in plugin.kinds.items():
        for kind in names:
            kinds += 1
            try:
                rules += sum(1 for _ in _checked(group, kind))
            except HGQ2Error as error:
                problems.append(error)
    return Checked(plugin, kinds, rules, tuple(problems))


def _checked(group: str, kind: str) -> Iterator[None]:
    """Yield for each rule that a kind keeps.

    Raises:
        ConformanceError: it breaks rules.
        PluginError: its class is not what its group asks for, or cannot be made.
    """
    from hgq2_core.testing.protocols import check_class
    from hgq2_core.testing.quick import quick_checks
    from hgq2_core.testing.rules import run

    check_class(group, kind)
    yield
    try:
        checks = list(quick_checks(group, kind))
    except HGQ2Error:
        raise
    except Exception as error:  # a plugin may raise any error
        raise PluginError(f"kind {kind!r}: cannot be made. {type(error).__name__}: {error}") from error
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of sizes that only these checks use
        run(kind, checks)
    yield from (None for _ in checks)
