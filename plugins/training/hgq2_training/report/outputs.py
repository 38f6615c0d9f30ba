"""The view of a report on one output of the model: how it tells classes apart, or how far it is from its targets."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from hgq2_core.model.number_format import format_count, format_metric
from hgq2_training.report.classification import REJECTIONS, rows
from hgq2_training.report.plots import residuals, roc, svg, values_over_targets

MOST_CLASSES = 30
"""Classes of a confusion matrix, at most; of more, only the pairs that are confused most."""
PAIRS = 20

Found = Mapping[str, Any]


def output_view(name: str, found: Found, index: int) -> dict[str, Any]:
    """Return what the page shows of an output.

    Args:
        name: of the output.
        found: as `outputs_of` returns it.
        index: of the output, from 1.
    """
    return {
        **{"roc": None, "classes": None, "confusion": None, "confused": None, "residuals": None},
        **{"name": name, "title": f"Output {name}"},
        **VIEWS[found["kind"]](name, found, index),
    }


def _classes(name: str, found: Found, index: int) -> dict[str, Any]:
    figure = roc(found["curves"])
    worst = min((each["auc"] for each in found["curves"] if each["auc"] is not None), default=None)
    description = "" if worst is None else f"{len(found['curves'])} curves; the smallest area under one is {worst:.4f}"
    drawn = None if figure is None else svg(figure, f"roc{index}", f"Signal over background, {name}", description)
    heads = ("class", "recall", "precision", "AUC", *(f"signal at 1/{each}" for each in REJECTIONS))
    cells = [
        (
            row["class"],
            *(_number(row[word]) for word in ("recall", "precision", "auc")),
            *(_number(row["efficiency"].get(str(each))) for each in REJECTIONS),
        )
        for row in rows(found)
    ]
    note = (
        "Signal is the class, background all others; at 1/100 one in a hundred of the background passes. "
        "Empty where the test part has too few samples."
    )
    return {"roc": drawn, "classes": {"heads": heads, "rows": cells, "note": note}, **_confusion(found)}


def _confusion(found: Found) -> dict[str, Any]:
    matrix, names = found.get("confusion"), found["classes"]
    if matrix is None:
        return {}
    if len(names) > MOST_CLASSES:
        pairs = [
            (count, names[i], names[k])
            for i, row in enumerate(matrix)
            for k, count in enumerate(row)
            if i != k and count
        ]
        most = sorted(pairs, key=lambda pair: -pair[0])[:PAIRS]
        return {"confused": [(true, predicted, format_count(count)) for count, true, predicted in most]}
    cells = [
        (name, [(format_count(count), count / max(sum(row), 1)) for count in row])
        for name, row in zip(names, matrix, strict=True)
    ]
    return {"confusion": {"heads": names, "rows": cells}}


def _values(name: str, found: Found, index: int) -> dict[str, Any]:
    counts, drawn = found["histogram"]["counts"], []
    if counts:
        low, high = found["histogram"]["edges"]
        spread = svg(
            residuals(counts, (low, high)), f"residuals{index}", f"Residuals of {name}", f"from {low:.4g} to {high:.4g}"
        )
        points = f"{len(found['points'])} test samples beside the line on which value and target are equal"
        values = svg(
            values_over_targets(found["points"]), f"values{index}", f"Values of {name} over their targets", points
        )
        drawn = [spread, values]
    heads = ("target", "bias", "deviation", "16 %", "median", "84 %", "R²")
    words = ("bias", "deviation", "low", "median", "high", "r2")
    cells = [(row["name"], *(_number(row[word]) for word in words)) for row in found["rows"]]
    return {"residuals": {"drawn": drawn, "heads": heads, "rows": cells}}


def _number(value: float | None) -> str:
    return "" if value is None else format_metric(value)


VIEWS: Mapping[str, Callable[[str, Found, int], dict[str, Any]]] = {
    "classes": _classes,
    "flags": _classes,
    "values": _values,
}
