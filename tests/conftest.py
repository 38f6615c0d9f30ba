"""What several test folders share. Importing hgq2_core first chooses the Keras backend."""

from __future__ import annotations

import itertools
import json
import os
import re
import subprocess
import sys
import tempfile
import zlib
from collections import Counter
from collections.abc import Callable, Iterator
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


MANY = 6
"""Of a test with more cases than these the fast suite has a third, the slow suite a sixth, and the night the others; of
a slow one the slow suite has a third."""
SHARES = {"jax": 0, "tensorflow": 1}
"""Which fifth of the tests a backend runs without `--every-case`."""


@pytest.hookimpl(tryfirst=True)
def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """Choose among the cases of each test, always the same.

    The first case of many stays where its test is. jax and tensorflow have a fifth of the tests
    each, of which they run the first case and a fifth of the others; all those marked for backends; and no more without
    `--every-case`.
    """
    backend = keras.backend.backend()
    if backend == "torch":
        slow = [item for item in items if item.get_closest_marker("slow")]
        unmarked = [item for item in items if not any(map(item.get_closest_marker, ("slow", "nightly")))]
        for item in itertools.filterfalse(_for_backends, _all_but_some(_of_many(unmarked), 3)):
            item.add_marker("slow" if _place(item.nodeid) % 6 == 1 else "nightly")
        for item in _all_but_some(_of_many(slow), 3):
            item.add_marker("nightly")
    elif not config.getoption("every_case"):
        others = (item for item in items if _place(_test_of(item)) % 5 != SHARES[backend])
        left_out = {*itertools.filterfalse(_for_backends, itertools.chain(others, _all_but_some(items, 5)))}
        config.hook.pytest_deselected(items=[*left_out])
        items[:] = [item for item in items if item not in left_out]


def _test_of(item: pytest.Item) -> str:
    return item.nodeid.partition("[")[0]


def _place(name: str) -> int:
    """Return a number that depends on the name of a test or a case alone."""
    return zlib.crc32(name.encode())


def _for_backends(item: pytest.Item) -> bool:
    return any(map(item.get_closest_marker, ("backends", "every_backend")))


def _of_many(items: list[pytest.Item]) -> list[pytest.Item]:
    """Return the cases of the tests with more than a few."""
    count = Counter(map(_test_of, items))
    return [item for item in items if count[_test_of(item)] > MANY]


def _all_but_some(items: list[pytest.Item], share: int) -> Iterator[pytest.Item]:
    """Yield the cases but the first of each test, and one in `share` of the others."""
    seen: set[str] = set()
    for item in items:
        if _test_of(item) in seen and _place(item.nodeid) % share:
            yield item
        seen.add(_test_of(item))


@pytest.fixture(scope="session")
def claims() -> dict[str, tuple[float, float]]:
    """What README and the gallery promise of each example: the least of its metric and the most EBOPs."""
    config, bounds = r"`examples/(?:\w+/)?(\w+)\.yaml`", r"\| ([\d.]+) % \| ([\d,]+) \|"
    root = Path(__file__).parents[1]
    found: dict[str, tuple[float, float]] = {}
    for page in (root / "docs" / "gallery" / "index.md", root / "README.md"):
        for row in page.read_text(encoding="utf-8").splitlines():
            names, promises = re.findall(config, row), re.findall(bounds, row)
            for name, (least, most) in zip(names, promises, strict=False):  # a row of the table has one of each
                promised = float(least) / 100, float(most.replace(",", ""))
                assert found.setdefault(name, promised) == promised, f"{page.name} promises something else of {name}"
    return found


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
