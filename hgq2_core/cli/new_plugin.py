"""The command `new-plugin`, which writes a package of a third party, with tests that pass, to begin from."""

from __future__ import annotations

import keyword
import re
import sys
from collections.abc import Iterable
from importlib.metadata import version
from pathlib import Path
from string import Template
from typing import Annotated

import typer

from hgq2_core.commands.options import AsJson
from hgq2_core.commands.printing import print_json
from hgq2_core.discovery.known_plugins import CORE, DISTRIBUTIONS, install_hint
from hgq2_core.discovery.loading import RESERVED
from hgq2_core.errors import ConfigError
from hgq2_core.files import new_directory, write_text

TEMPLATES = Path(__file__).with_name("templates")
"""A folder for each sort of plugin, with two templates that become parts of other files, and `common`."""

SORTS = {
    "quantizer": "a quantizer",
    "layer": "a layer",
    "dataset": "a data set",
    "callback": "a callback",
    "exporter": "an exporter",
    "loss": "a loss",
    "metric": "a metric",
    "optimizer": "an optimizer",
    "schedule": "a schedule of the learning rate",
    "command": "a command",
}
"""The sorts of plugins, in words; each has a folder of `TEMPLATES`."""

SUFFIX = ".tmpl"
PARTS = ("hook", "rows")
IMPORTED = ("hgq2_core", "keras", "numpy", "pydantic", "pytest", "typer")
"""What the files import, besides the standard library."""

_NAME = re.compile(r"(?=.{1,40}$)[a-z][a-z0-9]*([-_][a-z0-9]+)*")
_PREFIX = re.compile(r"[a-z][a-z0-9_]{,39}")


def new_plugin(
    name: Annotated[str, typer.Argument(help="Of the distribution, such as acme-levels.", show_default=False)],
    quantizer: Annotated[bool, typer.Option("--quantizer", help="With a quantizer; so too without options.")] = False,
    layer: Annotated[bool, typer.Option("--layer", help="With a layer.")] = False,
    dataset: Annotated[bool, typer.Option("--dataset", help="With a data set.")] = False,
    callback: Annotated[bool, typer.Option("--callback", help="With a callback.")] = False,
    exporter: Annotated[bool, typer.Option("--exporter", help="With an exporter.")] = False,
    loss: Annotated[bool, typer.Option("--loss", help="With a loss.")] = False,
    metric: Annotated[bool, typer.Option("--metric", help="With a metric.")] = False,
    optimizer: Annotated[bool, typer.Option("--optimizer", help="With an optimizer.")] = False,
    schedule: Annotated[bool, typer.Option("--schedule", help="With a schedule of the learning rate.")] = False,
    command: Annotated[bool, typer.Option("--command", help="With a subcommand of hgq2.")] = False,
    prefix: Annotated[
        str | None,
        typer.Option(help="First half of its kinds; without it, NAME with underscores.", show_default=False),
    ] = None,
    output: Annotated[
        Path | None,
        typer.Option("-o", "--output", help="A new directory; without it, NAME.", show_default=False),
    ] = None,
    as_json: AsJson = False,
) -> None:
    """Write a package that adds kinds to hgq2, with tests, lint and types that pass, to begin your own from.

    Example: hgq2 new-plugin acme-levels --quantizer --layer
    """
    chosen = {
        "quantizer": quantizer,
        "layer": layer,
        "dataset": dataset,
        "callback": callback,
        "exporter": exporter,
        "loss": loss,
        "metric": metric,
        "optimizer": optimizer,
        "schedule": schedule,
        "command": command,
    }
    sorts = [sort for sort, wanted in chosen.items() if wanted] or ["quantizer"]
    files = package_files(name, sorts, prefix)
    directory = Path(name) if output is None else output
    with new_directory(directory, "a plugin") as temporary:
        for path, text in files.items():
            (temporary / path).parent.mkdir(parents=True, exist_ok=True)
            write_text(temporary / path, text)
    if as_json:
        print_json({"directory": str(directory), "files": list(files)})
        return
    for path in files:
        typer.echo(directory / path)
    typer.echo(f"Next: cd {directory} && python -m pip install -e '.[test]' && python -m pytest")


