"""The page of a sweep, made from its files: the front, with error bars if there are seeds, and the trials."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from hgq2_core.commands.plots import BLUE, GREY, new_figure, styled
from hgq2_core.files import read_json, write_text
from hgq2_core.model.number_format import format_count, format_metric
from hgq2_training.report.html import render
from hgq2_training.report.plots import EBOPS, svg
from hgq2_training.runs.files import REPORT
from hgq2_training.sweeps.trial_directory import TrialDirectory, trial_directories

if TYPE_CHECKING:
    from hgq2_core.commands.figure import ThemedFigure

SWEEP, FRONT, TRIALS = "sweep.yaml", "front.json", "trials.json"

Rows = Sequence[Mapping[str, Any]]


def sweep_page(directory: Path, link: Callable[[Path], str], refresh: int | None = None) -> str:
    """Return the page of a sweep as HTML.

    Args:
        directory: of the sweep, which may be running.
        link: returns the address of a trial's page by its directory.
        refresh: seconds after which a browser loads the page again while trials run; None for never.
    """
    front, told = read_json(directory / FRONT, []), read_json(directory / TRIALS, [])
    rows = [*told, *_running(directory, {row["number"] for row in told if row["state"] != "running"})]
    rows = list({row["number"]: row for row in rows}.values())  # what runs, as its epochs have it
    metrics = list(dict.fromkeys(name for row in [*front, *rows] for name in row["values"]))
    figure = sweep_front(front, rows, metrics)
    running = sum(row["state"] == "running" for row in rows)
    states = dict.fromkeys(row["state"] for row in rows)
    counts = ", ".join(f"{sum(row['state'] == state for row in rows)} {state}" for state in states)
    params = list(dict.fromkeys(name for row in rows for name in row["params"]))
    return render(
        "sweep.html",
        title=directory.resolve().name,
        refresh=refresh if running else None,
        counts=counts or "no trials yet",
        front=None if figure is None else svg(figure, "front", "Front of the sweep", _described(front, metrics)),
        heads=("trial", "state", "seed", *map(_short, metrics), *map(_short, params), "note"),
        best={row["number"] for row in front},
        rows=[
            {
                "number": row["number"],
                "link": link(directory / Path(row["directory"]).name) if _has_page(directory, row) else "",
                "cells": (
                    row["state"],
                    str(row["seed"]),
                    *(_value(name, row["values"].get(name), None) for name in metrics),
                    *(_plain(row["params"].get(name, "")) for name in params),
                    row["note"].splitlines()[-1] if row["note"] else "",
                ),
            }
            for row in sorted(rows, key=lambda row: -int(row["number"]))
        ],
        front_rows=[
            (
                str(row["number"]),
                *(_value(name, row["values"].get(name), row["deviations"].get(name)) for name in metrics),
            )
            for row in front
        ],
        front_heads=("trial", *map(_short, metrics)),
    )


def write_sweep_page(directory: Path) -> Path:
    """Write the page of a sweep into its directory, with links to the pages of its trials, and return its path."""
    path = directory / REPORT
    write_text(path, sweep_page(directory, lambda trial: f"{trial.name}/{REPORT}"))
    return path


def sweep_front(front: Rows, rows: Rows, metrics: Sequence[str]) -> ThemedFigure | None:
    """Draw the trials of a sweep by their EBOPs and the first other metric, and the front, with standard deviations.

    Args:
        front: the contents of `front.json`.
        rows: all trials.
        metrics: what was measured.

    Returns:
        The figure, or None if nothing was measured yet.
    """
    measured = [row for row in rows if row["values"].keys() >= set(metrics) and row["state"] != "running"]
    y = next((name for name in metrics if name != EBOPS), None)
    if y is None or not measured:
        return None
    x = EBOPS if EBOPS in metrics else next((name for name in metrics if name != y), None)

    def place(row: Mapping[str, Any]) -> tuple[float, float]:
        return (float(row["number"]) if x is None else row["values"][x]), row["values"][y]

    with styled():
        figure = new_figure(4.6, 3.2)
        axes = figure.subplots()
        axes.plot(*zip(*map(place, measured), strict=True), "o", color=GREY, markersize=3, alpha=0.7, label="trials")
        if front:
            ordered = sorted(front, key=place)
            across, up = zip(*map(place, ordered), strict=True)
            spread = [[row["deviations"].get(name, 0.0) for row in ordered] for name in (x, y)]
            bars: dict[str, Any] = {"xerr": spread[0], "yerr": spread[1]} if any(map(any, spread)) else {}
            label = "front, mean and deviation of the seeds" if bars else "front"
            axes.errorbar(across, up, **bars, fmt="o-", color=BLUE, markersize=4, linewidth=1.2, capsize=3, label=label)
        axes.xaxis.set_major_formatter("{x:,g}")
        axes.locator_params("x", nbins=5)
        axes.set_xlabel("trial" if x is None else "EBOPs, calibrated" if x == EBOPS else _short(x))
        axes.set_ylabel(_short(y))
        axes.legend(loc="lower left", bbox_to_anchor=(0, 1), borderaxespad=0, fontsize=9)
        return figure


def _running(directory: Path, ended: set[int]) -> list[dict[str, Any]]:
    """Return the trials that the sweep has not told of yet, by what they have written after their last epoch."""
    return [_as_row(each) for each in trial_directories(directory) if each.number not in ended and not each.outcome]


def _as_row(trial: TrialDirectory) -> dict[str, Any]:
    request, epochs = trial.request, trial.epochs
    return {
        **{"number": trial.number, "state": "running", "directory": trial.path.name, "deviations": {}},
        **{
            "params": request.get("params", {}),
            "seed": request.get("seed", ""),
            "values": epochs[-1] if epochs else {},
        },
        "note": f"epoch {len(epochs)}" if epochs else "begins",
    }


def _has_page(directory: Path, row: Mapping[str, Any]) -> bool:
    return (directory / Path(row["directory"]).name / REPORT).is_file()


def _described(front: Rows, metrics: Sequence[str]) -> str:
    points = (", ".join(f"{name} {_value(name, row['values'].get(name), None)}" for name in metrics) for row in front)
    return "; ".join(points) or "no trial is on it yet"


def _value(name: str, value: float | None, deviation: float | None) -> str:
    if value is None:
        return ""
    shown = format_count if name == EBOPS else format_metric
    return shown(value) + ("" if deviation is None else f" ± {shown(deviation)}")


def _plain(value: Any) -> str:
    return f"{value:.3g}" if isinstance(value, float) else str(value)


def _short(path: str) -> str:
    """Return the last two steps of a path, which say enough in a table."""
    return ".".join(path.split(".")[-2:]).replace("val_", "val ")
