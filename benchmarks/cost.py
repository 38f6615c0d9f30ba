"""Fit the models of LUTs to synthesized circuits, and test them on trained models; takes an hour or two.

    python benchmarks/cost.py WORK            # circuits, synthesis, fit, test; goes on where WORK has some already
    python benchmarks/cost.py WORK --fit      # fit and test again what WORK holds

It writes the coefficients of hgq2-alkaid, docs/results/cost.json, and table and picture of docs/cost.md. `nightly.py
cost` trains, exports and synthesizes the models of the test again, and compares them with the coefficients as they are.
"""

from __future__ import annotations

import argparse
import json
import tempfile
import time
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import Any

import cost_circuits
import keras
import nightly
from alkaid.types import CombLogic
from cost_fit import fitted, predicted
from tables import write_between_marks

from hgq2_alkaid.cost.circuit import counts_of
from hgq2_alkaid.cost.layers import logic_of
from hgq2_alkaid.cost.synthesis import COMMAND, synthesize
from hgq2_core import export, load_model
from hgq2_core.errors import ExactnessError
from hgq2_core.files import read_json

CIRCUITS, BATCH = 226, 22
COEFFICIENTS = nightly.ROOT / "plugins" / "alkaid" / "hgq2_alkaid" / "cost" / "coefficients.json"
PAGE = nightly.ROOT / "docs" / "cost.md"
PICTURE = nightly.ROOT / "docs" / "cost.png"

Row = dict[str, Any]


def make(models: Iterable[tuple[str, keras.Model]], folder: Path) -> None:
    """Export models; those that are there already stay."""
    for name, model in models:
        directory = folder / name
        if (directory / "row.json").exists():
            continue
        start = time.perf_counter()
        try:
            report = export(model, "alkaid", directory / "rtl")
        except ExactnessError:  # random bits may leave no circuit
            continue
        row = {"name": name, "ebops": report.ebops, "cost": report.cost, "latency": report.latency}
        row["seconds"] = time.perf_counter() - start
        model.save(directory / "model.keras")
        (directory / "row.json").write_text(json.dumps(row))
        print(name, report.ebops, report.cost, flush=True)


def counted(directory: Path) -> Row:
    """Return the logic of a model's arithmetic, and of its circuit."""
    arithmetic: Counter[str] = Counter()
    for each in logic_of(load_model(directory / "model.keras")):
        arithmetic.update(each.counts or {})
    circuit = counts_of(CombLogic.load(directory / "rtl" / "model" / "comb.json.gz"))
    return {"arithmetic": dict(arithmetic), "circuit": circuit}


def rows(folder: Path, batch: int, most: int | None = None) -> list[Row]:
    """Synthesize circuits that are not yet, and return all of a folder.

    Args:
        folder: of circuits.
        batch: how many go into one run of Yosys.
        most: how many of them are to be synthesized at most, of each kind the smallest first; None for all.
    """
    files = sorted(folder.glob("*/row.json"), key=lambda each: json.loads(each.read_text())["cost"])
    missing = [each.parent for each in _in_turns(files)[:most] if not (each.parent / "luts.json").exists()]
    for some in (missing[start : start + batch] for start in range(0, len(missing), batch)):
        for directory, found in zip(some, synthesize([each / "rtl" for each in some]), strict=True):
            (directory / "luts.json").write_text(json.dumps(vars(found)))
        print(f"{len(some)} circuits synthesized", flush=True)
    return [
        {**json.loads(each.read_text()), **counted(each.parent), **read_json(each.parent / "luts.json", {})}
        for each in files
    ]


def _in_turns(files: Sequence[Path]) -> list[Path]:
    """Return files so that the kinds of circuits take turns."""
    seen: Counter[str] = Counter()
    turns = {}
    for each in files:
        kind = each.parent.name.rpartition("_")[0]
        seen[kind] += 1
        turns[each] = seen[kind]
    return sorted(files, key=lambda each: turns[each])


def result(row: Row, coefficients: dict[str, Any]) -> Row:
    """Return what docs/results/cost.json has of a trained model."""
    named = {
        f"predicted_{kind}": predicted(row, kind, coefficients[kind]["luts"]) for kind in ("arithmetic", "circuit")
    }
    measured = {name: row[name] for name in ("ebops", "luts", "carries", "cost", "latency", "seconds")}
    return {"model": row["name"], **measured, **{name: round(value, 1) for name, value in named.items()}}


