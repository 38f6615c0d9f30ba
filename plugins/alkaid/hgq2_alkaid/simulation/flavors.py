"""Each flavor of alkaid: its test bench, the script that runs it, and the tools that the script needs."""

from __future__ import annotations

import os
import shutil
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path

from hgq2_alkaid.simulation import verilog, vhdl, vitis
from hgq2_alkaid.simulation.bench import Bench
from hgq2_core.errors import ToolError
from hgq2_core.exporting.simulation import cpp_compiler
from hgq2_core.files import read_json

METADATA = "metadata.json"
"""The file in which alkaid says the flavor of a circuit."""


@dataclass(frozen=True)
class Flavor:
    """How a circuit in one language is simulated.

    Args:
        bench: name of the test bench in `sim`.
        testbench: returns its source.
        script: that runs it, and any other bench beside it.
        tools: returns the variables that tell the script what to run.
    """

    bench: str
    testbench: Callable[[Bench], str]
    script: str
    tools: Callable[[], dict[str, str]]


def flavor_of(directory: Path) -> Flavor:
    """Return the flavor of an export.

    Args:
        directory: of the export.

    Raises:
        ToolError: alkaid's file does not say it.
    """
    name = read_json(directory / METADATA, {}).get("flavor")
    if name not in FLAVORS:
        raise ToolError(f"simulate: {directory / METADATA}: flavor: Received: {name!r}. Allowed: {', '.join(FLAVORS)}.")
    return FLAVORS[name]


def _simulators(names: Mapping[str, str]) -> Callable[[], dict[str, str]]:
    """Return a function that chooses among simulators by SIMULATOR in the environment, or else the first installed.

    Args:
        names: of the simulators by command, which is also their package.
    """

    def chosen() -> dict[str, str]:
        command = os.environ.get("SIMULATOR") or next(filter(shutil.which, names), next(iter(names)))
        if command not in names:
            raise ToolError(f"simulate: SIMULATOR={command!r}. Allowed: {' or '.join(names)}.")
        if shutil.which(command) is None:
            raise ToolError(
                f"simulate: {command} is not installed. Install {names[command]}, such as apt-get install {command}"
            )
        return {"SIMULATOR": command}

    return chosen


FLAVORS = {
    # Icarus Verilog first: it starts at once, where Verilator compiles first.
    "verilog": Flavor(
        "testbench.v",
        verilog.testbench,
        verilog.SCRIPT,
        _simulators({"iverilog": "Icarus Verilog", "verilator": "Verilator"}),
    ),
    "vhdl": Flavor("testbench.vhd", vhdl.testbench, vhdl.SCRIPT, _simulators({"ghdl": "GHDL"})),
    "vitis": Flavor("testbench.cc", vitis.testbench, vitis.SCRIPT, lambda: {"CXX": cpp_compiler()}),
}
