"""docs/tutorial.md: its commands run in order, in an empty folder, and print what the page shows."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest
from guide import follow

PAGE = Path(__file__).resolve().parents[2] / "docs" / "tutorial.md"
pytestmark = [pytest.mark.once, pytest.mark.slow]


@pytest.mark.skipif(shutil.which("iverilog") is None or shutil.which("g++") is None, reason="needs iverilog and g++")
def test_the_commands_of_the_page_print_what_it_shows(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    assert follow(PAGE, tmp_path) == 7
