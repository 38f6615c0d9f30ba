"""The HTML report of a run, in one self-contained file."""

from __future__ import annotations

import functools
import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from markupsafe import Markup

from hgq2_core.model.cost import Summary
from hgq2_core.model.number_format import format_count, format_metric
from hgq2_training.report.layers import bits_view, layers_view, ranges_view, weights_view
from hgq2_training.report.outputs import output_view
from hgq2_training.report.plots import EBOPS, curves, pareto, svg


@dataclass(frozen=True)
class Contents:
    """What a report is made of; all but the first four may be missing in a run from before they were recorded.

    Args:
        title: name of the run.
        metrics: the contents of `metrics.json`.
        layers: bits and cost of each layer.
        config: the text of `config.yaml`.
        history: the logs of each epoch.
        front: the contents of `front.json`; empty if the run keeps no front.
        analysis: predictions, bits and ranges, see `analyze`.
        origin: date, command, device and data, see `origin`.
        data: the description of the data, see `Splits.to_dict`.
        document: the config as data.
        exports: the reports of exports of the run.
        baseline: name and metrics of a run to compare with, such as one in floats.
    """

    title: str
    metrics: Mapping[str, Any]
    layers: Summary
    config: str
    history: Sequence[Mapping[str, Any]] = ()
    front: Mapping[str, Any] = field(default_factory=dict)
    analysis: Mapping[str, Any] = field(default_factory=dict)
    origin: Mapping[str, Any] = field(default_factory=dict)
    data: Mapping[str, Any] = field(default_factory=dict)
    document: Mapping[str, Any] = field(default_factory=dict)
    exports: Sequence[Mapping[str, Any]] = ()
    baseline: tuple[str, Mapping[str, float]] | None = None


def page(contents: Contents) -> str:
    """Return the report as HTML without scripts and without external references."""
    metrics, analysis = contents.metrics, contents.analysis
    views = {
        "findings": [_finding(each) for each in metrics.get("findings", ())],
        "curves": _training(contents.history, metrics["ebops"]),
        "front": _front(contents),
        "outputs": [
            output_view(name, found, index)
            for index, (name, found) in enumerate(analysis.get("outputs", {}).items(), 1)
            if "kind" in found
        ],
        "layers": layers_view(contents.layers),
        "bits": bits_view(analysis.get("slots", ())),
        "weights": weights_view(analysis.get("slots", ())),
        "ranges": ranges_view(analysis.get("health", {})),
        "exports": _exports(contents.exports, metrics["ebops"]),
    }
    return render(
        "run.html",
        title=contents.title,
        origin=list(_origin(contents)),
        tiles=list(_tiles(metrics)),
        sections=list(_sections(views)),
        ebops_note=any(EBOPS in logs for logs in contents.history),
        health_samples=format_count(analysis.get("health", {}).get("samples", 0)),
        config=contents.config,
        versions=", ".join(f"{name} {version}" for name, version in metrics["versions"].items()),
        **views,
    )


def render(template: str, **values: Any) -> str:
    """Return a page made from a template; values are escaped."""
    environment = _environment()
    return str(environment.get_template(template).render(style=Markup(style()), **values)).strip() + "\n"


@functools.cache
def style() -> str:
    """Return the style sheet of all pages."""
    environment = _environment()
    source: str = environment.loader.get_source(environment, "style.css")[0]
    return source


@functools.cache
def _environment() -> Any:
    from jinja2 import Environment, PackageLoader, StrictUndefined

    loader = PackageLoader("hgq2_training", "report/templates")
    return Environment(loader=loader, autoescape=True, trim_blocks=True, lstrip_blocks=True, undefined=StrictUndefined)


def _sections(views: Mapping[str, Any]) -> Iterator[tuple[str, str]]:
    names = {"findings": "Findings", "curves": "Training", "front": "Front"}
    ids = {"curves": "training"}
    yield from ((ids.get(key, key), name) for key, name in names.items() if views[key])
    yield from ((f"output-{index}", view["title"]) for index, view in enumerate(views["outputs"], 1))
    names = {"layers": "Layers", "bits": "Bits", "weights": "Weights", "ranges": "Ranges", "exports": "Hardware"}
    ids = {"exports": "hardware"}
    yield from ((ids.get(key, key), name) for key, name in names.items() if views[key])
    yield "config", "Configuration"


