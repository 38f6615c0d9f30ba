"""How far a model's values are from their targets: bias, spread and distribution of the residuals."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

Array = NDArray[Any]

ROWS = 16
"""Components that are told one by one, at most."""
BINS = 41
POINTS = 300
"""Samples in the plot of values over targets, at most."""


def regression(y: Array, outputs: Array, names: Sequence[str] = ()) -> dict[str, Any] | None:
    """Return the residuals, value minus target, as plain data; None if shapes differ or targets are no numbers.

    Args:
        y: the targets.
        outputs: of the model.
        names: of the components of a sample; by default their numbers.
    """
    if y.size != outputs.size or y.dtype.kind not in "biuf":
        return None
    targets = y.reshape(len(y), -1).astype(np.float64)
    values = outputs.reshape(len(y), -1).astype(np.float64)
    residuals = values - targets
    count = residuals.shape[1]
    named = list(names) if len(names) == count else [str(k) for k in range(count)]
    parts: dict[str, Any] = {named[k]: np.s_[:, k] for k in range(count)} if 1 < count <= ROWS else {}
    centred = targets - targets.mean(axis=0)
    finite = np.flatnonzero(np.isfinite(residuals))
    chosen = finite[np.linspace(0, len(finite) - 1, min(POINTS, len(finite))).astype(int)]
    return {
        "kind": "values",
        "components": count,
        "rows": [_row(name, centred[part], residuals[part]) for name, part in {"all": np.s_[:], **parts}.items()],
        "histogram": histogram(residuals),
        "points": [[float(a), float(b)] for a, b in zip(targets.flat[chosen], values.flat[chosen], strict=True)],
    }


def histogram(values: Array) -> dict[str, Any]:
    """Return counts between edges that hold all but the outermost percent, which the first and last bin take."""
    finite = values[np.isfinite(values)].astype(np.float64)
    if not finite.size:
        return {"edges": [], "counts": []}
    low, high = np.quantile(finite, [0.005, 0.995])
    if low == high:
        low, high = low - 0.5, high + 0.5
    counts, edges = np.histogram(np.clip(finite, low, high), bins=BINS, range=(low, high))
    return {"edges": [float(low), float(high)], "counts": counts.tolist(), "bins": len(edges) - 1}


def _row(name: str, centred: Array, residuals: Array) -> dict[str, Any]:
    """Return the numbers of finite residuals, of targets less their mean; `doctor` tells of others."""
    finite = np.isfinite(residuals)
    if not finite.any():
        return {"name": name, **dict.fromkeys(("bias", "deviation", "low", "median", "high", "r2"))}
    centred, residuals = centred[finite], residuals[finite]
    low, median, high = np.quantile(residuals, [0.16, 0.5, 0.84])
    spread = float(np.sum(centred**2))
    return {
        "name": name,
        "bias": float(residuals.mean()),
        "deviation": float(residuals.std()),
        "low": float(low),
        "median": float(median),
        "high": float(high),
        "r2": 1 - float(np.sum(residuals**2)) / spread if spread else None,
    }
