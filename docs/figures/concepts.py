"""Draw the pictures of docs/concepts as SVG files; values are computed, and the front is the one in docs/results.

Run it from the root of the repository: `python docs/figures/concepts.py`.
"""

from __future__ import annotations

import json
import sys
from itertools import accumulate
from pathlib import Path

import numpy as np
from matplotlib import pyplot as plt
from matplotlib.axes import Axes
from matplotlib.patches import Rectangle

HERE = Path(__file__).parent
sys.path.insert(0, str(HERE))

from numerics import quantized  # noqa: E402
from style import BLUE, GREEN, ORANGE, STYLE, TEXT, save  # noqa: E402

from hgq2_fixed_point import KIF  # noqa: E402

FORMATS = ((1, 2, 3), (0, 4, -2), (1, -1, 4))
"""(k, i, f): a usual format, one with steps of 4, and one whose values are all below 1/2."""


def power(exponent: int) -> str:
    """Return a power of two as text, a fraction where it is below 1."""
    return str(2**exponent) if exponent >= 0 else f"1/{2**-exponent}"


def draw_bits(axes: Axes, k: int, i: int, f: int, height: float) -> None:
    """Draw the bits of a format as boxes, each at the place of its weight, with the binary point at 0."""
    for place in range(-f, i + k):
        sign = place == i
        colour = GREEN if sign else BLUE if place >= 0 else ORANGE
        axes.add_patch(Rectangle((-place - 1, height), 0.92, 0.5, facecolor=colour, alpha=0.25, edgecolor=colour))
        axes.text(-place - 0.54, height + 0.25, ("−" if sign else "") + power(place), ha="center", va="center")
    facts = KIF(k=k, i=i, f=f, overflow_mode="SAT").facts()
    low, high = (f"{facts[name]:g}".replace("-", "−") for name in ("min", "max"))
    title = f"k = {k}, i = {i}, f = {f}".replace("-", "−")
    axes.text(-5.2, height + 0.36, title, ha="right", va="center", fontweight="bold")
    axes.text(-5.2, height + 0.1, f"{low} to {high}, step {power(-f)}", ha="right", va="center", fontsize=9)


def draw_formats(path: Path) -> None:
    """Draw what k, i and f mean."""
    figure, axes = plt.subplots(figsize=(7.5, 2.6))
    for row, numbers in enumerate(FORMATS):
        draw_bits(axes, *numbers, height=-float(row))
    axes.plot([-0.04, -0.04], [-2.1, 0.75], color=TEXT, linestyle=":", linewidth=1.2)
    axes.text(-0.04, 0.85, "binary point", ha="center")
    for place, (label, colour) in enumerate((("sign", GREEN), ("integer bits", BLUE), ("fraction bits", ORANGE))):
        axes.text(-3.4 + 2.9 * place, -2.5, label, color=colour, ha="center")
    axes.set(xlim=(-9.2, 4.4), ylim=(-2.7, 1.1))
    axes.set_axis_off()
    save(figure, path, "Bits of three formats around the binary point, each with its weight")


def draw_gradients(path: Path) -> None:
    """Draw the surrogate gradients of q for f and for i, of a format that saturates (docs/numerics.md#2)."""
    x = np.linspace(-3.2, 3.2, 2561, dtype=np.float32)
    config = KIF(k=1, i=1, f=2, overflow_mode="SAT", granularity="tensor")
    low, high = config.facts()["min"], config.facts()["max"]
    q = quantized(config, x)
    inside = (x >= low) & (x <= high)
    of_f = np.log(2) * np.where(inside, x - q, np.where(x > high, 2.0**-2, 0.0))
    of_i = np.log(2) * np.where(inside, 0.0, np.where(x > high, 2.0, -2.0))
    figure, (above, middle, below) = plt.subplots(3, 1, figsize=(7.5, 4.4), sharex=True)
    above.plot(x, x, color=TEXT, linewidth=0.8)
    above.step(x, q, color=BLUE)
    middle.step(x, of_f, color=ORANGE)
    below.step(x, of_i, color=GREEN)
    for axes, label in ((above, "q(x)"), (middle, "∂q/∂f"), (below, "∂q/∂i")):
        axes.set_ylabel(label)
        axes.axvspan(low, high, color=TEXT, alpha=0.1, linewidth=0)
    above.text((low + high) / 2, 2.6, "inside the range", ha="center", fontsize=9)
    below.set_xlabel("x")
    save(figure, path, "Quantized value and the surrogate gradients for f and i, over x")


def draw_front(path: Path) -> None:
    """Draw the front that one training on digits left."""
    results = json.loads((HERE.parent / "results" / "pareto.json").read_text(encoding="utf-8"))["results"]
    (found,) = (each for each in results if (each["data"], each["seed"], each["contender"]) == ("digits", 0, "front"))
    points = sorted((point["ebops"], 100 * point["validation"]) for point in found["points"])
    cost, accuracy = np.array(points).T
    assert list(accuracy) == list(accumulate(accuracy, max)), "a point of a front is better than all cheaper ones"
    figure, axes = plt.subplots(figsize=(7.5, 3.0))
    axes.step(cost, accuracy, where="post", color=BLUE, alpha=0.5)
    axes.plot(cost, accuracy, "o", color=BLUE)
    axes.set_xscale("log")
    axes.set_xticks([1000, 2000, 5000, 10_000], ["1,000", "2,000", "5,000", "10,000"])
    axes.set_xticks([], minor=True)
    axes.set(xlabel="EBOPs", ylabel="validation accuracy in %")
    save(figure, path, "A front of digits: validation accuracy over EBOPs")


def main(folder: Path) -> None:
    """Write all pictures into a folder."""
    with plt.rc_context({**STYLE, "svg.hashsalt": "concepts"}):
        draw_formats(folder / "formats.svg")
        draw_gradients(folder / "bit_gradients.svg")
        draw_front(folder / "front.svg")


if __name__ == "__main__":
    main(Path(sys.argv[1]) if len(sys.argv) > 1 else HERE)
