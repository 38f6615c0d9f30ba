"""Pages with a block or two: the blocks run."""

from __future__ import annotations

from pathlib import Path

import pytest
from code_blocks import failures

DOCS = Path(__file__).resolve().parents[2] / "docs"

pytestmark = [pytest.mark.once, pytest.mark.slow]


@pytest.mark.parametrize("page", ["coming_from_hgq2.md", "cost.md", "extending.md"])
def test_the_blocks_of_the_page_run(page: str) -> None:
    assert failures(DOCS / page) == []