def results() -> Iterator[Row]:
    """Train, export and synthesize the models of the test, and predict them with the present coefficients."""
    coefficients = json.loads(COEFFICIENTS.read_text())
    with tempfile.TemporaryDirectory() as folder:
        make(cost_circuits.trained(), Path(folder))
        yield from (result(row, coefficients) for row in rows(Path(folder), 3))


def show(found: Sequence[Row]) -> None:
    """Write table and picture of docs/cost.md."""
    ordered = sorted(found, key=lambda row: float(row["luts"]))
    write_between_marks(PAGE, table(ordered, json.loads(COEFFICIENTS.read_text())))
    draw(ordered)


def table(found: Sequence[Row], coefficients: dict[str, Any]) -> list[str]:
    """Return the table of the trained models, and below it the spread."""
    lines = [
        "| model | EBOPs | predicted LUTs | LUTs of the circuit | LUTs by Yosys | carry chains | alkaid's cost "
        "| latency | export |",
        "|---|" + "---:|" * 8,
    ]
    for row in found:
        numbers = [row["ebops"], row["predicted_arithmetic"], row["predicted_circuit"], row["luts"], row["carries"]]
        cells = [f"{each:,.0f}" for each in [*numbers, row["cost"]]]
        lines.append(f"| {row['model']} | {' | '.join(cells)} | {row['latency']:.1f} | {row['seconds']:.1f} s |")
    lines.append("")
    origin = coefficients["origin"]
    lines.append(f"* fitted to {origin['synthesized']} synthesized circuits, of {origin['circuits']} that were made.")
    small = origin["cross_validated"]
    for kind, name in (("arithmetic", "predicted before the circuit"), ("circuit", "of the circuit")):
        spread, own = coefficients[kind]["spread"], small[kind]
        lines.append(
            f"* {name}: median error {spread['median']:.1%}, 90 % within {spread['ninety']:.1%}, rank correlation "
            f"{spread['rank']:.2f}; 80 % of the models have {spread['low']:.2f} to {spread['high']:.2f} times the "
            f"LUTs. On the small circuits, cross-validated: {own['median']:.1%} and {own['ninety']:.1%}."
        )
    return lines


def draw(found: Sequence[Row]) -> None:
    """Draw predicted and synthesized LUTs of the trained models."""
    from matplotlib.figure import Figure

    figure = Figure(figsize=(6, 4.5), layout="constrained")
    axes = figure.subplots()
    reach = [min(row["luts"] for row in found) * 0.7, max(row["luts"] for row in found) * 1.4]
    axes.fill_between(reach, [each * 0.9 for each in reach], [each * 1.1 for each in reach], color="0.9", label="±10 %")
    axes.plot(reach, reach, color="0.5", linewidth=1)
    for name, label, mark in (
        ("predicted_arithmetic", "before the circuit", "o"),
        ("predicted_circuit", "of the circuit", "x"),
        ("ebops", "EBOPs", "."),
    ):
        axes.scatter([row["luts"] for row in found], [row[name] for row in found], marker=mark, label=label)
    axes.set(xscale="log", yscale="log", xlabel="LUTs by yosys", ylabel="predicted LUTs, or EBOPs")
    axes.legend()
    figure.savefig(PICTURE, dpi=110)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("work", type=Path, help="folder of the circuits")
    parser.add_argument("--fit", action="store_true", help="take the circuits that are there")
    parser.add_argument("--circuits", type=int, default=CIRCUITS, help="number of small circuits")
    parser.add_argument("--synthesize", type=int, help="the most of them to synthesize; all by default")
    arguments = parser.parse_args()
    small, trained = arguments.work / "small", arguments.work / "trained"
    most = 0 if arguments.fit else arguments.synthesize
    if not arguments.fit:
        make(cost_circuits.small(arguments.circuits), small)
        make(cost_circuits.trained(), trained)
    context = nightly.context()
    versions = {name: context["versions"][name] for name in ("alkaid", "pyosys")}
    origin = {"commit": context["commit"], "date": context["date"], "versions": versions, "command": COMMAND}
    tested = [row for row in rows(trained, 3, 0 if arguments.fit else None) if "luts" in row]
    document = fitted(rows(small, BATCH, most), tested, origin)
    COEFFICIENTS.write_text(json.dumps(document, indent=2) + "\n")
    found = sorted((result(row, document) for row in tested), key=lambda row: row["luts"])
    (nightly.RESULTS / "cost.json").write_text(json.dumps({**context, "results": found}, indent=2) + "\n")
    show(found)
    print(json.dumps({kind: document[kind]["spread"] for kind in ("circuit", "arithmetic")}, indent=2))


if __name__ == "__main__":
    main()
