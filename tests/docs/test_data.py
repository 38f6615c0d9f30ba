"""docs/data.md: its blocks run, in a folder of their own."""

from __future__ import annotations

from pathlib import Path

import pytest
from code_blocks import failures

PAGE = Path(__file__).resolve().parents[2] / "docs" / "data.md"


@pytest.mark.once
@pytest.mark.slow
def test_the_page_does_what_it_says(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    assert failures(PAGE) == []
