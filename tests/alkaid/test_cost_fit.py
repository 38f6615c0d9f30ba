"""How the cost models are fitted to synthesized circuits, and how far they are said to be off."""

from __future__ import annotations

import runpy
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

cost_fit = runpy.run_path(str(Path(__file__).parents[2] / "benchmarks" / "cost_fit.py"))
counts = st.lists(st.integers(1, 10_000), min_size=2, max_size=12, unique=True)


def circuits(luts, found):
    return [{"luts": n, "circuit": {"add": float(m)}} for n, m in zip(luts, found, strict=False)]


@given(counts, counts)
def test_a_prediction_lies_within_its_spread_however_wrong_it_is(luts, found):
    spread = cost_fit["spread"](circuits(luts, found), "circuit", {"add": 1.0})
    assert 0 < spread["low"] <= 1 <= spread["high"]


@pytest.mark.parametrize(("factor", "low", "high"), [(0.5, 1.0, 2.0), (2.0, 0.5, 1.0), (1.0, 1.0, 1.0)])
def test_a_biased_prediction_has_a_spread_to_one_side(factor, low, high):
    luts = [100, 200, 300]
    spread = cost_fit["spread"](circuits(luts, [factor * n for n in luts]), "circuit", {"add": 1.0})
    assert (spread["low"], spread["high"], spread["median"]) == (low, high, abs(factor - 1))


def test_the_fit_finds_what_each_operation_costs_and_leaves_out_what_costs_nothing():
    rows = [
        {"luts": 2 * a + 3 * b, "circuit": {"add": a, "table": b, "round": a % 3}} for a in (5, 20) for b in (7, 90)
    ]
    rows += [{"luts": 80, "circuit": {"add": 40, "round": 9}}]
    assert cost_fit["fit"](rows, "circuit") == pytest.approx({"add": 2.0, "table": 3.0})


def test_one_circuit_that_is_mostly_unused_does_not_move_the_others():
    rows = [{"luts": 2 * n, "circuit": {"add": float(n)}} for n in (10, 30, 50, 70)]
    assert cost_fit["fit"]([*rows, {"luts": 40, "circuit": {"add": 50.0}}], "circuit") == pytest.approx({"add": 2.0})


def test_errors_on_small_circuits_are_those_of_fits_to_the_others():
    rows = [{"luts": 2 * n, "circuit": {"add": float(n)}} for n in range(10, 40)]
    assert cost_fit["cross_validated"](rows, "circuit") == {"median": 0.0, "ninety": 0.0}
    rows[0]["luts"] *= 2  # in no fit that predicts it
    rows[1]["luts"] *= 2
    found = cost_fit["cross_validated"](rows[:6], "circuit")
    assert 0 < found["ninety"] <= 0.5
