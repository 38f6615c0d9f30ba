"""The report of a run: its page, and the same as plain data, made from the files of the run directory."""

from __future__ import annotations

import contextlib
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml

from hgq2_core import doctor, ebops, summary
from hgq2_core.data.feed import for_model
from hgq2_core.errors import DataError, WriteError
from hgq2_core.files import read_json, write_json, write_text
from hgq2_core.keras_graph.random_state import preserve_rng
from hgq2_core.model.cost import Summary
from hgq2_training.report.analysis import analyze
from hgq2_training.report.html import Contents, page
from hgq2_training.runs.directory import load, load_run, read_data, read_metrics
from hgq2_training.runs.evaluation import evaluate
from hgq2_training.runs.files import ANALYSIS, CONFIG, EXPORTS, FRONT, FRONT_LIST, HISTORY, ORIGIN, REPORT
from hgq2_training.runs.front import choose

Analysis = dict[str, Any]


@dataclass(frozen=True)
class RunReport:
    """The report of a run, or of a model of its front.

    Args:
        page: the file of the page; None if none could be written.
        layers: bits and cost of each layer.
        analysis: predictions, bits and ranges, see `analyze`; empty if the data could not be read.
        notes: why something is missing, a sentence each.
        facts: what the metrics are, and of which model.
    """

    page: Path | None
    layers: Summary
    analysis: Analysis
    notes: tuple[str, ...]
    facts: Mapping[str, Any]

    def to_dict(self) -> dict[str, Any]:
        """Return plain data."""
        page = {} if self.page is None else {"page": str(self.page)}
        return {**self.facts, "summary": self.layers.to_dict(), "analysis": self.analysis, **page}


@preserve_rng()
def report(directory: str | Path, front: int | str | None = None, baseline: str | Path | None = None) -> RunReport:
    """Write the page of a run again, with what came after its training, such as exports.

    Args:
        directory: the run directory.
        front: a model of the front, see `load`; it has a page of its own, in the folder of the front.
        baseline: a run to compare with on the page, such as one in floats.

    Raises:
        ConfigError: the front has no such model.
        ModelFileError: there is no run, or a file is damaged.
    """
    directory = Path(directory)
    model = load(directory, front=front)
    layers, metrics = summary(model), read_metrics(directory)
    facts: dict[str, Any] = {"directory": str(directory), **(metrics if front is None else _of_front(directory, front))}
    # The training did not end, or the directory holds no more than a model and its metrics.
    if not metrics or not (directory / CONFIG).is_file():
        return RunReport(None, layers, {}, (), facts)
    analysis, notes = read_json(directory / ANALYSIS, {}) if front is None else {}, []
    if not analysis:
        try:
            analysis, test = _analyzed(directory, front)
        except DataError as error:
            notes.append(f"without predictions and ranges, since the data cannot be read: {error}")
            test = {}
        if front is not None:
            metrics = _metrics_of_front(metrics, facts, analysis, test, ebops(model))
        elif analysis:
            _keep(directory, analysis)
    name = directory.resolve().name
    title = name if front is None else f"{name} --front {facts['front']}"
    contents = contents_of(directory, title, layers, metrics, analysis, baseline)
    notes += _unlike(contents)
    path = directory / REPORT if front is None else choose(directory, front).path.with_suffix(".html")
    try:
        write_text(path, page(contents))
    except WriteError as error:
        return RunReport(None, layers, analysis, (*notes, f"the page is not written. {error}"), facts)
    return RunReport(path, layers, analysis, tuple(notes), facts)


def contents_of(
    directory: Path,
    title: str,
    layers: Summary,
    metrics: Mapping[str, Any],
    analysis: Analysis,
    baseline: str | Path | None = None,
) -> Contents:
    """Return what the page of a run is made of, from its files.

    Args:
        directory: the run directory.
        title: of the page.
        layers: bits and cost of each layer.
        metrics: the contents of `metrics.json`, which may not be written yet.
        analysis: see `analyze`.
        baseline: a run to compare with.
    """
    config = (directory / CONFIG).read_text(encoding="utf-8")
    return Contents(
        title=title,
        metrics=metrics,
        layers=layers,
        config=config,
        history=read_json(directory / HISTORY, []),
        front=read_json(directory / FRONT / FRONT_LIST, {}),
        analysis=analysis,
        origin=read_json(directory / ORIGIN, {}),
        data=read_data(directory),
        document=yaml.safe_load(config) or {},
        exports=read_json(directory / EXPORTS, []),
        baseline=None if baseline is None else _baseline(Path(baseline)),
    )


def record_export(directory: Path, made: Mapping[str, Any], front: int | str | None) -> None:
    """Add the report of an export to those of a run; one to the same directory is replaced.

    Args:
        directory: the run directory; if it cannot be written to, nothing is recorded.
        made: the report as plain data, with its simulation.
        front: the model of the front that was exported; None for that of the run.
    """
    number = None if front is None else choose(directory, front).number
    names = ("exporter", "path", "ebops", "cost", "latency", "stages", "checked", "simulation")
    row = {**{name: made.get(name) for name in names}, "front": number}
    before = [each for each in read_json(directory / EXPORTS, []) if each["path"] != row["path"]]
    with contextlib.suppress(WriteError):  # the run may be somebody else's; the export is not
        write_json(directory / EXPORTS, [*before, row])


def _of_front(directory: Path, front: int | str) -> dict[str, Any]:
    point = choose(directory, front)
    return {"front": point.number, "epoch": point.epoch, **point.metrics}


def _analyzed(directory: Path, front: int | str | None) -> tuple[Analysis, dict[str, float]]:
    """Return the analysis of a model, and its metrics on the test part."""
    config, model = load_run(directory, front)
    splits = config.load_data()
    test = for_model(splits, model).test
    return analyze(model, splits, config, doctor(model, test.x, test.y)), evaluate(model, test)


def _metrics_of_front(
    metrics: Mapping[str, Any], facts: Mapping[str, Any], analysis: Analysis, test: Mapping[str, float], cost: float
) -> dict[str, Any]:
    """Return the metrics of a page on a model of the front; its arithmetic was not compared."""
    kept = {name: metrics[name] for name in ("seconds", "versions", "recommended") if name in metrics}
    measured = test or {name: value for name, value in facts.items() if name.startswith("val_")}
    return {**kept, "test": measured, "ebops": cost, "findings": analysis.get("health", {}).get("findings", [])}


def _keep(directory: Path, analysis: Analysis) -> None:
    """Write the analysis of a run from before it was recorded, if the directory can be written to."""
    with contextlib.suppress(WriteError):
        write_json(directory / ANALYSIS, analysis)


def _unlike(contents: Contents) -> list[str]:
    """Return a note if the run to compare with lacks the metric of the front."""
    names = [name for name in contents.front.get("directions", ()) if name != "ebops"]
    if contents.baseline is None or any(name in contents.baseline[1] for name in names):
        return []
    return [
        f"--baseline: {contents.baseline[0]} has no {names[0]} to draw"
        if names
        else "--baseline: the run kept no front"
    ]


def _baseline(directory: Path) -> tuple[str, dict[str, float]]:
    """Return name and metrics of a run: those on its test part, and those of its last epoch."""
    last = (read_json(directory / HISTORY, []) or [{}])[-1]
    tested = read_metrics(directory).get("test", {})
    measured = {name: float(value) for name, value in {**last, **tested}.items() if value is not None}
    return directory.resolve().name, measured
