"""A guide, run as its reader would: its files are written, its commands and blocks run in order, outputs are compared.

A page has, in any order: files (a line with nothing but a name and a colon, and a fenced block), `python` blocks, which
share their names, and `sh` blocks, whose output a `text` block right behind shows, with `…` for what differs.
"""

from __future__ import annotations

import re
import shlex
import subprocess
import sys
from pathlib import Path
from typing import Any

from code_blocks import CodeBlock, run
from page_plugin import FILE
from typer.testing import CliRunner

from hgq2_core.cli.main import app

STEP = re.compile(r"^```sh\n(?P<commands>.*?)^```\n(?:\n```text\n(?P<shown>.*?)^```$)?", re.MULTILINE | re.DOTALL)
PYTHON = re.compile(r"^```python\n(?P<code>.*?)^```$", re.MULTILINE | re.DOTALL)


def follow(page: Path, folder: Path) -> int:
    """Follow a page in a folder, which is the working directory, and return how many commands and blocks ran.

    Raises:
        AssertionError: an output is not the one on the page.
    """
    text = page.read_text(encoding="utf-8")
    names: dict[str, Any] = {"__name__": page.stem}
    files = list(FILE.finditer(text))
    steps = [step for part in (STEP, PYTHON) for step in part.finditer(text) if not _inside(step, files)]
    for step in sorted([*files, *steps], key=re.Match.start):
        if step.re is FILE:
            path = folder / step[1]
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(step[2], encoding="utf-8")
        elif step.re is STEP:
            compare(step["shown"] or "", "".join(map(output, lines(step["commands"]))))
        else:
            report = run(page, CodeBlock(text.count("\n", 0, step.start("code")) + 1, step["code"]), names)
            assert not report, report
    return len(steps)


def _inside(step: re.Match[str], files: list[re.Match[str]]) -> bool:
    return any(file.start() < step.start() < file.end() for file in files)


def lines(commands: str) -> list[str]:
    """Return the commands of a block: a line each, unless it ends with a backslash."""
    return commands.replace("\\\n", " ").splitlines()


def output(command: str) -> str:
    """Run a command of a page, those of `hgq2` in this process, and return what it prints.

    One that is expected to fail ends with a comment that says so: `# exit code 2`.
    """
    program, *arguments = shlex.split(command, comments=True)
    said = re.search(r"# exit code (\d+)", command)
    if program != "hgq2":
        program = {"python": sys.executable}.get(program, program)
        return subprocess.run([program, *arguments], check=True, capture_output=True, text=True, timeout=60).stdout
    result = CliRunner().invoke(app, arguments, prog_name="hgq2")
    assert result.exit_code == (int(said[1]) if said else 0), f"{command}\n{result.output}"
    return result.output


def compare(shown: str, printed: str) -> None:
    """Compare each line that a page shows with what was printed, in order; lines in between may be left out."""
    for line in shown.splitlines():
        pattern = ".*".join(re.escape(part) for part in line.split("…"))
        found = re.search(rf"^{pattern} *$", printed, re.MULTILINE)
        assert found, f"not printed: {line}\n{printed}"
        printed = printed[found.end() :]
