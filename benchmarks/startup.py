"""The time of imports, in seconds of a fresh process, the best of several."""

from __future__ import annotations

import subprocess
import sys

RUNS = 5
PROGRAMS = {
    "import hgq2_core": "import hgq2_core",
    "hgq2_core.plugins()": "import hgq2_core; hgq2_core.plugins()",
    "hgq2 --help": "from hgq2_core.cli.main import app; app(['--help'])",
    "hgq2 plugins": "from hgq2_core.cli.main import app; app(['plugins'])",
    "hgq2 list": "from hgq2_core.cli.main import app; app(['list'])",
}
TIMED = """
import atexit, sys, time
start = time.perf_counter()
atexit.register(lambda: print(time.perf_counter() - start, file=sys.stderr))
"""


def seconds(program: str) -> float:
    command = [sys.executable, "-c", TIMED + program]
    runs = [subprocess.run(command, capture_output=True, text=True, check=True) for _ in range(RUNS)]
    return min(float(run.stderr.splitlines()[-1]) for run in runs)


if __name__ == "__main__":
    for name, program in PROGRAMS.items():
        print(f"{name:<22}{seconds(program):6.2f} s")
