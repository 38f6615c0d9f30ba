"""Figures of a run: curves and Pareto front. matplotlib is imported only when a figure is drawn."""

from __future__ import annotations

import io
import re
from collections.abc import Mapping, Sequence
from html import escape
from typing import TYPE_CHECKING, Any

import numpy as np

from hgq2_core.commands.plots import BLUE, COLORS, GREY, ORANGE, new_figure, styled

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

EBOPS = "ebops"

Epochs = Sequence[Mapping[str, Any]]


def curves(history: Epochs, calibrated: float | None = None) -> dict[str, Figure]:
    """Draw loss, first metric and EBOPs over the epochs, each in a separate figure.

    Args:
        history: the logs of each epoch.
        calibrated: the EBOPs of the calibrated model.

    Returns:
        The figures by title; none if no epoch was finished.
    """
    panels = [names for names in (("loss", "val_loss"), _first_metric(history), (EBOPS,)) if _has(history, names[:1])]
    return {_title(names[0]): _curve(history, names, calibrated) for names in panels}


def _curve(history: Epochs, names: tuple[str, ...], calibrated: float | None) -> Figure:
    with styled():
        figure = new_figure(4.0, 2.8)
        axes = figure.subplots()
        labels = ("before calibration",) if names[0] == EBOPS else ("training", "validation")
        for name, color, label in zip(names, (BLUE, ORANGE), labels, strict=False):
            _line(axes, history, name, color, label)
        if names[0] == EBOPS and calibrated is not None:
            axes.plot([history[-1]["epoch"] + 1], [calibrated], "o", color=ORANGE, markersize=5, label="calibrated")
        axes.set_xlabel("epoch")
        axes.set_title(_title(names[0]), loc="left", fontsize=11)
        if len(axes.get_legend_handles_labels()[1]) > 1:
            axes.legend(fontsize=9)
        if names[0] == EBOPS:
            axes.yaxis.set_major_formatter("{x:,.0f}")
        if names[0] in ("loss", EBOPS):
            _log(axes)
        return figure


def pareto(front: Mapping[str, Any], history: Epochs = ()) -> Figure | None:
    """Draw a Pareto front of a metric over EBOPs, with every epoch in the background.

    Args:
        front: the contents of `front.json`, measured after calibration.
        history: the logs of each epoch, measured before calibration.

    Returns:
        The figure, or None if the front does not consist of EBOPs and one other metric.
    """
    entries, names = front.get("entries", []), [name for name in front.get("directions", ()) if name != EBOPS]
    if EBOPS not in front.get("directions", ()) or not names or not entries:
        return None
    metric = names[0]
    points = sorted((entry["metrics"][EBOPS], entry["metrics"][metric]) for entry in entries)
    with styled():
        figure = new_figure(5.2, 3.2)
        axes = figure.subplots()
        cloud = [(e[EBOPS], e[metric]) for e in history if e.get(EBOPS) is not None and e.get(metric) is not None]
        if cloud:
            seen: Any = np.array(cloud)
            axes.scatter(
                seen[:, 0],
                seen[:, 1],
                s=9,
                color=GREY,
                alpha=0.6,
                linewidths=0,
                label="every epoch, before calibration",
            )
        costs, values = zip(*points, strict=True)
        axes.step(costs, values, where="post", marker="o", color=BLUE, markersize=4, label="Pareto front, calibrated")
        _frame(axes, values, front["directions"][metric])
        axes.set_xlim(0.9 * min(costs), max(3 * min(costs), 1.1 * max(costs)))
        axes.xaxis.set_major_formatter("{x:,.0f}")
        axes.set_xlabel("EBOPs")
        axes.set_ylabel(f"validation {_title(metric)}" if metric.startswith("val_") else _title(metric))
        axes.legend(loc="lower right" if front["directions"][metric] == "max" else "upper right", fontsize=9)
        return figure


def svg(figure: Figure, name: str, description: str) -> str:
    """Return a figure as an SVG element, whose colours are CSS variables that the page may set.

    Args:
        figure: the figure.
        name: a prefix for its ids, unique on the page.
        description: text for readers who cannot see the figure.
    """
    buffer = io.StringIO()
    with styled():
        figure.savefig(buffer, format="svg", metadata={"Date": None, "Creator": None, "Format": None, "Type": None})
    text = buffer.getvalue()
    text = re.sub(r'( id="|"#|url\(#)', rf"\g<1>{name}-", text[text.index("<svg") :])
    for variable, color in COLORS.items():
        text = text.replace(f": {color}", f": var(--plot-{variable}, {color})")
    return text.replace("<svg", f'<svg role="img" aria-label="{escape(description)}"', 1)


def _line(axes: Axes, history: Epochs, name: str, color: str, label: str) -> None:
    points = [(logs["epoch"] + 1, logs[name]) for logs in history if logs.get(name) is not None]
    if points:
        marker = "o" if len(points) < 10 else None
        axes.plot(*zip(*points, strict=True), color=color, linewidth=1.3, marker=marker, markersize=3, label=label)


def _frame(axes: Axes, values: Sequence[float], direction: str) -> None:
    """Limit the axes to the front, without early epochs far from it."""
    margin = max(0.5 * (max(values) - min(values)), 0.02 * abs(max(values))) or 1.0
    top = max(values) + 0.2 * margin
    if direction == "max":
        axes.set_ylim(min(values) - margin, top)
    else:
        axes.set_ylim(min(values) - 0.2 * margin, max(values) + margin)


def _log(axes: Axes) -> None:
    """Use a logarithmic axis, with plain numbers, if all values are positive and span a factor of ten."""
    from matplotlib.ticker import LogLocator, NullFormatter, StrMethodFormatter

    low, high = axes.dataLim.y0, axes.dataLim.y1
    if low > 0 and high / low >= 10:
        axes.set_yscale("log")
        axes.yaxis.set_major_locator(LogLocator(subs=(1, 2, 5)))
        axes.yaxis.set_major_formatter(StrMethodFormatter("{x:,g}"))
        axes.yaxis.set_minor_formatter(NullFormatter())


def _first_metric(history: Epochs) -> tuple[str, ...]:
    """Return the name of the first metric that was also measured in validation; empty if there is none."""
    names = [name for name in (history[0] if history else ()) if name != "loss"]
    metric = next((name for name in names if f"val_{name}" in names), "")
    return metric, f"val_{metric}"


def _has(history: Epochs, names: Sequence[str]) -> bool:
    return any(logs.get(name) is not None for logs in history for name in names)


def _title(name: str) -> str:
    return "EBOPs" if name == EBOPS else name.removeprefix("val_").replace("_", " ")
