"""The pages on extending: each holds a whole plugin, which is installed, loaded by the registry, and tested."""

from __future__ import annotations

import os
import re
import subprocess
import sys
import tomllib
from pathlib import Path

import pytest
from page_plugin import files_of, install

from hgq2_core.cli.new_plugin import SORTS, package_files
from hgq2_core.hookspecs import ENTRY_POINT_GROUP

PAGES = sorted((Path(__file__).parents[2] / "docs" / "extending").glob("*.md"))

pytestmark = pytest.mark.once

pages = pytest.mark.parametrize("page", PAGES, ids=[page.stem for page in PAGES])


def test_every_extension_point_has_its_page():
    points = ["adapter", "callback", "command", "dataset", "exporter", "layer", "loss", "metric", "optimizer"]
    points += ["quantizer", "schedule"]
    assert [page.stem for page in PAGES] == points


@pytest.mark.slow
@pages
def test_the_plugin_of_the_page_passes_the_tests_of_the_page(page, tmp_path):
    install(files_of(page), tmp_path)
    path = os.pathsep.join([str(tmp_path), *filter(None, sys.path)])
    programs = os.pathsep.join([str(Path(sys.executable).parent), os.environ["PATH"]])
    environment = {**os.environ, "PYTHONPATH": path, "PATH": programs, "HGQ2_STRICT": "1"}
    command = [sys.executable, "-m", "pytest", "-q", "--tb=short", "-p", "no:cacheprovider", "tests"]
    process = subprocess.run(command, cwd=tmp_path, env=environment, capture_output=True, text=True, timeout=300)
    assert process.returncode == 0, process.stdout + process.stderr


@pages
def test_the_files_of_the_page_are_complete(page):
    files = files_of(page)
    package = next(iter(name for name in files if name.endswith("/plugin.py"))).partition("/")[0]
    assert {"pyproject.toml", f"{package}/plugin.py", f"{package}/__init__.py"} <= set(files)
    assert f'[project.entry-points."{ENTRY_POINT_GROUP}"]' in files["pyproject.toml"]
    assert any(name.startswith("tests/test_") for name in files)


@pytest.mark.parametrize("sort", SORTS)
def test_the_modules_of_the_page_are_those_that_new_plugin_writes(sort):
    files = files_of(PAGES[0].with_name(f"{sort}.md"))
    name = tomllib.loads(files["pyproject.toml"])["project"]["name"]
    package = name.replace("-", "_")
    made = package_files(name, [sort], "acme")
    modules = {path for path in made if path.startswith(f"{package}/") and path.endswith(".py")}
    assert modules == {path for path in files if path.startswith(f"{package}/")}
    for path in modules - {f"{package}/__init__.py"}:
        assert files[path] == made[path], path


@pages
def test_every_link_of_the_page_leads_somewhere(page):
    for target in re.findall(r"\]\(([^)#]+)(?:#[^)]*)?\)", page.read_text(encoding="utf-8")):
        assert (page.parent / target).exists(), target


@pages
def test_the_page_has_every_part(page):
    titles = re.findall(r"^## (.+)$", page.read_text(encoding="utf-8"), re.MULTILINE)
    assert {"The protocol", "The files", "Test it", "Mistakes, and what they say"} <= set(titles)
