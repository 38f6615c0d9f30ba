"""The figure of a comparison of runs: a metric over EBOPs, with the fronts."""

from __future__ import annotations

from typing import TYPE_CHECKING

from hgq2_core.commands.plots import new_figure, styled
from hgq2_training.report.plots import plain
from hgq2_training.runs.compare import ComparedRun, Comparison

if TYPE_CHECKING:
    from hgq2_core.commands.figure import ThemedFigure


def metric_over_ebops(comparison: Comparison) -> ThemedFigure:
    """Draw a metric of each run over its EBOPs, a dot for the saved model on test data, a line for its front.

    Args:
        comparison: the runs; the metric is the first besides the loss that all of them have.

    Raises:
        ConfigError: they have no metric in common.
    """
    metric = comparison.plotted_metric
    with styled():
        figure = new_figure(6.4, 4.2)
        axes = figure.subplots()
        for index, (name, run) in enumerate(zip(comparison.names, comparison.runs, strict=True)):
            color = f"C{index % 10}"
            axes.plot([run.ebops], [run.test[metric]], "o", color=color, label=f"{plain(name)}, test")
            points = _front(run, metric)
            if points:
                label = f"{plain(name)}, front, validation"
                axes.step(*zip(*points, strict=True), where="post", color=color, alpha=0.6, marker=".", label=label)
        if min(run.ebops for run in comparison.runs) > 0:
            axes.set_xscale("log")
        axes.xaxis.set_major_formatter("{x:,.0f}")
        axes.set_xlabel("EBOPs, calibrated")
        axes.set_ylabel(metric.replace("_", " "))
        axes.legend(fontsize=8)
        return figure


def _front(run: ComparedRun, metric: str) -> list[tuple[float, float]]:
    names = (f"val_{metric}", metric)
    name = next((each for each in names if run.front and each in run.front[0].metrics), "")
    return [(point.ebops, point.metrics[name]) for point in run.front] if name else []
