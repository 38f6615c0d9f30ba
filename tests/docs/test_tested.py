"""docs/tested.md: generated from results that have every kind, in which no export differs from the integers."""

from __future__ import annotations

import json
import runpy
from pathlib import Path
from typing import Any

import pytest

from hgq2_core.discovery.known_plugins import is_official
from hgq2_core.discovery.registry import registry

ROOT = Path(__file__).resolve().parents[2]

pytestmark = pytest.mark.once


@pytest.fixture(scope="module")
def script() -> dict[str, Any]:
    return runpy.run_path(str(ROOT / "scripts" / "write_tested_table.py"))


@pytest.fixture(scope="module")
def results() -> dict[str, dict[str, dict[str, str]]]:
    return dict(json.loads((ROOT / "docs" / "results" / "exporters.json").read_text(encoding="utf-8")))


def test_the_page_is_what_the_script_writes(script: dict[str, Any]) -> None:
    text = (ROOT / "docs" / "tested.md").read_text(encoding="utf-8")
    assert text.partition(script["START"])[2] == script["page"](), "run scripts/write_tested_table.py"


@pytest.mark.parametrize("group", ["layers", "quantizers"])
def test_every_kind_was_exported_by_every_exporter(group: str, script: dict[str, Any], results: dict[str, Any]) -> None:
    kinds = {kind for kind in registry().names(group) if is_official(kind) and not kind.startswith("keras.")}
    assert results[group].keys() == kinds, "run scripts/write_tested_table.py --measure"
    assert {*script["EXPORTERS"]} == {kind for kind in registry().names("exporters") if is_official(kind)}
    assert all(found.keys() == {*script["EXPORTERS"]} for found in results[group].values())


def test_nothing_differs_and_what_is_refused_says_why(script: dict[str, Any], results: dict[str, Any]) -> None:
    outcomes = [result for kinds in results.values() for found in kinds.values() for result in found.values()]
    assert not [result for result in outcomes if "mismatches" in result]
    refused = [result for result in outcomes if result not in (script["EQUAL"], script["BEHIND"])]
    assert all(len(result) > 40 for result in refused)
    assert len(refused) < len(outcomes) / 10


@pytest.mark.parametrize(
    ("kind", "exporter"),
    [("layers.dense", "cpp.cpp"), ("layers.subtract", "qonnx.qonnx"), ("minifloat.float8_e5m2", "qonnx.qonnx")],
)
def test_a_result_is_what_the_exporter_does_now(kind: str, exporter: str, script: dict[str, Any], results: Any) -> None:
    group, make, shape = next((group, make, shape) for group, name, make, shape in script["subjects"]() if name == kind)
    found = script["outcome"](exporter, make, shape)
    *_, words = found.split(": ")  # a refusal begins with the name that Keras gave the layer
    assert words == results[group][kind][exporter].split(": ")[-1]
