"""The script beside an export that compares it with its test vectors: written, run, and its answer read."""

from __future__ import annotations

import os
import re
import shlex
import shutil
import subprocess
from pathlib import Path

from hgq2_core.errors import ToolError
from hgq2_core.exporting.exporter import Simulation
from hgq2_core.files import write_text

SIMULATE = "simulate.sh"

MAX_SAMPLES = 5000
"""Samples of the user that become test vectors, unless more are asked for: a simulation takes its time for each."""


def write_script(directory: Path, text: str) -> None:
    """Write the script, which says `N mismatches in M samples`, and fails where there are any.

    Args:
        directory: of the export.
        text: for `sh`.
    """
    write_text(directory / SIMULATE, text)
    (directory / SIMULATE).chmod(0o755)


def require_script(directory: Path, which: str) -> None:
    """Refuse a directory without the script.

    Args:
        directory: of an export.
        which: what is simulated, for the message, such as "the flavor 'verilog' is simulated".

    Raises:
        ToolError: there is no script.
    """
    if not (directory / SIMULATE).is_file():
        raise ToolError(f"simulate: {directory / SIMULATE} is not there; only {which}.")


def run_script(directory: Path, **environment: str) -> Simulation:
    """Run the script, and return what it says.

    Args:
        directory: of an export with a script.
        environment: variables besides those of this process.

    Raises:
        ToolError: it fails, or compares no sample.
    """
    script = directory / SIMULATE
    variables = {**os.environ, **environment}
    done = subprocess.run(["sh", str(script)], capture_output=True, text=True, check=False, env=variables)
    found = re.findall(r"(\d+) mismatches in (\d+) samples", done.stdout)
    mismatches, samples = (sum(int(each[n]) for each in found) for n in (0, 1))
    if not samples or (done.returncode and not mismatches):
        raise ToolError(f"simulate: {script} failed: {_first_error(done.stderr or done.stdout)}")
    return Simulation(samples=samples, mismatches=mismatches)


def cpp_compiler() -> str:
    """Return the command of a C++ compiler: that of the environment variable CXX, or one that is installed.

    Raises:
        ToolError: there is none.
    """
    command = os.environ.get("CXX", "").strip() or next(filter(shutil.which, ("c++", "g++", "clang++")), None)
    if command is None or shutil.which(shlex.split(command)[0]) is None:
        missing = "no C++ compiler is installed" if command is None else f"CXX={command!r} is not there"
        raise ToolError(f"simulate: {missing}. Install one, such as apt-get install g++, or name it in CXX.")
    return command


def _first_error(text: str) -> str:
    """Return the line that says what went wrong; a compiler writes hundreds."""
    lines = text.strip().splitlines() or ["no output"]
    return next((line for line in lines if "error" in line), lines[-1])
