"""How the pictures of the documentation look: one that is drawn once is on light pages and on dark ones."""

from __future__ import annotations

from pathlib import Path

from matplotlib import pyplot as plt
from matplotlib.figure import Figure

# Mid tones on a transparent ground: readable on a white page and on a dark one.
TEXT, BLUE, ORANGE, GREEN = "#7d7d7d", "#3b82f6", "#d97706", "#159a6c"
STYLE = {
    "axes.edgecolor": TEXT,
    "axes.labelcolor": TEXT,
    "axes.spines.right": False,
    "axes.spines.top": False,
    "figure.facecolor": "none",
    "axes.facecolor": "none",
    "font.size": 10,
    "legend.frameon": False,
    "legend.labelcolor": TEXT,
    "savefig.transparent": True,
    "svg.fonttype": "none",
    "text.color": TEXT,
    "xtick.color": TEXT,
    "ytick.color": TEXT,
}


def save(figure: Figure, path: Path, title: str) -> None:
    """Write a figure, with a title for who hears it, and without the date, so that equal values give equal files."""
    figure.savefig(path, bbox_inches="tight", metadata={"Date": None, "Title": title})
    plt.close(figure)