def package_files(name: str, sorts: Iterable[str], prefix: str | None = None) -> dict[str, str]:
    """Return the files of a package by their paths in it.

    Args:
        name: of the distribution; the import package is the same with underscores.
        sorts: folders of `TEMPLATES`, at least one.
        prefix: first half of its kinds; None means the name of the import package.

    Raises:
        ConfigError: the name or the prefix cannot be used, or is taken.
    """
    package = _package(name)
    prefix = package if prefix is None else prefix
    _check_prefix(prefix)
    sorts = list(sorts)
    major, minor = version(CORE).split(".")[:2]
    words = {
        "name": name,
        "package": package,
        "prefix": prefix,
        "summary": _enumeration([SORTS[sort] for sort in sorts]),
        "versions": f">={major}.{minor},<{major}.{int(minor) + 1}",
        "install": install_hint(CORE, *map(DISTRIBUTIONS.__getitem__, ("fixed_point", "layers"))),
    }
    hooks, rows = ([_render(TEMPLATES / sort / f"{part}{SUFFIX}", words) for sort in sorts] for part in PARTS)
    words |= {"hooks": "\n\n".join(hooks), "rows": "".join(rows)}
    files = {}
    for folder in (TEMPLATES / sort for sort in ("common", *sorts)):
        for template in folder.rglob(f"*?{SUFFIX}"):
            inside = template.relative_to(folder).with_suffix("")
            if str(inside) not in PARTS:
                files[_place(inside, package)] = _render(template, words)
    return dict(sorted(files.items()))


def _place(path: Path, package: str) -> str:
    """Return the place in the package of a template: names with a dot in front would not come into every wheel."""
    first, *others = path.parts
    first = {"package": package, "github": ".github", "gitignore": ".gitignore"}.get(first, first)
    return "/".join([first, *others])


def _render(template: Path, words: dict[str, str]) -> str:
    return Template(template.read_text(encoding="utf-8")).substitute(words)


def _enumeration(things: list[str]) -> str:
    *others, last = things
    return f"{', '.join(others)} and {last}" if others else last


def _package(name: str) -> str:
    """Return the name of the import package."""
    if not _NAME.fullmatch(name):
        raise ConfigError(
            f"new-plugin: not a name for a plugin's distribution. Received: {name!r}. Allowed: words of small letters "
            "and digits with one hyphen between them, a letter first, at most 40 characters, such as 'acme-levels'."
        )
    package = name.replace("-", "_")
    official = {CORE, *DISTRIBUTIONS.values()}
    if name.replace("_", "-") in official:
        raise ConfigError(f"new-plugin: a distribution of hgq2 itself. Received: {name!r}. Allowed: another name.")
    if keyword.iskeyword(package) or package in {*sys.stdlib_module_names, *IMPORTED, "tests"}:
        raise ConfigError(
            f"new-plugin: a word or module of Python, or a module that plugins import. Received: {name!r}. "
            "Allowed: another name."
        )
    return package


def _check_prefix(prefix: str) -> None:
    if not _PREFIX.fullmatch(prefix):
        raise ConfigError(
            f"new-plugin: not a prefix of kinds. Received: {prefix!r}. "
            "Allowed: small letters, digits and underscores, a letter first, at most 40 of them, such as 'acme'."
        )
    taken = [*DISTRIBUTIONS, *RESERVED]
    if prefix in taken:
        raise ConfigError(
            f"new-plugin: a prefix of hgq2 itself. Received: {prefix!r}. "
            f"Allowed: all but {', '.join(sorted(taken))}; `--prefix` sets another."
        )
