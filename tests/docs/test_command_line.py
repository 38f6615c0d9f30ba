"""docs/command_line.md: what the commands say of themselves."""

from __future__ import annotations

import re
import subprocess
import sys
from importlib import metadata
from pathlib import Path

import pytest
from packaging.version import Version

ROOT = Path(__file__).resolve().parents[2]

pytestmark = pytest.mark.once


@pytest.mark.skipif(
    Version(metadata.version("typer")) < Version("0.29"), reason="the page is written with Typer 0.29 or later"
)
def test_the_page_is_what_the_script_writes() -> None:
    # In a process of its own: other tests register commands.
    code = "import write_command_line; print(write_command_line.page(), end='')"
    command = [sys.executable, "-c", code]
    process = subprocess.run(command, cwd=ROOT / "scripts", capture_output=True, text=True, timeout=120)
    assert process.returncode == 0, process.stderr
    page = (ROOT / "docs" / "command_line.md").read_text(encoding="utf-8")
    assert page == process.stdout, "run `make stubs`"


def test_the_files_of_its_examples_exist() -> None:
    page = (ROOT / "docs" / "command_line.md").read_text(encoding="utf-8")
    named = set(re.findall(r"examples/[\w/]+\.yaml", page))
    assert named and not [name for name in sorted(named) if not (ROOT / name).is_file()]
