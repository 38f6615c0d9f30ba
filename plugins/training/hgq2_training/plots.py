"""Figures for notebooks and papers: the values of a format, bits, fronts, curves, and runs side by side.

Each is a figure of matplotlib: notebooks show it in their own colours, and `figure.savefig("front.pdf")` writes it.
"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import hgq2_core
from hgq2_core.commands.plots import BLUE, GREY, ORANGE, new_figure, styled, values
from hgq2_core.errors import ConfigError
from hgq2_core.files import read_json
from hgq2_core.model.cost import summary
from hgq2_training.callbacks.pareto_front import ParetoFront
from hgq2_training.report.comparison import metric_over_ebops
from hgq2_training.report.plots import EBOPS, curves, pareto, plain
from hgq2_training.runs.compare import compare
from hgq2_training.runs.directory import read_metrics
from hgq2_training.runs.files import FRONT, FRONT_LIST, HISTORY

if TYPE_CHECKING:
    import keras

    from hgq2_core import QuantizerConfig
    from hgq2_core.commands.figure import ThemedFigure


def plot_values(config: QuantizerConfig, title: str | None = None) -> ThemedFigure:
    """Draw the values that a quantizer has at the start: where they lie, and the step between them.

    Args:
        config: of a kind that lists its values.
        title: name of the format; None for the kind.

    Raises:
        ConfigError: the kind lists no values, or there are too many.

    Example:
        >>> figure = plot_values(KBI(b=4, i=0))
    """
    kind = hgq2_core.registry.kind_of("quantizers", type(config)) or type(config).__name__
    numbers = config.values()
    if len(numbers) < 2:
        raise ConfigError(
            f"plot_values: only a quantizer that lists its values can be drawn. Received: {kind}. Allowed: kinds with "
            "a few thousand values, such as minifloat.float8_e4m3fn or fixed_point.kbi."
        )
    return values(numbers, plain(title or kind))


def plot_bits(model: keras.Model) -> ThemedFigure:
    """Draw the bit-widths of each quantizer of a model: the mean, and a line from the smallest to the largest.

    Args:
        model: a built model.

    Raises:
        ConfigError: the model has no quantizers.
    """
    rows = [(f"{layer.name} {slot.name}", slot) for layer in summary(model).layers for slot in layer.slots]
    if not rows:
        raise ConfigError("plot_bits: the model has no quantizers. Allowed: a built model of quantized layers.")
    with styled():
        figure = new_figure(6.4, 0.8 + 0.24 * len(rows))
        axes = figure.subplots()
        for place, (_, slot) in enumerate(rows):
            color = ORANGE if slot.zeroed is None else BLUE  # a share of zeros is that of weights
            axes.plot([slot.min, slot.max], [place, place], color=GREY, linewidth=2)
            axes.plot([slot.mean], [place], "o", color=color, markersize=5)
        axes.plot([], [], "o", color=BLUE, label="weights, mean")
        axes.plot([], [], "o", color=ORANGE, label="other values, mean")
        axes.set_yticks(range(len(rows)), [plain(name) for name, _ in rows])
        axes.invert_yaxis()
        axes.set_xlim(left=0)
        axes.set_xlabel("bits, from the smallest to the largest")
        axes.legend(loc="lower left", bbox_to_anchor=(0, 1), ncols=2, borderaxespad=0, fontsize=9)
        return figure


def plot_front(front: str | Path | ParetoFront) -> ThemedFigure:
    """Draw a metric over EBOPs for the models on a front.

    Args:
        front: the directory of a run, whose epochs are drawn as well; or the callback that kept it.

    Raises:
        ConfigError: there is no front of EBOPs and one more metric.
        ModelFileError: a file of the run is damaged.
    """
    if isinstance(front, ParetoFront):
        figure = pareto(front.to_dict())
    else:
        figure = pareto(read_json(Path(front) / FRONT / FRONT_LIST, {}), read_json(Path(front) / HISTORY, []))
    if figure is None:
        raise ConfigError(
            f"plot_front: there is no front of EBOPs and another metric. Received: {front}. Allowed: a run whose "
            "config has `training.front`, or the callback pareto_front with `ebops` among its metrics."
        )
    return figure


def plot_curves(run: str | Path) -> dict[str, ThemedFigure]:
    """Draw loss, metrics, EBOPs, their price and the learning rate of a run over its epochs.

    Args:
        run: its directory, finished or not.

    Returns:
        The figures by title; none if no epoch was finished.

    Raises:
        ModelFileError: a file of the run is damaged.
    """
    return curves(read_json(Path(run) / HISTORY, []), read_metrics(run).get(EBOPS))


def plot_comparison(*runs: str | Path) -> ThemedFigure:
    """Draw a metric of finished runs over their EBOPs, their fronts included.

    Args:
        runs: their directories, two or more.

    Raises:
        ConfigError: there is one run only, one is not finished, or they have no metric in common.
        ModelFileError: a directory holds no run, or a file is damaged.
    """
    return metric_over_ebops(compare(*runs))
