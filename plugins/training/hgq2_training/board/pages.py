"""The pages of the web view, each made anew from the files of runs and sweeps."""

from __future__ import annotations

import math
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any
from urllib.parse import quote

from hgq2_core.errors import ConfigError, HGQ2Error
from hgq2_core.files import read_json
from hgq2_core.model.number_format import format_count, format_metric
from hgq2_core.schema.base import as_yaml
from hgq2_training.board.finder import Place, find
from hgq2_training.report.comparison import metric_over_ebops
from hgq2_training.report.html import render
from hgq2_training.report.plots import curves, svg
from hgq2_training.report.sweep import sweep_page
from hgq2_training.runs.compare import compare
from hgq2_training.runs.files import CONFIG, HISTORY, METRICS, ORIGIN, REPORT

REFRESH = 5
"""Seconds after which a page of something that runs is loaded again."""
ALIVE = 600
"""Seconds without an epoch after which a run no longer counts as running."""


class Board:
    """The pages of a directory of runs; `None` in place of a page that there is not.

    Args:
        root: the directory.
    """

    def __init__(self, root: Path) -> None:
        self.root = root

    def index(self) -> str:
        """Return the list of runs and sweeps, with their key figures."""
        places = find(self.root).values()
        runs = [_Run.read(place) for place in places if not place.is_sweep]
        # Of several outputs the losses are on their own pages.
        names = list(dict.fromkeys(name for run in runs for name in run.test if not name.endswith("_loss")))
        return render(
            "runs.html",
            title=self.root.resolve().name,
            refresh=REFRESH if any(run.running for run in runs) else None,
            heads=("EBOPs", *(name.replace("_", " ") for name in names), "mismatches", "seconds"),
            sweeps=[
                {"name": place.name, "link": _link("sweep", place.name), "note": _foreign(place) or _trials(place.path)}
                for place in places
                if place.is_sweep
            ],
            runs=[
                {
                    "name": run.place.name,
                    "link": _link("run", run.place.name),
                    "state": run.state,
                    "bad": bool(run.metrics) and run.mismatches != 0,
                    "finished": bool(run.metrics),
                    "cells": [run.figures[0], *(_metric(run.test, name) for name in names), *run.figures[1:]],
                    "date": run.date,
                }
                for run in runs
            ],
        )

    def run(self, name: str) -> str | None:
        """Return the report of a run; of one that has none yet, its curves so far."""
        place = self._place(name)
        if place is None or place.is_sweep:
            return None
        report = place.path / REPORT
        return report.read_text(encoding="utf-8") if report.is_file() else _live(_Run.read(place))

    def sweep(self, name: str) -> str | None:
        """Return the page of a sweep, with the front so far."""
        place = self._place(name)
        if place is None or not place.is_sweep:
            return None
        return sweep_page(place.path, lambda path: _link("run", self._name(path)), REFRESH)

    def compare(self, names: Sequence[str]) -> str:
        """Return the comparison of runs, or why there is none."""
        places = find(self.root)
        title, unknown = "Comparison", [name for name in names if name not in places]
        try:
            if unknown:
                return render("compare.html", title=title, message=f"There is no run {', '.join(unknown)}.")
            for name in names:
                _check(places[name])
            found = compare(*(places[name].path for name in names))
            drawn = svg(metric_over_ebops(found), "compared", "Runs by metric and EBOPs", ", ".join(names))
        except HGQ2Error as error:
            return render("compare.html", title=title, message=str(error))
        return render(
            "compare.html",
            title=title,
            message="",
            drawn=drawn,
            heads=("run", *(name.replace("_", " ") for name in found.metrics), "EBOPs", "seconds"),
            rows=[
                (
                    name,
                    *(_metric(run.test, metric) for metric in found.metrics),
                    format_count(run.ebops),
                    f"{run.seconds:.1f}",
                )
                for name, run in zip(names, found.runs, strict=True)
            ],
            setting_heads=("setting", *names),
            settings=[
                (setting, *("" if value is None else as_yaml(value) for value in values))
                for setting, values in found.differences.items()
            ],
        )

    def _place(self, name: str) -> Place | None:
        place = find(self.root).get(name)
        if place is not None:
            _check(place)
        return place

    def _name(self, path: Path) -> str:
        return path.relative_to(self.root).as_posix()


