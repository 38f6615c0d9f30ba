"""Synthesis of exported circuits by Yosys: how many LUTs and carry chains they need."""

from __future__ import annotations

import importlib.util
import json
import re
import subprocess
import sys
import tempfile
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from hgq2_alkaid.cost import yosys
from hgq2_alkaid.cost.yosys import FORGET
from hgq2_core.errors import ConfigError, ToolError
from hgq2_core.exporting.ports import Ports

COMMAND = "synth_xilinx -family xcup -noiopad -nodsp -nobram"
"""The synthesis: for UltraScale+, without multipliers or block memory."""

TOP = "model"
"""The module of an export without a handshake."""

LUTS = re.compile("LUT[1-6]")
CARRIES = re.compile("CARRY[48]")
REGISTERS = re.compile("FD[A-Z]E")


@dataclass(frozen=True)
class Synthesis:
    """What a circuit became.

    Args:
        luts: LUTs of 1 to 6 inputs.
        carries: carry chains of four bits.
        registers: flip-flops.
    """

    luts: int
    carries: int
    registers: int


def synthesize(directories: Sequence[str | Path], timeout: float | None = None) -> list[Synthesis]:
    """Synthesize exported circuits in one run of Yosys, each by itself.

    Modules are not dissolved, so that one that occurs in many places, or circuits, is synthesized once.

    Args:
        directories: exports with the flavor `verilog` and without a handshake.
        timeout: the most seconds that Yosys may take.

    Raises:
        ConfigError: a directory holds no export to Verilog, or one with a handshake.
        ToolError: Yosys is not installed, fails, or takes too long.
    """
    require_yosys()
    with tempfile.TemporaryDirectory() as folder:
        sources, statistics = Path(folder) / "circuits.v", Path(folder) / "statistics.json"
        static = _write(sources, [Path(each) for each in directories])
        script = [
            f"read_verilog -sv {' '.join(map(quoted, [sources, *static]))}",
            f"{COMMAND} -top circuits -run begin:prepare",
            FORGET,
            f"{COMMAND} -top circuits -run prepare:",
            f"tee -q -o {quoted(statistics)} stat -json",
        ]
        run_yosys(script, statistics, timeout)
        modules = {name.lstrip("\\"): each for name, each in json.loads(statistics.read_text())["modules"].items()}
    return [_counted(_cells(modules, f"model_{number}")) for number in range(len(directories))]


def quoted(path: Path) -> str:
    """Return a path as a command of Yosys takes it, which may have spaces."""
    return f'"{path}"'


def require_yosys() -> None:
    """Raise a ToolError where Yosys is not installed."""
    if importlib.util.find_spec("pyosys") is None:
        raise ToolError("synthesis: Yosys is not installed. Install it: pip install 'hgq2-alkaid[yosys]'")


def run_yosys(script: Sequence[str], result: Path, timeout: float | None = None) -> None:
    """Run commands of Yosys, which write a result.

    Raises:
        ToolError: Yosys fails, writes no result, or takes too long.
    """
    try:
        done = subprocess.run(
            [sys.executable, "-m", yosys.__name__],
            input="\n".join(script),
            capture_output=True,
            text=True,
            timeout=timeout,
        )
    except subprocess.TimeoutExpired as error:
        raise ToolError(f"synthesis: Yosys took more than {timeout:g} s.") from error
    if done.returncode or not result.exists():
        raise ToolError(f"synthesis: Yosys failed: {(done.stderr or done.stdout).strip()[-500:]}")


def _write(path: Path, directories: Sequence[Path]) -> list[Path]:
    """Write the circuits under numbered names, below a top that holds them all; return the modules common to all."""
    texts, ports, instances = [], [], []
    for number, directory in enumerate(directories):
        files = [each for each in sorted(directory.glob("src/*.v")) if each.stem not in ("model_wrapper", "stream")]
        if not files:
            raise ConfigError(f"{directory}: holds no Verilog. Allowed: what `hgq2 export --to alkaid` writes.")
        described = Ports.read(directory)
        if described.top != TOP:
            raise ConfigError(
                f"{directory}: its module is {described.top}. Allowed: an export with interface=ports and reuse=1."
            )
        text = "\n".join(each.read_text() for each in files)
        for name in set(re.findall(r"^module (\w+)", text, re.MULTILINE)):
            text = re.sub(rf"\b{name}\b", f"{name}_{number}", text)
        texts.append(text)
        signals = described.signals or {}
        ports += [f"input [{signals['model_inp'] - 1}:0] x{number}", f"output [{signals['model_out'] - 1}:0] y{number}"]
        clock = ".clk(clk), " if described.cycles else ""
        instances.append(f"model_{number} c{number} ({clock}.model_inp(x{number}), .model_out(y{number}));")
    top = f"module circuits (input clk, {', '.join(ports)});\n" + "\n".join(instances) + "\nendmodule\n"
    path.write_text("\n".join([*texts, top]))
    return sorted(directories[0].glob("src/static/*.v"))


def _cells(modules: Mapping[str, Any], name: str) -> Counter[str]:
    """Return how often each cell of the library occurs in a module and those inside it."""
    found: Counter[str] = Counter()
    module = modules[name]
    inside = module.get("num_submodules_by_type", {})
    for cell, count in {**module["num_cells_by_type"], **inside}.items():
        cell = cell.lstrip("\\")
        if cell in modules:
            for each, times in _cells(modules, cell).items():
                found[each] += count * times
        else:
            found[cell] += count
    return found


def _counted(cells: Counter[str]) -> Synthesis:
    def total(pattern: re.Pattern[str]) -> int:
        return sum(count for cell, count in cells.items() if pattern.fullmatch(cell))

    return Synthesis(total(LUTS), total(CARRIES), total(REGISTERS))
