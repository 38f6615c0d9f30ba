"""What the public forge reads: its CI runs targets that there are, on the Pythons that a release resolves for."""

from __future__ import annotations

import re
import runpy
import tomllib
from pathlib import Path
from typing import Any

import pytest
import yaml

ROOT = Path(__file__).parents[2]
FORMS = sorted((ROOT / ".github" / "ISSUE_TEMPLATE").glob("*.yml"))

pytestmark = pytest.mark.once


def read(path: Path) -> Any:
    return yaml.safe_load(path.read_text(encoding="utf-8"))


@pytest.fixture(scope="module")
def jobs() -> dict[str, Any]:
    return dict(read(ROOT / ".github" / "workflows" / "ci.yml")["jobs"])


def test_every_command_of_make_is_a_target(jobs):
    targets = set(re.findall(r"^([a-z-]+):", (ROOT / "Makefile").read_text(encoding="utf-8"), re.MULTILINE))
    commands = [step["run"] for job in jobs.values() for step in job["steps"] if "run" in step]
    called = {word for command in commands for word in re.findall(r"\bmake ([a-z-]+)", command)}
    assert called == {"install", "test", "test-oldest", "release"} and called <= targets
    assert set(jobs["check"]["strategy"]["matrix"]["target"]) <= targets


def test_the_forge_runs_what_the_ci_of_this_repository_runs(jobs):
    (targets,) = re.findall(
        r"^for target in (.*); do$", (ROOT / ".ci" / "run").read_text(encoding="utf-8"), re.MULTILINE
    )
    assert jobs["check"]["strategy"]["matrix"]["target"] == targets.split()


def test_the_pythons_are_those_that_a_release_resolves_for(jobs):
    newer = runpy.run_path(str(ROOT / "scripts" / "release.py"))["NEWER_PYTHONS"]
    assert jobs["pythons"]["strategy"]["matrix"]["python"] == list(newer)
    oldest = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]["requires-python"]
    assert oldest == f">={jobs['check']['steps'][1]['with']['python-version']}"


@pytest.mark.parametrize("form", [path for path in FORMS if path.name != "config.yml"], ids=lambda path: path.stem)
def test_an_issue_form_asks_by_names_of_their_own(form):
    content = read(form)
    assert content["name"] and content["description"]
    names = [field["id"] for field in content["body"] if field["type"] != "markdown"]
    assert names and len(names) == len(set(names))


def test_the_citation_has_what_its_format_asks_for():
    citation = read(ROOT / "CITATION.cff")
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    assert {"cff-version", "message", "title", "authors"} <= citation.keys()
    assert citation["license"] == project["license"]
    assert [author["name"] for author in citation["authors"]] == [author["name"] for author in project["authors"]]
