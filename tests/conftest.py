"""What several test folders share. Importing hgq2_core first chooses the Keras backend."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
import tempfile
import zlib
from collections.abc import Callable
from pathlib import Path
from textwrap import dedent
from typing import Any

import pytest
from hypothesis import settings

# jax compiles what many tests have in common once for each test process. Before jax is imported.
COMPILED = tempfile.TemporaryDirectory(prefix="compiled_by_jax_")
os.environ["JAX_COMPILATION_CACHE_DIR"] = COMPILED.name
os.environ["JAX_PERSISTENT_CACHE_MIN_COMPILE_TIME_SECS"] = "0"
os.environ["JAX_PERSISTENT_CACHE_MIN_ENTRY_SIZE_BYTES"] = "-1"

import hgq2_core  # noqa: E402, F401

import keras  # noqa: E402  # isort: skip

# Machines are noisy, so no example has a deadline. Examples repeat in every run, except in `make fuzz`: that profile
# says so explicitly, because Hypothesis derandomizes the others on a CI machine.
settings.register_profile("fuzz", deadline=None, derandomize=False, print_blob=True)
settings.register_profile("repeatable", deadline=None, derandomize=True, max_examples=50)
settings.load_profile("repeatable")


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption("--every-case", action="store_true", help="on jax and tensorflow too")


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """On jax and tensorflow, run of each test its first case and a third of the others, always the same."""
    if keras.backend.backend() == "torch" or config.getoption("every_case"):
        return
    seen: set[str] = set()
    kept, left_out = [], []
    for item in items:
        test = item.nodeid.partition("[")[0]
        run = test not in seen or zlib.crc32(item.nodeid.encode()) % 3 == 0 or item.get_closest_marker("every_backend")
        (kept if run else left_out).append(item)
        seen.add(test)
    config.hook.pytest_deselected(items=left_out)
    items[:] = kept


@pytest.fixture(scope="session")
def claims() -> dict[str, tuple[float, float]]:
    """What README promises of each example: the least accuracy and the most EBOPs."""
    row = r"`examples/(\w+)\.yaml` \| ([\d.]+) % \| ([\d,]+) \|"
    readme = (Path(__file__).parents[1] / "README.md").read_text()
    return {name: (float(least) / 100, float(most.replace(",", ""))) for name, least, most in re.findall(row, readme)}


@pytest.fixture
def fresh_python(tmp_path) -> Callable[..., Any]:
    """Run a script in a fresh process, and return the JSON that it prints last."""

    def run(script: str, **environ: str | None) -> Any:
        environment = {**os.environ, **environ}
        environment = {name: value for name, value in environment.items() if value is not None}
        process = subprocess.run(
            [sys.executable, "-c", dedent(script)],
            env=environment,
            cwd=tmp_path,
            capture_output=True,
            text=True,
            timeout=300,
        )
        assert process.returncode == 0, process.stderr
        return json.loads(process.stdout.splitlines()[-1])

    return run
