"""Fit the cost models to synthesized circuits, and test them on trained models."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from scipy.optimize import nnls
from scipy.stats import spearmanr

Row = dict[str, Any]

SMALL = 10.0
"""LUTs below which an absolute error counts, not a relative one."""


def fit(rows: Sequence[Row], kind: str) -> dict[str, float]:
    """Return the LUTs for one of each operation: least squares of relative errors, none below 0.

    Args:
        rows: circuits with `luts`, and under `kind` what was counted.
        kind: `circuit` or `arithmetic`.
    """
    names = sorted({name for row in rows for name in row[kind]})
    counts = np.array([[row[kind].get(name, 0.0) for name in names] for row in rows])
    luts = np.array([row["luts"] for row in rows], dtype=float)
    weight = 1 / (luts + SMALL)
    found, _ = nnls(counts * weight[:, None], luts * weight)
    return {name: round(float(value), 4) for name, value in zip(names, found, strict=True) if value > 0}


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
    synthesis, to what the model of circuits says.

    Args:
        small: the circuits to fit to.
        trained: the circuits to test on.
        origin: where they come from.
    """
    synthesized = [row for row in small if "luts" in row]
    circuit = fit(synthesized, "circuit")
    every = [{"luts": predicted(row, "circuit", circuit), **row} for row in small]
    arithmetic = fit(every, "arithmetic")
    ratio = float(np.median([row["luts"] / row["ebops"] for row in every if row["ebops"] > SMALL]))
    return {
        "circuit": {"luts": circuit, "spread": spread(trained, "circuit", circuit)},
        "arithmetic": {"luts": arithmetic, "spread": spread(trained, "arithmetic", arithmetic)},
        "luts_per_ebop": round(ratio, 4),
        "origin": {**origin, "circuits": len(small), "synthesized": len(synthesized)},
    }
