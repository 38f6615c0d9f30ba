"""The measured ratios on file: results.json, RESULTS.md, and the plot in docs/figures."""

from __future__ import annotations

import datetime
import importlib.metadata
import json
import os
import platform
import sys
from pathlib import Path
from typing import Any

import cases
import speed

HERE = Path(__file__).resolve().parent
DATA, PAGE = HERE / "results.json", HERE / "RESULTS.md"
PLOT = HERE.parent / "docs" / "figures" / "speed.svg"
DISTRIBUTIONS = ("hgq2-core", "keras", "numpy", "torch", "jax")

Result = dict[str, Any]


def machine() -> str:
    """Return processor and versions, in words."""
    lines = Path("/proc/cpuinfo").read_text().splitlines() if Path("/proc/cpuinfo").exists() else []
    models = [line.split(":")[1].strip() for line in lines if line.startswith("model name")]
    name = models[0] if models else platform.machine()
    installed = {each.name: each.version for each in importlib.metadata.distributions()}
    versions = ", ".join(f"{each} {installed[each]}" for each in DISTRIBUTIONS if each in installed)
    return f"{name}, {os.cpu_count()} cores, Python {platform.python_version()}; {versions}"


def keep(results: list[Result]) -> None:
    """Put results in the place of those of before for the same cases, and write everything anew."""
    known = json.loads(DATA.read_text()) if DATA.exists() else []
    added = {"machine": machine(), "date": datetime.date.today().isoformat()}
    by_key = {key(result): result for result in [*known, *({**result, **added} for result in results)]}
    order = {name: place for place, name in enumerate(cases.EVERY_CASE)}
    kept = sorted(by_key.values(), key=lambda result: (order[result["case"]], *key(result)))
    DATA.write_text(json.dumps(kept, indent=1) + "\n")
    PAGE.write_text(page(kept))
    plot(kept)


def key(result: Result) -> tuple[Any, ...]:
    """Return what tells a measurement from others."""
    return result["case"], result["backend"], result["contender"], result["compiled"]


def page(results: list[Result]) -> str:
    """Return the page."""
    cells = [speed.TITLES, ["---"] * len(speed.TITLES), *map(speed.row, results)]
    table = "\n".join(f"| {' | '.join(row)} |" for row in cells)
    machines = "\n".join(sorted({f"* {result['date']}: {result['machine']}" for result in results}))
    return (
        "# Speed\n\nWritten by `python benchmarks/speed.py --write`, which says what the columns are. Ratios to the "
        "same plain Keras model run eagerly, in CPU time and, in brackets, wall time; medians of interleaved rounds, "
        f"one thread.\n\n{table}\n\n![Ratios by case](../docs/figures/speed.svg)\n\n## Machines\n\n{machines}\n"
    )


def plot(results: list[Result]) -> None:
    """Draw the ratios of training and prediction by case."""
    sys.path.insert(0, str(PLOT.parent))
    from matplotlib import pyplot as plt
    from style import BLUE, ORANGE, STYLE, TEXT, save

    rows = [result for result in results if result["case"] in cases.CASES]
    labels = [" · ".join([*speed.row(result)[:3]]) for result in rows]
    with plt.rc_context({**STYLE, "svg.hashsalt": "speed"}):
        figure, axes = plt.subplots(figsize=(9, 0.8 + 0.42 * len(rows)), layout="constrained")
        for offset, name, color in ((-0.2, "fit", BLUE), (0.2, "predict", ORANGE)):
            axes.barh(
                [n + offset for n in range(len(rows))],
                [row[name]["cpu"] for row in rows],
                0.38,
                color=color,
                label=name,
            )
        axes.axvline(1.0, color=TEXT, linewidth=1)
        axes.set_yticks(range(len(rows)), labels)
        axes.invert_yaxis()
        axes.set_xlabel("CPU time relative to the same plain Keras model")
        axes.legend()
        save(figure, PLOT, "CPU time relative to plain Keras, by case")
