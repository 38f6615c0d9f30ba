"""Draw the pictures of docs/numerics.md as SVG files; the values are those of the quantizers themselves.

Run it from the root of the repository: `python docs/figures/numerics.py`.
"""

from __future__ import annotations

import sys
from pathlib import Path

import numpy as np
from matplotlib import pyplot as plt
from matplotlib.axes import Axes
from numpy.typing import NDArray

from hgq2_fixed_point import KIF, quantize
from hgq2_minifloat import Minifloat

HERE = Path(__file__).parent
sys.path.insert(0, str(HERE))

from style import BLUE, GREEN, ORANGE, STYLE, TEXT, save  # noqa: E402


def number_line(axes: Axes, values: NDArray[np.floating], colour: str, height: float) -> None:
    """Mark values by ticks across a horizontal line."""
    axes.axhline(height, color=TEXT, linewidth=0.8)
    axes.vlines(values, height - 0.3, height + 0.3, color=colour, linewidth=1.6)


def draw_grids(path: Path) -> None:
    """Draw the values of a fixed-point format and of a minifloat, one above the other."""
    config = Minifloat(m=2, e=2, e0=0, trainable=False)
    fixed = -2.0 + 0.25 * np.arange(KIF(k=1, i=1, f=2, overflow_mode="SAT").facts()["values"])
    values = np.array(config.values())
    normal = abs(values) >= config.facts()["smallest normal"]
    figure, axes = plt.subplots(figsize=(7.5, 1.9))
    number_line(axes, fixed, BLUE, 1.0)
    number_line(axes, values[normal], ORANGE, 0.0)
    axes.vlines(values[~normal], -0.3, 0.3, color=GREEN, linewidth=1.6)
    axes.set_yticks([1.0, 0.0], ["fixed point\n(k, i, f) = (1, 1, 2)", "minifloat\n(m, e, e0) = (2, 2, 0)"])
    axes.tick_params(axis="y", length=0)
    axes.spines["left"].set_visible(False)
    axes.set_xticks(np.arange(-4.0, 4.5))
    axes.text(0.0, -0.52, "subnormal", color=GREEN, ha="center", va="top")
    axes.set_ylim(-0.9, 1.5)
    save(figure, path, "Values of a fixed-point format and of a minifloat on a number line")


def draw_surrogates(path: Path) -> None:
    """Draw what training computes, and the surrogate gradient for x, of a mode that saturates and of one that wraps."""
    x = np.linspace(-3.5, 3.5, 1401, dtype=np.float32)
    figure, (left, right) = plt.subplots(1, 2, figsize=(7.5, 2.9), sharey=True)
    config = KIF(k=1, i=1, f=2, overflow_mode="SAT", granularity="tensor")
    saturated = quantized(config, x)
    low, high = config.facts()["min"], config.facts()["max"]
    left.step(x, saturated, color=BLUE, label="q(x)")
    left.step(x, (x >= low) & (x <= high), color=ORANGE, linestyle="--", label="surrogate ∂q/∂x")
    left.set_title("SAT", color=TEXT)
    right.step(x, np.floor(4 * x + 0.5) / 4, color=BLUE, label="training: rounded only")
    right.step(x, quantized(config.model_copy(update={"overflow_mode": "WRAP"}), x), color=GREEN, linewidth=0.9)
    right.plot([], color=GREEN, label="inference: wrapped")
    right.step(x, np.ones_like(x), color=ORANGE, linestyle="--", label="surrogate ∂q/∂x")
    right.set_title("WRAP", color=TEXT)
    for axes in (left, right):
        axes.set_xlabel("x")
        axes.legend(fontsize=8)
    save(figure, path, "Quantized values and surrogate gradients of SAT and WRAP")


def quantized(config: KIF, x: NDArray[np.float32]) -> NDArray[np.float32]:
    """Quantize to a fixed format with the plain function."""
    return quantize(x, config.k, config.i, config.f, config.round_mode, config.overflow_mode)


def main(folder: Path) -> None:
    """Write all pictures into a folder."""
    with plt.rc_context({**STYLE, "svg.hashsalt": "numerics"}):
        draw_grids(folder / "number_lines.svg")
        draw_surrogates(folder / "surrogates.svg")


if __name__ == "__main__":
    main(Path(sys.argv[1]) if len(sys.argv) > 1 else HERE)
