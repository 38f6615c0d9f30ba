"""The page of a run: metrics, curves, Pareto front and layers in one file that needs nothing else."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from html import escape
from typing import Any

from hgq2_core.cost import Summary
from hgq2_core.plots import curves, pareto, svg

STYLE = """
body { font: 15px/1.5 system-ui, sans-serif; color: #0f172a; max-width: 62rem; margin: 2rem auto; padding: 0 1rem; }
h1 { font-size: 1.5rem; margin: 0; } h2 { font-size: 1.1rem; margin: 2.2rem 0 .6rem; }
.tiles { display: flex; flex-wrap: wrap; gap: .8rem; margin: 1.2rem 0; }
.tile { border: 1px solid #e2e8f0; border-radius: .5rem; padding: .6rem 1rem; }
.tile b { display: block; font-size: 1.35rem; font-variant-numeric: tabular-nums; }
.tile span, .note, footer { color: #64748b; font-size: .85rem; }
.good b { color: #15803d; } .bad b { color: #b91c1c; }
table { border-collapse: collapse; width: 100%; font-variant-numeric: tabular-nums; font-size: .9rem; }
th { text-align: left; color: #64748b; font-weight: 600; border-bottom: 2px solid #e2e8f0; }
th, td { padding: .25rem .7rem .25rem 0; } tr.first td { border-top: 1px solid #e2e8f0; }
.n { text-align: right; } svg { max-width: 100%; height: auto; font-family: inherit; }
pre { background: #f8fafc; padding: 1rem; overflow-x: auto; font-size: .8rem; } footer { margin: 2.5rem 0 1rem; }
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
    """Write the page.

    Args:
        title: name of the run.
        metrics: what `metrics.json` holds.
        layers: what each layer uses.
        history: the logs of each epoch.
        front: what `front.json` holds; empty where the run keeps no front.
        config: the text of `config.yaml`.

    Returns:
        HTML without scripts, and without a reference to anything outside of it.
    """
    versions = ", ".join(f"{name} {version}" for name, version in metrics["versions"].items())
    parts = [
        f"<h1>{escape(title)}</h1>",
        f'<div class="tiles">{"".join(_tiles(metrics))}</div>',
        _section("Training", curves(history)),
        _section("Pareto front", pareto(front, history)),
        f"<h2>Layers</h2>{_table(layers)}",
        '<p class="note">Bits: mean, smallest and largest of the trained bit-widths of each quantizer. EBOPs: products '
        "of the bit-widths that meet in each multiplication, summed over one sample.</p>",
        f"<h2>Configuration</h2><details><summary>config.yaml</summary><pre>{escape(config)}</pre></details>",
        f"<footer>{escape(versions)}</footer>",
    ]
    head = f'<meta charset="utf-8"><title>{escape(title)} – hgq2</title><style>{STYLE}</style>'
    body = "\n".join(part for part in parts if part)
    return f'<!doctype html>\n<html lang="en">\n<head>{head}</head>\n<body>\n{body}\n</body>\n</html>\n'


def _tiles(metrics: Mapping[str, Any]) -> list[str]:
    verified = metrics["verify"]
    found = [_tile(f"{value:.4f}", f"test {name.replace('_', ' ')}") for name, value in metrics["test"].items()]
    found.append(_tile(f"{metrics['ebops']:,.0f}", "EBOPs"))
    found.append(
        _tile(
            f"{verified['mismatches']:,}",
            f"of {verified['samples']:,} test samples differ from integers",
            "bad" if verified["mismatches"] else "good",
        )
    )
    return [*found, _tile(f"{metrics['seconds']:,.1f} s", "training")]


def _tile(value: str, caption: str, kind: str = "") -> str:
    return f'<div class="tile {kind}"><b>{escape(value)}</b><span>{escape(caption)}</span></div>'


def _section(heading: str, figure: Any) -> str:
    return "" if figure is None else f"<h2>{escape(heading)}</h2>{svg(figure)}"


def _table(layers: Summary) -> str:
    rows = [_row("th", COLUMNS)]
    for layer in layers.layers:
        shape = "" if layer.output_shape is None else " × ".join(map(str, layer.output_shape))
        head, cost = (layer.name, layer.kind, shape), f"{layer.ebops:,.0f}"
        bits = [
            (slot.label, f"{slot.mean:.2f}", f"{slot.min:.0f}", f"{slot.max:.0f}", _share(slot.zeroed))
            for slot in layer.slots
        ] or [("", "", "", "", "")]
        rows.append(_row("td", (*head, *bits[0], cost), "first"))
        rows += [_row("td", ("", "", "", *each, "")) for each in bits[1:]]
    return f"<table>{''.join(rows)}</table>"


def _share(zeroed: float | None) -> str:
    return "" if zeroed is None else f"{zeroed:.0%}"


def _row(tag: str, cells: Sequence[str], kind: str = "") -> str:
    kinds = ("", ' class="n"')
    written = "".join(
        f"<{tag}{kinds[index >= NUMBERS_FROM]}>{escape(cell)}</{tag}>" for index, cell in enumerate(cells)
    )
    return f'<tr class="{kind}">{written}</tr>'
