"""The page on numerics: every number on it is computed, every test and anchor it names exists."""

from __future__ import annotations

import ast
import re
import runpy
from pathlib import Path

import keras
import pytest
from code_blocks import failures

ROOT = Path(__file__).parents[2]
PAGE = ROOT / "docs" / "numerics.md"
TEXT = PAGE.read_text(encoding="utf-8")

pytestmark = pytest.mark.once


@pytest.mark.skipif(keras.backend.backend() != "torch", reason="the page's examples are written for torch")
def test_every_worked_number_is_what_the_code_computes():
    keras.utils.set_random_seed(0)
    assert failures(PAGE) == []


def test_every_anchor_that_is_linked_exists_once():
    anchors = re.findall(r'<a id="([\d.]+)"></a>', TEXT)
    assert len(anchors) == len(set(anchors))
    assert set(re.findall(r"\]\(#([^)]+)\)", TEXT)) <= set(anchors)


@pytest.mark.parametrize("folder", ["hgq2_core", "plugins", "tests", "examples", "benchmarks"])
def test_every_section_that_code_refers_to_exists(folder):
    anchors = set(re.findall(r'<a id="([\d.]+)"></a>', TEXT))
    for path in (ROOT / folder).rglob("*.py"):
        for reference in re.findall(r"docs/numerics\.md(#\d[^\n]*)", path.read_text(encoding="utf-8")):
            sections = set(re.findall(r"#(\d+(?:\.\d+)?)", reference))
            assert sections <= anchors, f"{path}: {reference}"


def test_anchors_are_the_numbers_of_the_sections():
    assert re.findall(r'<a id="(\d+)"></a>\n\n## \1\. ', TEXT) == [str(number) for number in range(1, 11)]
    assert re.findall(r'<a id="9\.(\d+)"></a>9\.\1 ', TEXT) == [str(number) for number in range(1, 21)]


@pytest.mark.parametrize(("file", "test"), re.findall(r"`(tests/[\w/]+\.py)::(\w+)`", TEXT))
def test_every_test_that_is_named_exists(file, test):
    tree = ast.parse((ROOT / file).read_text(encoding="utf-8"))
    assert test in {node.name for node in tree.body if isinstance(node, ast.FunctionDef)}


def test_every_picture_is_drawn_by_the_script(tmp_path, monkeypatch):
    monkeypatch.setattr("sys.argv", ["numerics.py", str(tmp_path)])
    runpy.run_path(str(ROOT / "docs" / "figures" / "numerics.py"), run_name="__main__")
    drawn = {path.name for path in tmp_path.iterdir()}
    assert drawn == {Path(name).name for name in re.findall(r"\]\((figures/[^)]+)\)", TEXT)}
