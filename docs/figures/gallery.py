"""Draw the pictures of an example's page from a run of it: the classes that it tells apart, and its front.

`python benchmarks/nightly.py gallery` trains the examples and draws them all. One of them, from the root:

    hgq2 train examples/jets.yaml -o runs/jets
    python docs/figures/gallery.py runs/jets docs/gallery/jets.svg
"""

from __future__ import annotations

import json
import sys
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

from matplotlib.figure import Figure

from hgq2_core.commands.plots import BLUE, new_figure, styled
from hgq2_training.report import plots

MOST_CURVES = 3
"""Classes with a curve each, at most; of more, the confusion matrix says more."""
# The variables of a report's figures, which a page shows in the colours that its reader's browser asks for.
STYLE = """<style>
  svg { color: #334155; font-family: ui-sans-serif, system-ui, sans-serif }
  @media (prefers-color-scheme: dark) {
    svg { color: #cbd5e1; --plot-first: #60a5fa; --plot-second: #fb923c; --plot-third: #4ade80; --plot-fourth: #c084fc;
          --plot-faint: #94a3b8; --plot-edge: #64748b; --plot-grid: #334155 }
  }
</style>"""


def confusion(found: dict[str, Any]) -> Figure:
    """Draw how many samples of each class, in rows, were taken for each, in columns."""
    counts, names = found["confusion"], found["classes"]
    with styled():
        figure = new_figure(4.4, 3.6)
        axes = figure.subplots()
        axes.grid(False)
        for row, own in enumerate(counts):
            for column, count in enumerate(own):
                axes.fill_between(
                    [column - 0.48, column + 0.48],
                    row - 0.48,
                    row + 0.48,
                    color=BLUE,
                    alpha=0.75 * count / sum(own),
                    linewidth=0,
                )
                if count:
                    axes.text(column, row, str(count), ha="center", va="center", fontsize=8)
        axes.set_xticks(range(len(names)), names)
        axes.set_yticks(range(len(names)), names)
        axes.set_xlim(-0.5, len(names) - 0.5)
        axes.set_ylim(len(names) - 0.5, -0.5)
        axes.set_xlabel("taken for")
        axes.set_ylabel("class")
        return figure


def classes(run: Path) -> Iterator[tuple[Figure, str]]:
    """Yield a figure of the classes, with what it shows; none if the targets are no classes."""
    for output in json.loads((run / "analysis.json").read_text(encoding="utf-8"))["outputs"].values():
        if len(output.get("curves", ())) in range(1, MOST_CURVES + 1):
            yield plots.roc(output["curves"]), "Efficiency for signal over that for background"
        elif "confusion" in output:
            yield confusion(output), "Confusion matrix: classes in rows, and what they were taken for in columns"


def front(run: Path) -> Iterator[tuple[Figure, str]]:
    """Yield a figure of the front, with what it shows; none if the run kept no front."""
    if (path := run / "front" / "front.json").exists():
        history = json.loads((run / "history.json").read_text(encoding="utf-8"))
        figure = plots.pareto(json.loads(path.read_text(encoding="utf-8")), history)
        if figure is not None:
            yield figure, "Every epoch, and the models that none other beats, by EBOPs"


def save(figure: Figure, path: Path, title: str) -> None:
    """Write a figure that follows the page, light or dark."""
    text = str(plots.svg(figure, path.stem, title))
    head, _, rest = text.partition(">")
    width = round(1.4 * 72 * figure.get_figwidth())
    names = 'xmlns="http://www.w3.org/2000/svg" xmlns:xlink="http://www.w3.org/1999/xlink"'
    path.write_text(f'{head} {names} width="{width}">{STYLE}{rest}\n', encoding="utf-8")


def main(arguments: Sequence[str]) -> None:
    """Write the pictures of a run: the classes, and the front beside it, as `NAME_front.svg`."""
    run, path = map(Path, arguments)
    for figure, title in classes(run):
        save(figure, path, title)
    for figure, title in front(run):
        save(figure, path.with_name(f"{path.stem}_front.svg"), title)


if __name__ == "__main__":
    main(sys.argv[1:])
