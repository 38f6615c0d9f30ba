"""The HTML report of a run: metrics, findings, curves, Pareto front and layers in one self-contained file."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from html import escape
from typing import Any

from hgq2_core.model.cost import Summary
from hgq2_core.model.number_format import format_count, format_metric
from hgq2_training.report.plots import EBOPS, curves, pareto, svg

STYLE = """
:root {
  color-scheme: light dark;
  --ground: #ffffff; --panel: #f8fafc; --ink: #0f172a; --muted: #475569; --edge: #cbd5e1;
  --bad: #b91c1c; --warn: #a16207;
}
@media (prefers-color-scheme: dark) {
  :root {
    --ground: #0f172a; --panel: #1e293b; --ink: #f1f5f9; --muted: #a8b4c6; --edge: #475569;
    --bad: #f87171; --warn: #fbbf24;
    --plot-first: #60a5fa; --plot-second: #fb923c; --plot-faint: #94a3b8;
    --plot-ink: #f1f5f9; --plot-label: #cbd5e1; --plot-edge: #475569; --plot-grid: #334155;
  }
}
body {
  font: 15px/1.5 system-ui, sans-serif; color: var(--ink); background: var(--ground);
  max-width: 62rem; margin: 2rem auto; padding: 0 1rem; overflow-wrap: break-word;
}
h1 { font-size: 1.5rem; margin: 0; } h2 { font-size: 1.1rem; margin: 2.2rem 0 .6rem; }
.tiles { display: flex; flex-wrap: wrap; gap: .8rem; margin: 1.2rem 0; }
.tile { border: 1px solid var(--edge); border-radius: .5rem; padding: .6rem 1rem; }
.tile b { display: block; font-size: 1.35rem; font-variant-numeric: tabular-nums; }
.tile span, .note, figcaption, footer { color: var(--muted); font-size: .85rem; }
.bad b, .error { color: var(--bad); } .warning { color: var(--warn); }
.findings { padding-left: 1.2rem; }
.figures { display: grid; grid-template-columns: repeat(auto-fit, minmax(min(100%, 18rem), 1fr)); gap: 1rem; }
figure { margin: 0; } figure.wide { max-width: 36rem; }
svg { display: block; width: 100%; height: auto; font-family: inherit; }
.scroll { overflow-x: auto; border: 1px solid var(--edge); border-radius: .5rem; padding: 0 .7rem; }
table { border-collapse: collapse; width: 100%; font-variant-numeric: tabular-nums; font-size: .9rem; }
table { white-space: nowrap; }
th { text-align: left; color: var(--muted); font-weight: 600; border-bottom: 2px solid var(--edge); }
th, td { padding: .25rem .7rem .25rem 0; } tr.first td { border-top: 1px solid var(--edge); }
.n { text-align: right; } pre { background: var(--panel); padding: 1rem; overflow-x: auto; font-size: .8rem; }
footer { margin: 2.5rem 0 1rem; }
"""
COLUMNS = ("layer", "kind", "output", "slot", "bits", "min", "max", "zeroed", "EBOPs")
NUMBERS_FROM = COLUMNS.index("bits")


def page(
    title: str,
    metrics: Mapping[str, Any],
    layers: Summary,
    history: Sequence[Mapping[str, Any]],
    front: Mapping[str, Any],
    config: str,
) -> str:
    """Return the report as HTML.

    Args:
        title: name of the run.
        metrics: the contents of `metrics.json`.
        layers: bits and cost of each layer.
        history: the logs of each epoch.
        front: the contents of `front.json`; empty if the run keeps no front.
        config: the text of `config.yaml`.

    Returns:
        HTML without scripts and without external references.
    """
    versions = ", ".join(f"{name} {version}" for name, version in metrics["versions"].items())
    parts = [
        f"<h1>{escape(title)}</h1>",
        f'<div class="tiles">{"".join(_tiles(metrics))}</div>',
        _findings(metrics.get("findings", [])),
        _training(history, metrics["ebops"]),
        _front(front, history),
        f"<h2>Layers</h2>{_table(layers)}",
        '<p class="note">Bits: mean, smallest and largest of the trained bit-widths of each quantizer. EBOPs: products '
        "of the bit-widths that meet in each multiplication, summed over one sample.</p>",
        f"<h2>Configuration</h2><details><summary>config.yaml</summary><pre>{escape(config)}</pre></details>",
        f"<footer>{escape(versions)}</footer>",
    ]
    head = (
        '<meta charset="utf-8"><meta name="viewport" content="width=device-width, initial-scale=1">'
        f'<meta name="color-scheme" content="light dark"><title>{escape(title)} – hgq2</title><style>{STYLE}</style>'
    )
    body = "\n".join(part for part in parts if part)
    return (
        f'<!doctype html>\n<html lang="en">\n<head>{head}</head>\n<body>\n<main>\n{body}\n</main>\n</body>\n</html>\n'
    )


def _tiles(metrics: Mapping[str, Any]) -> Iterator[str]:
    for name, value in metrics["test"].items():
        # The file has null in place of NaN.
        yield _tile(format_metric(math.nan if value is None else value), f"test {name.replace('_', ' ')}")
    before = metrics.get("ebops_before_calibration")
    calibrated = "" if before is None else f", calibrated; {format_count(before)} before"
    yield _tile(format_count(metrics["ebops"]), f"EBOPs{calibrated}")
    mismatches, samples = metrics["verify"]["mismatches"], format_count(metrics["verify"]["samples"])
    of = f"mismatches in {samples} test samples: arithmetic {'differs' if mismatches else 'verified'}"
    yield _tile(format_count(mismatches), of, "bad" if mismatches else "")
    yield _tile(f"{metrics['seconds']:,.1f} s", "training")


def _tile(value: str, caption: str, kind: str = "") -> str:
    return f'<div class="tile {kind}"><b>{escape(value)}</b><span>{escape(caption)}</span></div>'


def _findings(findings: Sequence[Mapping[str, Any]]) -> str:
    """Return the findings of `doctor` as a list, each with its remedy."""
    if not findings:
        return ""
    items = [
        f'<li><b class="{escape(each["severity"])}">{escape(each["severity"])}</b> '
        f"{escape('.'.join(filter(None, (each['layer'], each['slot']))) or 'inputs')}: {escape(each['seen'])}"
        f'<br><span class="note">{escape(each["remedy"])}</span></li>'
        for each in findings
    ]
    return f'<h2>Findings</h2><ul class="findings">{"".join(items)}</ul>'


def _training(history: Sequence[Mapping[str, Any]], calibrated: float) -> str:
    figures = curves(history, calibrated)
    drawn = [
        f"<figure>{svg(figure, f'curve{index}', f'{title} over {len(history)} epochs')}</figure>"
        for index, (title, figure) in enumerate(figures.items())
    ]
    if not drawn:
        return ""
    note = (
        '<p class="note">EBOPs while training are those before calibration, which then fixes the ranges of activations '
        "that wrap.</p>"
        if any(EBOPS in logs for logs in history)
        else ""
    )
    return f'<h2>Training</h2><div class="figures">{"".join(drawn)}</div>{note}'


def _front(front: Mapping[str, Any], history: Sequence[Mapping[str, Any]]) -> str:
    figure = pareto(front, history)
    if figure is None:
        return ""
    description = f"Models that no other one beats, by EBOPs and metric: {len(front['entries'])}"
    caption = f"<figcaption>{description}. Each was calibrated before it was measured.</figcaption>"
    return f'<h2>Pareto front</h2><figure class="wide">{svg(figure, "front", description)}{caption}</figure>'


def _table(layers: Summary) -> str:
    rows = []
    for layer in layers.layers:
        shape = "" if layer.output_shape is None else " × ".join(map(str, layer.output_shape))
        head, cost = (layer.name, layer.kind, shape), format_count(layer.ebops)
        bits = [(slot.label, *slot.cells) for slot in layer.slots] or [("", "", "", "", "")]
        rows.append(_row("td", (*head, *bits[0], cost), "first"))
        rows += [_row("td", ("", "", "", *each, "")) for each in bits[1:]]
    table = f"<table><thead>{_row('th', COLUMNS)}</thead><tbody>{''.join(rows)}</tbody></table>"
    # Focusable, so that it can be scrolled by keyboard.
    return f'<div class="scroll" role="region" aria-label="Layers" tabindex="0">{table}</div>'


def _row(tag: str, cells: Sequence[str], kind: str = "") -> str:
    scope = ' scope="col"' if tag == "th" else ""
    kinds = ("", ' class="n"')
    written = "".join(
        f"<{tag}{scope}{kinds[index >= NUMBERS_FROM]}>{escape(cell)}</{tag}>" for index, cell in enumerate(cells)
    )
    return f'<tr class="{kind}">{written}</tr>'
