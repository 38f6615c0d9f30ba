"""What an index and an installed distribution show of a project: read from the sources; tests/packaging builds them."""

from __future__ import annotations

import re
import tomllib
from pathlib import Path

import pytest

from hgq2_core.discovery.known_plugins import CORE, DISTRIBUTIONS, install_hint

ROOT = Path(__file__).parents[2]
PROJECTS = [ROOT, *sorted(path.parent for path in ROOT.glob("plugins/*/pyproject.toml"))]
EACH = pytest.mark.parametrize("project", PROJECTS, ids=lambda path: path.name)

pytestmark = pytest.mark.once


def metadata(project: Path) -> dict:
    return tomllib.loads((project / "pyproject.toml").read_text())["project"]


@EACH
def test_a_project_says_who_made_it_and_for_whom(project):
    found = metadata(project)
    assert found["authors"] == [{"name": "The hgq2-core developers"}]
    assert found["classifiers"] == metadata(ROOT)["classifiers"]
    assert found["license-files"] == ["LICENSE"]


@EACH
def test_a_project_holds_the_licence_and_says_that_it_is_typed(project):
    assert (project / "LICENSE").read_bytes() == (ROOT / "LICENSE").read_bytes()
    package = project / metadata(project)["name"].replace("-", "_")
    assert (package / "py.typed").is_file()


@EACH
def test_the_page_on_an_index_links_to_no_file(project):
    """Nothing there answers to a path in the repository."""
    page = (project / metadata(project)["readme"]).read_text()
    targets = re.findall(r"\]\(([^)]*)\)", page)
    assert [target for target in targets if not target.startswith("https://")] == []


@pytest.mark.parametrize("page", [metadata(ROOT)["readme"], "docs/index.md"])
def test_the_page_shows_the_code_of_the_readme(page):
    (code,) = re.findall(r"```python\n.*?```", (ROOT / page).read_text(), re.DOTALL)
    assert code in (ROOT / "README.md").read_text()


def test_the_extra_all_is_every_plugin():
    named = [re.split("[><=]", each)[0] for each in metadata(ROOT)["optional-dependencies"]["all"]]
    assert named == sorted(DISTRIBUTIONS.values())
    assert named == sorted(metadata(project)["name"] for project in PROJECTS[1:])


@pytest.mark.parametrize("name", DISTRIBUTIONS)
def test_a_hint_names_a_folder_that_holds_the_distribution(name):
    distribution = DISTRIBUTIONS[name]
    assert metadata(ROOT / "plugins" / name)["name"] == distribution
    assert install_hint(distribution) == (
        f"pip install {distribution} (not on PyPI yet: pip install ./plugins/{name} in a clone)"
    )


def test_a_hint_quotes_extras_for_the_shell():
    assert install_hint(f"{CORE}[torch]") == (
        "pip install 'hgq2-core[torch]' (not on PyPI yet: pip install '.[torch]' in a clone)"
    )
