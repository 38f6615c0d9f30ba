"""The picture of accuracy over EBOPs of docs/budgets.md, from docs/results/pareto.json.

Run it from the root of the repository: `python docs/figures/pareto.py`.
"""

from __future__ import annotations

import json
from pathlib import Path

from matplotlib import pyplot as plt

DOCS = Path(__file__).resolve().parents[1]
STYLES = {"hgq2": ("s", "#7d7d7d"), "front": ("o", "#3b82f6"), "budget": ("^", "#d97706")}


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
        axes.spines[["top", "right"]].set_visible(False)
    panels[0].legend(frameon=False)
    plt.rcParams["svg.hashsalt"] = "pareto"
    figure.savefig(DOCS / "figures" / "pareto.svg", transparent=True, metadata={"Date": None})


if __name__ == "__main__":
    main()
