"""The page on the architecture: every file and name on it exists, and its rooms and layers are those of the code."""

from __future__ import annotations

import ast
import re
import runpy
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
DOCS = ROOT / "docs"
TEXT = (DOCS / "architecture.md").read_text(encoding="utf-8")
DRAW = runpy.run_path(str(DOCS / "figures" / "architecture.py"))
MEASURE = runpy.run_path(str(ROOT / "scripts" / "measure_core.py"))

ROOMS, FLOORS = 22, 9
"""The size of the core. A newcomer walks through all of it: a further room or floor is a decision, made here."""

pytestmark = pytest.mark.once


def rooms_by_layer() -> list[list[str]]:
    """The rooms of the page's table, from the top."""
    layers: dict[int, list[str]] = {}
    for layer, room in re.findall(r"^\| (\d+) \| `(\w+)` \|", TEXT, re.MULTILINE):
        layers.setdefault(int(layer), []).append(room)
    assert list(layers) == list(range(1, len(layers) + 1))
    return list(layers.values())


def test_the_rooms_are_the_modules_and_folders_of_the_core():
    core = ROOT / "hgq2_core"
    modules = {path.stem for path in core.glob("*.py")} - {"__init__"}
    folders = {path.parent.name for path in core.glob("*/__init__.py")}
    assert {room for rooms in rooms_by_layer() for room in rooms} == (modules | folders) - MEASURE["FORMER"]


def test_the_layers_are_those_of_the_import_contract():
    assert list(map(sorted, rooms_by_layer())) == list(map(sorted, DRAW["layers"]()))


def test_the_core_does_not_grow_silently():
    layers, imports = DRAW["layers"](), MEASURE["imports_between_rooms"]()
    rooms = [room for layer in layers for room in layer]
    assert len(rooms) <= ROOMS
    assert len(layers) == len(MEASURE["floors"](rooms, imports)) <= FLOORS
    assert MEASURE["upward"](layers, imports) == []


@pytest.mark.parametrize("file", sorted(set(re.findall(r"`([\w/.]+/[\w.]+\.(?:py|md))(?:::[\w.]+)?`", TEXT))))
def test_every_file_exists(file):
    assert (ROOT / file).is_file()


@pytest.mark.parametrize(("file", "name"), sorted(set(re.findall(r"`([\w/.]+\.py)::([\w.]+)`", TEXT))))
def test_every_name_is_defined_in_its_file(file, name):
    body = ast.parse((ROOT / file).read_text(encoding="utf-8")).body
    for part in name.split("."):
        definitions = {node.name: node for node in body if isinstance(node, ast.ClassDef | ast.FunctionDef)}
        assert part in definitions, f"{file} defines no {name}"
        body = definitions[part].body


@pytest.mark.parametrize("target", sorted(set(re.findall(r"\]\(([^)#]+)\)", TEXT))))
def test_every_link_leads_somewhere(target):
    assert (DOCS / target).exists()


def test_the_contract_that_is_named_exists():
    (name,) = re.findall(r'the contract "([^"]+)"', TEXT)
    assert f'name = "{name}"' in (ROOT / "pyproject.toml").read_text(encoding="utf-8")


def test_the_picture_shows_the_code_of_today():
    committed = (DOCS / "figures" / "architecture.svg").read_text(encoding="utf-8")
    assert committed == DRAW["picture"](), "draw it again: python docs/figures/architecture.py"


def test_the_picture_has_every_plugin_and_its_hooks():
    plugins = DRAW["plugins"]()
    assert set(plugins) == {path.parent.name for path in ROOT.glob("plugins/*/pyproject.toml")}
    assert all(plugins.values())


def test_every_picture_belongs_to_a_page():
    link = re.compile(r"\]\((?:\.\./)?figures/([^)]+)\)")
    shown = {name for page in DOCS.rglob("*.md") for name in link.findall(page.read_text())}
    assert shown == {path.name for path in (DOCS / "figures").iterdir() if path.suffix in (".svg", ".png")}
