"""Alkaid's scripts and constraints for synthesis, of the module with valid and ready in place of the circuit in it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path

from hgq2_core.files import remove, write_text

INPUTS = ("reset", "in_valid", "in_last", "in_data", "out_ready")
OUTPUTS = ("in_ready", "out_valid", "out_last", "out_data")


CLOCK = "create_clock -period {period} -name sys_clk [get_ports {{clk}}]\n"
"""Where the circuit has no registers, and so no constraints; those of the module around it have a clock."""


def set_top(directory: Path, circuit: str, module: str, ports: Mapping[str, str], clock_period: float) -> None:
    """Make a module the top of scripts and constraints that alkaid wrote for the circuit in it.

    Args:
        directory: of the export.
        circuit: name of its module, and of the files of constraints.
        module: name of the one around it.
        ports: its ports, with what each is in a test bench.
        clock_period: in ns.
    """
    of_signal = {signal.lstrip("!"): port for port, signal in ports.items()}
    for script in directory.glob("build_*_prj.tcl"):
        named = script.read_text().replace(f'set project_name "{circuit}"', f'set project_name "{module}"')
        write_text(script, named)
    for suffix in ("xdc", "sdc"):
        path = directory / "src" / f"{circuit}.{suffix}"
        text = path.read_text() if path.exists() else CLOCK.format(period=clock_period)
        text = text.replace("{clk}", f"{{{of_signal['clk']}}}")
        for name, signals in (("model_inp", INPUTS), ("model_out", OUTPUTS)):
            text = text.replace(f"{{{name}[*]}}", _listed([of_signal[each] for each in signals]))
        remove(path)
        write_text(path.with_stem(module), text)


def _listed(ports: Sequence[str]) -> str:
    return f"{{{' '.join(f'{port}[*]' if port.endswith('data') else port for port in ports)}}}"
