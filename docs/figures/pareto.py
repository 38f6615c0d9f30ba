"""The picture of accuracy over EBOPs of docs/budgets.md, from docs/results/pareto.json.

Run it from the root of the repository: `python docs/figures/pareto.py`.
"""

from __future__ import annotations

import json
import sys
from pathlib import Path

from matplotlib import pyplot as plt

DOCS = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(DOCS / "figures"))

from style import BLUE, ORANGE, STYLE, TEXT, save  # noqa: E402

STYLES = {"hgq2": ("s", TEXT), "plain": ("D", TEXT), "front": ("o", BLUE), "budget": ("^", ORANGE)}


def main() -> None:
    """Draw one panel for each data set, with the models of all seeds."""
    results = json.loads((DOCS / "results" / "pareto.json").read_text())["results"]
    names = list(dict.fromkeys(each["data"] for each in results))
    figure, panels = plt.subplots(1, len(names), figsize=(4 * len(names), 3.2), layout="constrained")
    for name, axes in zip(names, panels, strict=True):
        for contender, (marker, color) in STYLES.items():
            of_contender = [each for each in results if (each["data"], each["contender"]) == (name, contender)]
            points = [point for each in of_contender for point in each["points"]]
            costs, accuracies = ([point[key] for point in points] for key in ("ebops", "test"))
            axes.plot(costs, [100 * each for each in accuracies], marker, color=color, label=contender, alpha=0.7)
        axes.set(xscale="log", xlabel="EBOPs", ylabel="test accuracy in %", title=name)
    panels[0].legend()
    save(figure, DOCS / "figures" / "pareto.svg", "Test accuracy over EBOPs, by data set")


if __name__ == "__main__":
    with plt.rc_context({**STYLE, "svg.hashsalt": "pareto"}):
        main()
