"""Checks that take too long for every change; the last results are in docs/results, with commit and date.

    python benchmarks/nightly.py              # every set
    python benchmarks/nightly.py gallery      # one of them
    python benchmarks/nightly.py new_kinds    # the kinds that have no result yet, added to those of before

`kinds` takes every layer and every quantizer from training to a circuit; `gallery` trains every example with several
seeds, `circuits` exports and simulates two of them, `cost` synthesizes trained models and compares them with the
predicted LUTs, `devices` divides batches over two, `pareto` trains fronts, and `speed` times training and prediction in
comparison with plain Keras.
"""

from __future__ import annotations

import argparse
import contextlib
import datetime
import importlib.metadata
import json
import os
import platform
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

import cases
from devices import results as of_devices
from speed import results as speed_ratios

from hgq2_core.cli.layer_table import layer_table
from hgq2_core.discovery.known_plugins import is_official
from hgq2_core.discovery.registry import registry
from hgq2_core.schema.keras_layers import KERAS

ROOT = Path(__file__).resolve().parents[1]
RESULTS = ROOT / "docs" / "results"
EXAMPLES = sorted((ROOT / "examples").glob("*.yaml"))
SEEDS = (0, 1, 2)
WITH_CIRCUITS = ("digits", "magic")
PROCESSES = 2

Result = dict[str, Any]


def hgq2(*arguments: object) -> Any:
    """Run a command with --json, and return its output."""
    command = [sys.executable, "-m", "hgq2_core.cli.main", *map(str, arguments), "--json"]
    return json.loads(subprocess.run(command, check=True, capture_output=True, text=True, cwd=ROOT).stdout)


def every_kind() -> list[str]:
    """Return every layer in docs/layers.md and every quantizer of this repository's plugins.

    Operations on tensors are left out: `layers.operation` is each of them.
    """
    layers = [row.layer for row in layer_table() if not row.layer.startswith(f"{KERAS}ops.")]
    return [kind for kind in (*layers, *registry().names("quantizers")) if kind.startswith(KERAS) or is_official(kind)]


def kinds() -> Iterator[Result]:
    """Train, calibrate, verify, save, load, freeze and export a model of each kind."""
    return whole_life(every_kind())


def whole_life(kinds: Sequence[str]) -> Iterator[Result]:
    """Take these kinds from training to a circuit."""
    program = ROOT / "tests" / "found_by_use" / "whole_life.py"
    batches = [kinds[start::PROCESSES] for start in range(PROCESSES)]
    with contextlib.ExitStack() as stack:
        running = [
            stack.enter_context(
                subprocess.Popen([sys.executable, program, *batch], stdout=subprocess.PIPE, stderr=subprocess.DEVNULL)
            )
            for batch in batches
        ]
        for process in running:
            assert process.stdout is not None
            yield from map(json.loads, process.stdout)


def gallery() -> Iterator[Result]:
    """Train, calibrate and verify every example."""
    with tempfile.TemporaryDirectory() as folder:
        for example in EXAMPLES:
            for seed in SEEDS:
                run = Path(folder) / f"{example.stem}_{seed}"
                report = hgq2("train", example, "-o", run, "--set", f"seed={seed}")
                metrics = {name: report[name] for name in ("test", "ebops", "verify", "seconds")}
                yield {"example": example.stem, "seed": seed, **metrics}


def circuits() -> Iterator[Result]:
    """Export trained examples as Verilog: cost, latency, and a simulation of their whole test split."""
    with tempfile.TemporaryDirectory() as folder:
        for name in WITH_CIRCUITS:
            run, circuit = Path(folder) / name, Path(folder) / f"{name}_rtl"
            hgq2("train", ROOT / "examples" / f"{name}.yaml", "-o", run)
            report = hgq2("export", run, "-o", circuit, "--simulate")
            yield {"example": name, **{key: report[key] for key in ("ebops", "cost", "latency", "simulation")}}


def speed() -> Iterator[Result]:
    """Time training and prediction on torch, one thread, relative to the plain Keras models."""
    return speed_ratios(sys.executable, "ours", "torch", compiled=False, rounds=9, names=list(cases.CASES))


def fronts() -> Iterator[Result]:
    """Train fronts of three problems; `pareto.py` also compares them with hgq2."""
    from pareto import results  # imports Keras

    return results()


def cost() -> Iterator[Result]:
    """Synthesize trained models, and predict their LUTs."""
    from cost import results  # with hgq2-alkaid, which the other sets reach by the command line

    return results()


SETS: dict[str, Callable[[], Iterator[Result]]] = {
    "circuits": circuits,
    "cost": cost,
    "devices": of_devices,
    "gallery": gallery,
    "kinds": kinds,
    "pareto": fronts,
    "speed": speed,
}


def context() -> Result:
    """Return commit, date and machine."""
    commit = subprocess.run(["git", "rev-parse", "HEAD"], check=True, capture_output=True, text=True, cwd=ROOT).stdout
    versions = {name: importlib.metadata.version(name) for name in ("hgq2-core", "keras", "numpy", "torch")}
    return {
        "commit": commit.strip(),
        "date": datetime.date.today().isoformat(),
        "machine": {"cores": os.cpu_count(), "processor": platform.machine(), "python": platform.python_version()},
        "versions": versions,
    }


def add_new_kinds() -> None:
    """Add the kinds that came after the last results, each with its own commit and date."""
    path = RESULTS / "kinds.json"
    document = json.loads(path.read_text())
    known = {result["kind"] for result in document["results"]}
    origin = {name: context()[name] for name in ("commit", "date")}
    for result in whole_life([kind for kind in every_kind() if kind not in known]):
        print(json.dumps({"set": "kinds", **result}), flush=True)
        document["results"].append({**result, **origin})
    path.write_text(json.dumps(document, indent=2) + "\n")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("sets", nargs="*", default=list(SETS), help=f"of {', '.join(SETS)}; all by default")
    sets = parser.parse_args().sets
    if sets == ["new_kinds"]:
        return add_new_kinds()
    if unknown := sorted(set(sets) - set(SETS)):
        parser.error(f"no such set. Received: {', '.join(unknown)}. Allowed: {', '.join(SETS)}.")
    RESULTS.mkdir(exist_ok=True)
    for name in sets:
        results = []
        for result in SETS[name]():
            print(json.dumps({"set": name, **result}), flush=True)
            results.append(result)
        (RESULTS / f"{name}.json").write_text(json.dumps({**context(), "results": results}, indent=2) + "\n")


if __name__ == "__main__":
    main()
