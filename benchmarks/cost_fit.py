"""Fit the cost models to synthesized circuits, and test them on trained models."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from scipy.optimize import linprog
from scipy.stats import spearmanr

Row = dict[str, Any]

SMALL = 10.0
"""LUTs below which an absolute error counts, not a relative one."""

FOLDS = 5


def fit(rows: Sequence[Row], kind: str) -> dict[str, float]:
    """Return the LUTs for one of each operation, none below 0, with the smallest sum of absolute relative errors.

    Squares of errors would go by the few circuits of which a model does not see that much of them is never used.

    Args:
        rows: circuits with `luts`, and under `kind` what was counted.
        kind: `circuit` or `arithmetic`.
    """
    names = sorted({name for row in rows for name in row[kind]})
    counts = np.array([[row[kind].get(name, 0.0) for name in names] for row in rows])
    luts = np.array([row["luts"] for row in rows], dtype=float)
    weight = 1 / (luts + SMALL)
    # Errors are the difference of two slacks, both at least 0, whose sum is the least.
    slack = np.eye(len(rows))
    prices = np.concatenate([np.zeros(len(names)), np.ones(2 * len(rows))])
    equations = np.concatenate([counts * weight[:, np.newaxis], slack, -slack], axis=1)
    found = linprog(prices, A_eq=equations, b_eq=luts * weight).x[: len(names)]
    return {name: round(float(value), 4) for name, value in zip(names, found, strict=True) if value > 1e-4}


def cross_validated(rows: Sequence[Row], kind: str) -> dict[str, float]:
    """Return the errors on circuits, each fifth of them predicted by a fit to the others."""
    order = np.random.default_rng(0).permutation(len(rows))
    errors = []
    for part in range(FOLDS):
        others = fit([rows[n] for place, n in enumerate(order) if place % FOLDS != part], kind)
        errors += [abs(predicted(rows[n], kind, others) / (rows[n]["luts"] or 1) - 1) for n in order[part::FOLDS]]
    return {"median": round(float(np.median(errors)), 4), "ninety": round(float(np.quantile(errors, 0.9)), 4)}


def predicted(row: Row, kind: str, luts: dict[str, float]) -> float:
    """Return the LUTs of a circuit by fitted coefficients."""
    return sum(luts.get(name, 0.0) * count for name, count in row[kind].items())


def spread(rows: Sequence[Row], kind: str, luts: dict[str, float]) -> dict[str, float]:
    """Return how far predictions are from the synthesis."""
    real = np.array([row["luts"] for row in rows], dtype=float)
    found = np.array([predicted(row, kind, luts) for row in rows])
    errors = np.abs(found / real - 1)
    return {
        "models": len(rows),
        "median": round(float(np.median(errors)), 4),
        "ninety": round(float(np.quantile(errors, 0.9)), 4),
        "rank": round(float(spearmanr(found, real).statistic), 4),
        "low": round(min(float(np.quantile(real / found, 0.1)), 1.0), 4),
        "high": round(max(float(np.quantile(real / found, 0.9)), 1.0), 4),
    }


def fitted(small: Sequence[Row], trained: Sequence[Row], origin: dict[str, Any]) -> dict[str, Any]:
    """Return the document of coefficients.

    The model of circuits is fitted to those that are synthesized, and the model of arithmetic to all: where there is no
    synthesis, to what the model of circuits says. The origin has the errors of both on small circuits, cross-validated.

    Args:
        small: the circuits to fit to.
        trained: the circuits to test on.
        origin: where they come from.
    """
    synthesized = [row for row in small if "luts" in row]
    circuit = fit(synthesized, "circuit")
    every = [{"luts": predicted(row, "circuit", circuit), **row} for row in small]
    arithmetic = fit(every, "arithmetic")
    validated = {"circuit": cross_validated(synthesized, "circuit"), "arithmetic": cross_validated(every, "arithmetic")}
    ratio = float(np.median([row["luts"] / row["ebops"] for row in every if row["ebops"] > SMALL]))
    return {
        "circuit": {"luts": circuit, "spread": spread(trained, "circuit", circuit)},
        "arithmetic": {"luts": arithmetic, "spread": spread(trained, "arithmetic", arithmetic)},
        "luts_per_ebop": round(ratio, 4),
        "origin": {**origin, "circuits": len(small), "synthesized": len(synthesized), "cross_validated": validated},
    }