class _Run:
    """What the list shows of a run."""

    def __init__(self, place: Place, metrics: Mapping[str, Any], history: Sequence[Mapping[str, Any]]) -> None:
        self.place, self.metrics, self.history = place, metrics, history
        self.test: Mapping[str, Any] = metrics.get("test", {})
        origin = {} if place.foreign else _read(place.path / ORIGIN, {})
        self.date = str(origin.get("date", ""))[:16]

    @classmethod
    def read(cls, place: Place) -> _Run:
        """Read its files; those that are damaged count as missing."""
        if place.foreign:
            return cls(place, {}, [])
        return cls(place, _read(place.path / METRICS, {}), _read(place.path / HISTORY, []))

    @property
    def running(self) -> bool:
        """Whether epochs were trained in the last minutes, and there are no results."""
        return not self.metrics and not self.place.foreign and self._age < ALIVE

    @property
    def state(self) -> str:
        """How far it is, or why nothing of it is shown."""
        if self.place.foreign:
            return _foreign(self.place)
        if self.metrics:
            return "finished"
        epochs = f"{len(self.history)} epochs" if self.history else "no epoch yet"
        return f"{epochs}, {_ago(self._age)}" if self.running else f"stopped after {epochs}"

    @property
    def figures(self) -> list[str]:
        """EBOPs, mismatches and seconds."""
        if not self.metrics:
            last = self.history[-1].get("ebops") if self.history else None
            return ["" if last is None else f"{format_count(last)} (uncalibrated)", "", ""]
        mismatches = "not verified" if self.mismatches is None else format_count(self.mismatches)
        return [format_count(self.metrics["ebops"]), mismatches, f"{self.metrics['seconds']:.1f}"]

    @property
    def mismatches(self) -> int | None:
        """Values that differ from the integers of the test part; None if they were not compared."""
        return (self.metrics.get("verify") or {}).get("mismatches")

    @property
    def _age(self) -> float:
        path = self.place.path / (HISTORY if self.history else CONFIG)
        return time.time() - path.stat().st_mtime if path.is_file() else math.inf


def _live(run: _Run) -> str:
    figures = curves(run.history)
    return render(
        "live.html",
        title=run.place.name,
        refresh=REFRESH if run.running else None,
        state=run.state,
        curves=[svg(figure, f"curve{index}", title) for index, (title, figure) in enumerate(figures.items())],
        config=(run.place.path / CONFIG).read_text(encoding="utf-8"),
    )


def _foreign(place: Place) -> str:
    return f"not shown: {place.foreign} leads out of the directory of the runs" if place.foreign else ""


def _check(place: Place) -> None:
    """Refuse a place with a file from elsewhere: a run may be somebody else's, and name any file of this machine.

    Raises:
        ConfigError: there is one.
    """
    if place.foreign:
        raise ConfigError(f"{place.name}: {_foreign(place)}. Allowed: files in the directory itself.")


def _trials(path: Path) -> str:
    rows = _read(path / "trials.json", [])
    return (
        f"{len(rows)} trials, {len(_read(path / 'front.json', []))} on the front" if rows else "no trial has ended yet"
    )


def _read(path: Path, default: Any) -> Any:
    try:
        return read_json(path, default)
    except HGQ2Error:
        return default


def _metric(test: Mapping[str, Any], name: str) -> str:
    value = test.get(name, "")
    return "" if value == "" else format_metric(math.nan if value is None else value)


def _ago(seconds: float) -> str:
    return f"the last {seconds:.0f} s ago" if seconds < 120 else f"the last {seconds / 60:.0f} min ago"


def _link(kind: str, name: str) -> str:
    return f"/{kind}/{quote(name, errors='surrogateescape')}"
