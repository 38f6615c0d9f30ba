"""The documentation site: its nav names every page, it builds without a warning, and needs nothing from elsewhere."""

from __future__ import annotations

import importlib
import json
import os
import re
import subprocess
import sys
from pathlib import Path
from typing import Any

import jsonschema
import pytest
import yaml

ROOT = Path(__file__).resolve().parents[2]
NOT_ON_THE_SITE = {"index_page.md"}
"""The description of the distribution on an index of packages."""

pytestmark = [pytest.mark.once, pytest.mark.slow]

pytest.importorskip("mkdocstrings", reason="needs pip install -r requirements-docs.txt")
pytest.importorskip("material", reason="needs pip install -r requirements-docs.txt")


@pytest.fixture(scope="module")
def hook() -> Any:
    with pytest.MonkeyPatch.context() as patch:
        patch.syspath_prepend(str(ROOT / "scripts"))
        return importlib.import_module("site_pages")


@pytest.fixture(scope="module")
def nav() -> Any:
    from mkdocs.config import load_config

    return load_config(str(ROOT / "mkdocs.yml")).nav


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("site")
    command = [sys.executable, "-m", "mkdocs", "build", "--strict", "--quiet", "--site-dir", str(folder)]
    environment = {**os.environ, "NO_MKDOCS_2_WARNING": "1"}  # a notice of the theme's, about neither page nor build
    process = subprocess.run(command, cwd=ROOT, env=environment, capture_output=True, text=True, timeout=300)
    assert process.returncode == 0, process.stdout + process.stderr
    return folder


def test_the_nav_names_every_page_once(hook: Any, nav: Any) -> None:
    named = list(hook.pages(nav))
    assert len(named) == len(set(named))
    pages = {str(path.relative_to(ROOT / "docs")) for path in (ROOT / "docs").rglob("*.md")} - NOT_ON_THE_SITE
    plugins = {str(path.relative_to(ROOT)) for path in ROOT.glob("plugins/*/README.md")}
    assert pages | plugins <= set(named)


def test_it_builds_without_a_warning(site: Path) -> None:
    assert (site / "index.html").exists()


def test_the_reference_has_every_public_name(hook: Any, nav: Any, site: Path) -> None:
    packages = [found[1] for page in hook.pages(nav) if (found := hook.REFERENCE.match(page))]
    for package in packages:
        page = (site / "reference" / f"{package}.html").read_text(encoding="utf-8")
        missing = [name for name in hook.exported(package) if not re.search(rf'id="{package}[.\w]*\.{name}"', page)]
        assert missing == [], package
        assert page.count("doc-object") > 3, package


def test_every_link_leads_to_a_file_of_the_site(site: Path) -> None:
    for page in site.rglob("*.html"):
        for link in re.findall(r'(?:href|src)="([^"#]+)', page.read_text(encoding="utf-8")):
            if not re.match(r"\w+:|/", link):
                assert (page.parent / link).exists(), f"{page.name}: {link}"


def test_the_schemas_for_editors_are_on_it(site: Path) -> None:
    config = yaml.safe_load((ROOT / "examples" / "digits.yaml").read_text(encoding="utf-8"))
    schema = json.loads((site / "schema" / "config.json").read_text(encoding="utf-8"))
    jsonschema.validate(config, schema)
    with pytest.raises(jsonschema.ValidationError):
        jsonschema.validate(config | {"no_such_section": 1}, schema)
    sweep = yaml.safe_load((ROOT / "examples" / "sweeps" / "digits.yaml").read_text(encoding="utf-8"))
    jsonschema.validate(sweep, json.loads((site / "schema" / "sweep.json").read_text(encoding="utf-8")))


def test_nothing_is_fetched_from_elsewhere(site: Path) -> None:
    fetched = re.compile(r'<(?:link|script|img|iframe)[^>]*(?:href|src)="(?:https?:)?//')
    assert [page.name for page in site.rglob("*.html") if fetched.search(page.read_text(encoding="utf-8"))] == []
