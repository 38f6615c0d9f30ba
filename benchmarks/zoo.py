"""The zoo: plain Keras models of many kinds from conversion to a circuit, on torch and jax, loaded in fresh processes.

    python benchmarks/nightly.py zoo      # also writes the table of docs/converting.md; takes minutes

tests/zoo/life.py takes a model through its life. What one process has saved, another one loads, of its own backend and
of the other.
"""

from __future__ import annotations

import json
import os
import runpy
import subprocess
import sys
import tempfile
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import nightly
from tables import write_between_marks

PROGRAM = nightly.ROOT / "tests" / "zoo" / "life.py"
PAGE = nightly.ROOT / "docs" / "converting.md"
BACKENDS = ("torch", "jax")

Result = dict[str, Any]


def results() -> Iterator[Result]:
    """Take every model through its life on each backend, and load it in a fresh process of each."""
    with tempfile.TemporaryDirectory() as folder:
        for backend in BACKENDS:
            yield from of_backend(backend, Path(folder) / backend, names())


def names() -> list[str]:
    """Return the names of all models."""
    return list(runpy.run_path(str(PROGRAM.with_name("models.py")))["ZOO"])


def of_backend(backend: str, folder: Path, names: Sequence[str]) -> Iterator[Result]:
    """Take models through their life on one backend, and load them on each."""
    rows = {row["model"]: row for row in run("live", folder, names, backend)}
    for other in BACKENDS:
        files = ["frozen.keras", *(["model.keras"] if other == backend else [])]
        for loaded in run("load", folder, files, other):
            rows[loaded["model"]].setdefault("differing", {})[other] = loaded.get("differing", loaded.get("error"))
    for row in rows.values():
        yield {"backend": backend, **row}


def run(command: str, folder: Path, given: Sequence[str], backend: str) -> Iterator[Result]:
    """Yield what the program prints, in a process of its own."""
    cache = {
        "JAX_COMPILATION_CACHE_DIR": str(folder.parent / "compiled"),
        "JAX_PERSISTENT_CACHE_MIN_COMPILE_TIME_SECS": "0",
    }
    process = subprocess.run(
        [sys.executable, PROGRAM, command, folder, *given],
        env={**os.environ, **cache, "KERAS_BACKEND": backend},
        stdout=subprocess.PIPE,
        text=True,
        check=True,
    )
    yield from map(json.loads, process.stdout.splitlines())


def show(found: Sequence[Result]) -> None:
    """Write the table of docs/converting.md."""
    lines = [
        "| backend | models | verified samples | loaded in a fresh process | simulated | mismatches |",
        "|---|" + "---:|" * 5,
    ]
    for backend in BACKENDS:
        rows = [row for row in found if row["backend"] == backend and "error" not in row]
        verified = [row[place] for row in rows for place in ("within", "beyond")]
        runs = [row["simulation"] for row in rows]
        circuits = sum(row["exporter"] == "alkaid" for row in rows)
        cells = [
            backend,
            str(len(rows)),
            f"{sum(each['samples'] for each in verified):,}",
            " and ".join(f"{sum(row['differing'][other] == [] for row in rows)} on {other}" for other in BACKENDS),
            f"{circuits} circuits, {len(rows) - circuits} emulators",
            str(sum(each["mismatches"] for each in (*verified, *runs))),
        ]
        lines.append(f"| {' | '.join(cells)} |")
    write_between_marks(PAGE, lines)
