"""Figures of a run: curves and Pareto front. matplotlib is imported only when a figure is drawn."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from hgq2_core.commands.plots import BLUE, GREEN, GREY, ORANGE, PURPLE, new_figure, styled
from hgq2_training.report.drawings import described

if TYPE_CHECKING:
    from markupsafe import Markup
    from matplotlib.axes import Axes
    from matplotlib.lines import Line2D

    from hgq2_core.commands.figure import ThemedFigure

EBOPS, BETA, RATE = "ebops", "ebops_beta", "learning_rate"
TITLES = {EBOPS: "EBOPs", BETA: "price of a bit operation, β", RATE: "learning rate"}
"""The titles of what is not called by its own name."""
LINES = {BLUE: "-", ORANGE: "--", GREEN: "-.", PURPLE: ":"}
"""Colours of lines, each with a style, so that they can be told apart without colours."""
MOST_METRICS = 6
"""Metrics with a curve, at most."""

Epochs = Sequence[Mapping[str, Any]]


def curves(history: Epochs, calibrated: float | None = None) -> dict[str, ThemedFigure]:
    """Draw loss, metrics, EBOPs, their price and the learning rate over the epochs, each in a separate figure.

    Args:
        history: the logs of each epoch.
        calibrated: the EBOPs of the calibrated model.

    Returns:
        The figures by title; none if no epoch was finished.
    """
    panels = [("loss", "val_loss"), *_metrics(history), (EBOPS,), (BETA,), (RATE,)]
    return {_title(names[0]): _curve(history, names, calibrated) for names in panels if _has(history, names[:1])}


def _curve(history: Epochs, names: tuple[str, ...], calibrated: float | None) -> ThemedFigure:
    with styled():
        figure = new_figure(4.0, 2.8)
        axes = figure.subplots()
        alone = "before calibration" if names[0] == EBOPS else _title(names[0])
        labels = ("training", "validation") if len(names) > 1 else (alone,)
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
            _log(axes, "{x:,g}")
        if names[0] in (BETA, RATE):
            axes.yaxis.set_major_formatter("{x:g}")
            if axes.dataLim.height == 0:
                axes.set_ylim(0)
            _log(axes, "{x:g}")
        return figure


def pareto(
    front: Mapping[str, Any], history: Epochs = (), baseline: tuple[str, float] | None = None
) -> ThemedFigure | None:
    """Draw a Pareto front of a metric over EBOPs, with every epoch in the background.

    Args:
        front: the contents of `front.json`, measured after calibration.
        history: the logs of each epoch, measured before calibration.
        baseline: name and metric of a model to compare with, such as one in floats.

    Returns:
        The figure, or None if the front does not consist of EBOPs and one other metric.
    """
    entries, names = front.get("entries", []), [name for name in front.get("directions", ()) if name != EBOPS]
    if EBOPS not in front.get("directions", ()) or not names or not entries:
        return None
    metric = names[0]
    points = sorted((entry["metrics"][EBOPS], entry["metrics"][metric]) for entry in entries)
    with styled():
        figure = new_figure(4.6, 3.2)
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
        if baseline is not None:
            axes.axhline(baseline[1], color=ORANGE, linestyle="--", linewidth=1.2, label=plain(baseline[0]))
            values = (*values, baseline[1])
        _frame(axes, values, front["directions"][metric])
        axes.set_xlim(0.9 * min(costs), max(3 * min(costs), 1.1 * max(costs)))
        axes.xaxis.set_major_formatter("{x:,.0f}")
        axes.locator_params("x", nbins=5)
        axes.set_xlabel("EBOPs")
        axes.set_ylabel(f"validation {_title(metric)}" if metric.startswith("val_") else _title(metric))
        # Above, where it hides no point.
        axes.legend(loc="lower left", bbox_to_anchor=(0, 1), borderaxespad=0, fontsize=9)
        return figure


def roc(curves: Sequence[Mapping[str, Any]]) -> ThemedFigure | None:
    """Draw the efficiency for the signal over that for the background, a line for each class.

    Of many classes only the worst has a colour and a name.

    Args:
        curves: as `classification` returns them.

    Returns:
        The figure, or None if no class has a curve.
    """
    drawn = sorted((each for each in curves if each["points"]), key=lambda each: float(each["auc"]))
    if not drawn:
        return None
    with styled():
        figure = new_figure(4.4, 3.2)
        axes = figure.subplots()
        smallest = min(x for each in drawn for x, _ in each["points"] if x > 0)
        few = len(drawn) <= len(LINES)
        for index, each in enumerate(reversed(drawn)):
            named = few or each is drawn[0]
            color, style = list(LINES.items())[index] if few else ((ORANGE, "-") if named else (BLUE, "-"))
            x, y = zip(*((max(x, smallest / 2), y) for x, y in each["points"]), strict=True)
            more = "" if few else "worst: "
            label = f"{more}{plain(each['class'])}, AUC {each['auc']:.4f}" if named else None
            axes.plot(x, y, style, color=color, linewidth=1.4, alpha=1 if named else 0.45, label=label)
        if not few:
            axes.plot([], [], color=BLUE, alpha=0.45, label=f"the other {len(drawn) - 1} classes")
        axes.set_xscale("log")
        axes.set_xlim(smallest / 2, 1)
        axes.set_ylim(0, 1.02)
        axes.xaxis.set_major_formatter("{x:g}")
        axes.set_xlabel("efficiency for background")
        axes.set_ylabel("efficiency for signal")
        axes.legend(loc="lower right", fontsize=9)
        return figure


def residuals(counts: Sequence[int], edges: Sequence[float]) -> ThemedFigure:
    """Draw the distribution of residuals.

    Args:
        counts: of each bin.
        edges: the outer ends of the bins.
    """
    with styled():
        figure = new_figure(4.0, 2.8)
        axes = figure.subplots()
        axes.stairs(counts, np.linspace(edges[0], edges[1], len(counts) + 1), color=BLUE, fill=True, alpha=0.7)
        axes.axvline(0, color=GREY, linewidth=1)
        axes.set_title("residuals", loc="left", fontsize=11)
        axes.set_xlabel("value − target")
        return figure


def values_over_targets(points: Sequence[tuple[float, float]]) -> ThemedFigure:
    """Draw values over their targets, with the line on which both are equal."""
    with styled():
        figure = new_figure(4.0, 2.8)
        axes = figure.subplots()
        seen: Any = np.array(points)
        ends = [float(seen.min()), float(seen.max())]
        axes.plot(ends, ends, color=GREY, linewidth=1)
        axes.plot(seen[:, 0], seen[:, 1], "o", color=BLUE, markersize=2.5, alpha=0.6)
        axes.set_title(f"values over targets, {len(seen)} of them", loc="left", fontsize=11)
        axes.set_xlabel("target")
        axes.set_ylabel("value")
        return figure


def svg(figure: ThemedFigure, name: str, title: str, description: str = "") -> Markup:
    """Return a figure as an SVG element, whose text has the colour of the page's, and lines have CSS variables.

    Args:
        figure: the figure.
        name: unique on the page; it precedes every identifier in the element.
        title: what it shows, for those who do not see it.
        description: more about it; by default where each named line begins and ends.
    """
    description = description or "; ".join(
        _ends(line) for axes in figure.axes for line in axes.lines if _is_named(line)
    )
    text = re.sub(r'( id="|"#|url\(#)', rf"\g<1>{name}-", figure.themed_svg())
    (box,) = re.findall(r'viewBox="[^"]*"', text)
    return described(name, title, description, box, text[text.index(">") + 1 : text.rindex("</svg>")])


def plain(text: str) -> str:
    """Return a text that matplotlib shows as it is, and not as mathematics between two dollars."""
    return text.replace("$", r"\$")


def _is_named(line: Line2D) -> bool:
    return not str(line.get_label()).startswith("_") and len(line.get_ydata()) > 0  # type: ignore[arg-type]


def _ends(line: Line2D) -> str:
    values = np.asarray(line.get_ydata(), dtype=float)
    label = str(line.get_label()).replace(r"\$", "$")
    return f"{label} from {values[0]:.4g} to {values[-1]:.4g}"


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


def _log(axes: Axes, numbers: str) -> None:
    """Use a logarithmic axis, with plain numbers, if all values are positive and span a factor of ten."""
    from matplotlib.ticker import LogLocator, NullFormatter, StrMethodFormatter

    low, high = axes.dataLim.y0, axes.dataLim.y1
    if low > 0 and high / low >= 10:
        axes.set_yscale("log")
        axes.yaxis.set_major_locator(LogLocator(subs=(1, 2, 5)))
        axes.yaxis.set_major_formatter(StrMethodFormatter(numbers))
        axes.yaxis.set_minor_formatter(NullFormatter())


def _metrics(history: Epochs) -> list[tuple[str, str]]:
    """Return the names of the metrics that were also measured in validation, without the losses of single outputs."""
    names = [name for name in (history[0] if history else ()) if not name.endswith("loss")]
    return [(name, f"val_{name}") for name in names if f"val_{name}" in history[0]][:MOST_METRICS]


def _has(history: Epochs, names: Sequence[str]) -> bool:
    return any(logs.get(name) is not None for logs in history for name in names)


def _title(name: str) -> str:
    return TITLES.get(name, name.removeprefix("val_").replace("_", " "))
