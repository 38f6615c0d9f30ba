"""Write the tables of docs/catalogue.md, and keep the text above them: run `make stubs` after adding a kind.

What becomes of a layer follows from the registry, as in `hgq2 list --table`; reasons are in
`hgq2_core.schema.refused_layers`, the names of predecessors in scripts/predecessors.py.
"""

from __future__ import annotations

import importlib
import inspect
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import hgq2_core  # first: it chooses the backend
from hgq2_core import KerasAdapter
from hgq2_core.cli.layer_table import LayerRow, keras_row
from hgq2_core.discovery.registry import registry
from hgq2_core.schema.keras_layers import KERAS
from hgq2_core.schema.refused_layers import NO_LAYER, REFUSED

import keras  # isort: skip
from predecessors import HGQ2, NOTES, OURS, QKERAS, WITHOUT
from write_stubs import PACKAGES

PAGE = Path(__file__).resolve().parents[1] / "docs" / "catalogue.md"
GROUPS = ("layers", "quantizers", "callbacks")
QUANTIZED, KEPT, REFUSES, PART = "quantized", "kept", "refused", "part"


@dataclass(frozen=True)
class CatalogueRow:
    """One class of `keras.layers`.

    Args:
        name: its name there.
        aliases: its other names there.
        here: `quantized`, `kept`, `refused` or `part`.
        how: the quantized layer, the condition, or the reason.
    """

    name: str
    aliases: tuple[str, ...]
    here: str
    how: str


def keras_classes() -> dict[str, tuple[str, ...]]:
    """Return every public class of `keras.layers` once, by its name there, that of the class if it has several."""
    names: dict[type, list[str]] = {}
    for name, value in inspect.getmembers(keras.layers, inspect.isclass):
        names.setdefault(value, []).append(name)
    by_class = (sorted(known, key=lambda name: name != cls.__name__) for cls, known in names.items())
    return {first: tuple(others) for first, *others in by_class}


def keras_catalogue() -> list[CatalogueRow]:
    """Return the rows, sorted.

    Raises:
        KeyError: a class has no quantized form, no adapter, and no reason.
    """
    return [_row(name, aliases) for name, aliases in sorted(keras_classes().items())]


def _row(name: str, aliases: tuple[str, ...]) -> CatalogueRow:
    row = keras_row(name)
    if row.converts == "by a rule only":
        refusal = REFUSED[name]
        here = PART if refusal is NO_LAYER else REFUSES
        return CatalogueRow(name, aliases, here, f"{refusal.reason}: {refusal.remedy}")
    if "." in row.converts:
        return CatalogueRow(name, aliases, QUANTIZED, f"`{row.converts}`")
    return CatalogueRow(name, aliases, KEPT, _kept(row))


def _kept(row: LayerRow) -> str:
    if row.exact == "yes":
        return row.converts
    adapter = registry().load("layers", row.layer)
    otherwise = "" if adapter.quantized_kind is KerasAdapter.quantized_kind else ", else it is quantized"
    return f"stays {row.exact}{otherwise}"


@dataclass(frozen=True)
class PredecessorRow:
    """One public name of a predecessor.

    Args:
        module: where it is there.
        name: its name there.
        python: what to import in its place; empty if there is nothing.
        config: the kind to write in a file, and what the name needs besides; or why there is nothing.
    """

    module: str
    name: str
    python: str
    config: str


def predecessor_catalogue(names: Mapping[str, Sequence[str]]) -> Iterator[PredecessorRow]:
    """Yield a row for each name.

    Raises:
        KeyError: a name has nothing here, and no reason.
    """
    exported = {
        name.lower(): getattr(importlib.import_module(package), name)
        for package in (hgq2_core.__name__, *PACKAGES)
        for name in importlib.import_module(package).__all__
    }
    classes = {kind: registry().load(group, kind) for group in GROUPS for kind in registry().names(group)}
    kinds = {cls: kind for kind, cls in classes.items() if not kind.startswith(KERAS)}
    for module, publics in names.items():
        for name in publics:
            ours = OURS.get(name, name)
            value = classes.get(ours) or exported.get(ours.rpartition(":")[2].lower())
            if value is None:
                yield PredecessorRow(module, name, "", f"none: {WITHOUT[name]}")
                continue
            config = [f"`{kinds[value]}`"] if value in kinds else []
            config += [NOTES[name]] if name in NOTES else []
            package = value.__module__.partition(".")[0]
            yield PredecessorRow(module, name, f"`{package}.{value.__name__}`", "; ".join(config))


def markdown(heads: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    """Return a table in Markdown."""
    lines = [heads, ["---"] * len(heads), *rows]
    return "".join(f"| {' | '.join(line)} |\n" for line in lines)


def tables() -> str:
    """Return everything below the page's text."""
    layers = [(f"{KERAS}{row.name}", ", ".join(row.aliases), row.here, row.how) for row in keras_catalogue()]
    parts = [f"## Keras {keras.__version__}\n\n" + markdown(("class", "also", "here", "how"), layers)]
    for title, names in (("HGQ2 0.2.0", HGQ2), ("QKeras", QKERAS)):
        rows = [(row.module, f"`{row.name}`", row.python, row.config) for row in predecessor_catalogue(names)]
        parts.append(
            f"## {title}\n\n" + markdown(("module", "name", "here, in Python", "in a config, or why not"), rows)
        )
    return "\n".join(parts)


if __name__ == "__main__":
    text, _, _ = PAGE.read_text(encoding="utf-8").partition("## ")
    PAGE.write_text(text + tables(), encoding="utf-8")
