"""docs/tutorial.md: its commands run in order, in an empty folder, and print what the page shows."""

from __future__ import annotations

import re
import shlex
import shutil
import subprocess
from pathlib import Path

import pytest
from page_plugin import files_of
from typer.testing import CliRunner

from hgq2_core.cli.main import app

PAGE = Path(__file__).resolve().parents[2] / "docs" / "tutorial.md"
STEP = re.compile(r"^```sh\n(?P<commands>.*?)^```\n(?:\n```text\n(?P<shown>.*?)^```$)?", re.MULTILINE | re.DOTALL)

pytestmark = [pytest.mark.once, pytest.mark.slow]


def output(command: str) -> str:
    """Run a command of the page, those of `hgq2` in this process."""
    program, *arguments = shlex.split(command)
    if program != "hgq2":
        return subprocess.run([program, *arguments], check=True, capture_output=True, text=True, timeout=60).stdout
    result = CliRunner().invoke(app, arguments, prog_name="hgq2")
    assert result.exit_code == 0, f"{command}\n{result.output}"
    return result.output


@pytest.mark.skipif(shutil.which("iverilog") is None or shutil.which("g++") is None, reason="needs iverilog and g++")
def test_the_commands_of_the_page_print_what_it_shows(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    for name, text in files_of(PAGE).items():
        (tmp_path / name).write_text(text, encoding="utf-8")
    steps = list(STEP.finditer(PAGE.read_text(encoding="utf-8")))
    assert len(steps) == 7
    for step in steps:
        printed = "".join(output(command) for command in step["commands"].splitlines())
        for line in (step["shown"] or "").splitlines():
            pattern = ".*".join(re.escape(part) for part in line.split("…"))
            found = re.search(rf"^{pattern} *$", printed, re.MULTILINE)
            assert found, f"not printed: {line}\n{printed}"
            printed = printed[found.end() :]
