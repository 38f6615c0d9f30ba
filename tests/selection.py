"""Which of many cases of one kind the fast suite runs: representatives, and the others are slow tests."""

from collections.abc import Collection, Iterable, Iterator
from typing import Any

import pytest


def slow(*case: Any) -> Any:
    """Return a case among the slow tests."""
    return pytest.param(*case, marks=pytest.mark.slow)


def nightly(*case: Any) -> Any:
    """Return a case that runs at night alone."""
    return pytest.param(*case, marks=pytest.mark.nightly)


def few(names: Iterable[str], *fast: str) -> list[Any]:
    """Return each name as a case: the given ones among the fast tests."""
    known = list(names)
    assert {*fast} <= {*known}, f"no case is named {', '.join({*fast} - {*known})}"
    return [name if name in fast else slow(name) for name in known]


def one_in(count: int, cases: Collection[Any]) -> Iterator[Any]:
    """Return the cases, the first of each `count` among the fast tests: of a product of lists that is its diagonal."""
    for place, case in enumerate(cases):
        yield case if place % count == 0 else slow(*(case if isinstance(case, tuple) else (case,)))