def _origin(contents: Contents) -> Iterator[tuple[str, str]]:
    """Yield where the run comes from, as terms and texts."""
    document, origin, data = contents.document, contents.origin, contents.data
    kind = (document.get("data") or {}).get("kind")
    parts = data.get("samples", {})
    facts = [kind, ", ".join(f"{format_count(count)} {name}" for name, count in parts.items())]
    if "data" in origin:
        facts.append(f"digest {origin['data'][:12]}")
    terms = {
        "data": "; ".join(filter(None, facts)),
        "seed": str(document.get("seed", "")),
        **{name: str(origin.get(name, "")) for name in ("date", "command", "device")},
    }
    yield from ((term, text) for term, text in terms.items() if text)


def _tiles(metrics: Mapping[str, Any]) -> Iterator[tuple[str, str, str]]:
    for name, value in metrics["test"].items():
        # The file has null in place of NaN.
        yield format_metric(math.nan if value is None else value), f"{metrics.get('part', 'test')} {_words(name)}", ""
    before = metrics.get("ebops_before_calibration")
    calibrated = "" if before is None else f", calibrated; {format_count(before)} before"
    yield format_count(metrics["ebops"]), f"EBOPs{calibrated}", ""
    if "verify" in metrics and metrics["verify"] is None:
        yield "not verified", "arithmetic: the comparison failed", "bad"
    elif "verify" in metrics:
        mismatches, samples = metrics["verify"]["mismatches"], format_count(metrics["verify"]["samples"])
        of = f"mismatches in {samples} test samples: arithmetic {'differs' if mismatches else 'verified'}"
        yield format_count(mismatches), of, "bad" if mismatches else ""
    yield f"{metrics['seconds']:,.1f} s", "training", ""


def _finding(found: Mapping[str, Any]) -> dict[str, str]:
    place = ".".join(filter(None, (found["layer"], found["slot"]))) or "inputs"
    return {**{name: found[name] for name in ("severity", "seen", "remedy")}, "place": place}


def _training(history: Sequence[Mapping[str, Any]], calibrated: float) -> list[Markup]:
    return [
        svg(figure, f"curve{index}", f"{title} over {len(history)} epochs")
        for index, (title, figure) in enumerate(curves(history, calibrated).items())
    ]


def _front(contents: Contents) -> dict[str, Any] | None:
    front, baseline = contents.front, contents.baseline
    metric = next((name for name in front.get("directions", ()) if name != EBOPS), "")
    measured = {} if baseline is None else baseline[1]
    line = None if baseline is None or metric not in measured else (baseline[0], measured[metric])
    figure = pareto(front, contents.history, line)
    if figure is None:
        return None
    description = f"Models that no other one beats, by EBOPs and metric: {len(front['entries'])}"
    entries = sorted(front["entries"], key=lambda entry: (entry["metrics"][EBOPS], entry["epoch"]))
    best = contents.metrics.get("recommended", {})
    rows = [
        (
            f"{number}{' (recommended)' if best.get('front') == number else ''}",
            *(format_metric(value) for name, value in entry["metrics"].items() if name != EBOPS),
            format_count(entry["metrics"][EBOPS]),
            str(entry["epoch"] + 1),
        )
        for number, entry in enumerate(entries)
    ]
    names = [_words(name) for name in entries[0]["metrics"] if name != EBOPS]
    return {
        "drawn": svg(figure, "front", description, "; ".join(f"{row[1]} at {row[-2]} EBOPs" for row in rows)),
        "caption": f"{description}. Each was calibrated before it was measured.",
        "heads": ("--front", *names, "EBOPs", "epoch"),
        "rows": rows,
    }


def _exports(reports: Sequence[Mapping[str, Any]], ebops: float) -> dict[str, Any] | None:
    if not reports:
        return None
    rows = [
        (
            str(each["path"]),
            str(each["exporter"]),
            _exported(each, ebops),
            "" if each.get("cost") is None else format_count(each["cost"]),
            "" if each.get("latency") is None else f"{each['latency']:g}",
            "" if each.get("stages") is None else str(each["stages"]),
            _simulated(each.get("simulation")),
        )
        for each in reports
    ]
    heads = ("directory", "exporter", "model", "cost", "latency", "stages", "simulated")
    return {"heads": heads, "rows": rows, "note": "LUTs and their delays for alkaid."}


def _exported(report: Mapping[str, Any], ebops: float) -> str:
    if report.get("front") is not None:
        return f"--front {report['front']}"
    return "the run" if report["ebops"] == ebops else "the run, before it changed"


def _simulated(simulation: Mapping[str, Any] | None) -> str:
    if simulation is None:
        return ""
    return f"{format_count(simulation['mismatches'])} mismatches in {format_count(simulation['samples'])}"


def _words(name: str) -> str:
    return name.replace("_", " ")
