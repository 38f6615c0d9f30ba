"""Figures: one style for all, the values of a quantizer, and image files.

matplotlib, the extra `plots`, is imported only when a figure is drawn.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from hgq2_core.discovery.known_plugins import install_hint
from hgq2_core.errors import ConfigError, PluginError, listing
from hgq2_core.files import atomic_path

if TYPE_CHECKING:
    from matplotlib.figure import Figure

    from hgq2_core.commands.figure import ThemedFigure

BLUE, ORANGE, GREY = "#2563eb", "#ea580c", "#94a3b8"
GREEN, PURPLE = "#16a34a", "#9333ea"
INK, LABEL, EDGE, GRID = "#0f172a", "#475569", "#cbd5e1", "#e2e8f0"
COLORS = {
    "first": BLUE,
    "second": ORANGE,
    "third": GREEN,
    "fourth": PURPLE,
    "faint": GREY,
    "ink": INK,
    "label": LABEL,
    "edge": EDGE,
    "grid": GRID,
}
"""The colours of figures, by the CSS variables with which a page can change them: `--plot-first` and so on."""

STYLE: dict[Any, Any] = {
    "axes.edgecolor": EDGE,
    "axes.grid": True,
    "axes.labelcolor": LABEL,
    "axes.spines.right": False,
    "axes.spines.top": False,
    "axes.titlecolor": INK,
    "font.size": 10,
    "grid.color": GRID,
    "legend.frameon": False,
    "text.color": INK,
    "savefig.transparent": True,
    "svg.fonttype": "none",  # text stays text: small files, and the page's own font
    "svg.hashsalt": "hgq2",  # the same run gives the same file
    "xtick.color": LABEL,
    "ytick.color": LABEL,
}


def values(numbers: Sequence[float], title: str) -> ThemedFigure:
    """Draw a set of values: where they lie, and the step from each to the next over its magnitude.

    Args:
        numbers: at least two, in rising order.
        title: name of the format that has these values.
    """
    points = np.asarray(numbers)
    with styled():
        figure = new_figure(6.2, 3.4)
        line, steps = figure.subplots(2, 1, height_ratios=(1, 3))
        line.vlines(points, 0.0, 1.0, color=BLUE, linewidth=0.8)
        line.set_yticks([])
        line.set_title(f"{title}: {len(points):,} values", loc="left", fontsize=10)
        steps.plot(points[1:], np.diff(points), color=BLUE, linewidth=1.0, marker="o", markersize=2)
        if points[-1] > 0:
            steps.set_xlim(0.0, 1.05 * points[-1])
            steps.set_xscale("log", base=2)
            steps.set_xlim(0.7 * points[points > 0].min(), 1.4 * points[-1])
        steps.set_yscale("log", base=2)
        steps.set_xlabel("value")
        steps.set_ylabel("step from the one below")
        return figure


def image(figure: Figure, path: Path) -> None:
    """Write a figure to a file.

    Args:
        figure: the figure.
        path: the file, whose suffix selects the format, such as .png or .svg.

    Raises:
        ConfigError: matplotlib writes no such format.
        WriteError: the file cannot be written.
    """
    kinds = sorted(figure.canvas.get_supported_filetypes())
    if path.suffix[1:].lower() not in kinds:
        raise ConfigError(
            f"the suffix of an image selects its format. Received: {str(path)!r}. Allowed: {listing(kinds)}."
        )
    with styled(), atomic_path(path) as temporary:
        figure.savefig(temporary, transparent=False, dpi=150)


def styled() -> Any:
    """Return a context in which figures are drawn in this style.

    Raises:
        PluginError: matplotlib is not installed.
    """
    try:
        import matplotlib
    except ModuleNotFoundError as error:
        raise PluginError(
            f"matplotlib draws the figures, and is not installed. {install_hint('hgq2-core[plots]')}"
        ) from error
    return matplotlib.rc_context(STYLE)


def new_figure(width: float, height: float) -> ThemedFigure:
    """Return an empty figure of this size in inches."""
    from hgq2_core.commands.figure import ThemedFigure  # not of pyplot, which keeps state and chooses a display

    return ThemedFigure(figsize=(width, height), layout="constrained")
