"""The exporter: from a frozen model to a directory with RTL, its ports, test vectors and a test bench."""

from __future__ import annotations

from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Annotated, Any, Literal

import keras
from alkaid.codegen.hls import HLSModel
from alkaid.codegen.rtl import RTLModel
from alkaid.trace import HWConfig
from alkaid.types import CombLogic
from pydantic import Field, model_validator
from typing_extensions import override

from hgq2_alkaid.circuit import Circuit, build
from hgq2_alkaid.cost.by_layer import LayerCost
from hgq2_alkaid.cost.prediction import circuit_luts, predict_luts
from hgq2_alkaid.effort import Effort, traced_ebops
from hgq2_alkaid.handshake.export import HandshakeExport, logic_of
from hgq2_alkaid.simulation.bench import Bench
from hgq2_alkaid.simulation.flavors import FLAVORS, flavor_of
from hgq2_alkaid.stream import stream_of
from hgq2_core.errors import ConfigError
from hgq2_core.exporting.exporter import Exporter, ExportReport, Simulation
from hgq2_core.exporting.graph import ebops
from hgq2_core.exporting.host_files import write_host
from hgq2_core.exporting.inputs import InputFormat
from hgq2_core.exporting.luts import LutEstimate
from hgq2_core.exporting.ports import Ports
from hgq2_core.exporting.simulation import require_script, run_script, write_script
from hgq2_core.exporting.stages import stage
from hgq2_core.exporting.vectors import Vectors, vectors
from hgq2_core.files import write_text
from hgq2_core.schema.base import StrictModel, as_config_error

KIND = "alkaid.alkaid"
TOP = "model"


class Options(StrictModel):
    """The options of `export` and `estimate`.

    Args:
        flavor: `verilog`, `vhdl`, or `vitis` (HLS C++).
        latency_cutoff: maximal delay of a pipeline stage, in alkaid's unit of latency; None for no registers. Not for
            `vitis`, whose compiler inserts the pipeline.
        input_format: (k, i, f) of every input, which the circuit then quantizes. None leaves the first quantizer of
            every input to the host.
        interface: `ports`, the circuit itself; `handshake`, which takes and gives samples by valid and ready; or
            `axi_stream`, which also divides them into words. The latter two only for `verilog`.
        bus_bits: bits of a word of `axi_stream`.
        reuse: into how many blocks the positions of a sample are divided, which one circuit computes one after the
            other; more than 1 needs, and means, a handshake.
        clock_period: clock period in ns, for the constraints of the synthesis scripts.
        part: the FPGA of the synthesis scripts.
        max_minutes: a model whose tracing is estimated to take longer on one core is refused before it.
        max_memory_gb: a model whose tracing is estimated to take more memory is refused before it.
    """

    flavor: Literal["verilog", "vhdl", "vitis"] = "verilog"
    latency_cutoff: Annotated[float, Field(gt=0)] | None = None
    input_format: InputFormat | None = None
    interface: Literal["ports", "handshake", "axi_stream"] = "ports"
    bus_bits: Literal[8, 16, 32, 64, 128, 256, 512] = 32
    reuse: Annotated[int, Field(ge=1)] = 1
    clock_period: Annotated[float, Field(gt=0)] = 5.0
    part: Annotated[str, Field(pattern=r"^[\w.-]+$")] = "xcvu13p-flga2577-2-e"
    max_minutes: Annotated[float, Field(gt=0)] = 20.0
    max_memory_gb: Annotated[float, Field(gt=0)] = 12.0

    @model_validator(mode="after")
    def _check_pipeline(self) -> Options:
        if self.flavor == "vitis" and self.latency_cutoff is not None:
            raise ValueError(
                f"latency_cutoff: vitis makes its own pipeline. Leave it out. Received: {self.latency_cutoff}"
            )
        if self.has_handshake and self.flavor != "verilog":
            raise ValueError(f"interface, reuse: a handshake is Verilog. Received: flavor={self.flavor!r}.")
        return self

    @property
    def has_handshake(self) -> bool:
        """Whether samples are taken and given by valid and ready."""
        return self.interface != "ports" or self.reuse > 1


class AlkaidExporter(Exporter):
    """Exports models as logic without multipliers or memory, by alkaid's distributed arithmetic."""

    carries_states = True

    @override
    def predict_luts(self, model: keras.Model) -> LutEstimate:
        return predict_luts(model)

    @override
    def estimate(self, model: keras.Model, **options: Any) -> ExportReport:
        """Return the report of `export` without writing anything."""
        return _export(model, None, options).report()

    @override
    def export(self, model: keras.Model, directory: Path, x: Any = None, **options: Any) -> ExportReport:
        """Write the circuit, its ports, test vectors and a test bench.

        Args:
            model: a frozen model.
            directory: an empty directory.
            x: inputs that become test vectors, before the generated ones.
            options: see `Options`.
        """
        made = _export(model, x, options)
        with stage("writing"):
            report = made.report()
            made.write(directory)
        return report

    @override
    def simulate(self, directory: Path) -> Simulation:
        """Simulate an export.

        Verilog is simulated in Icarus Verilog, or in Verilator if `SIMULATOR` in the environment says so, VHDL in GHDL;
        a function for Vitis HLS is compiled by g++, or the compiler in `CXX`, and called.

        Raises:
            ToolError: the simulator or compiler is not installed, or it fails.
        """
        require_script(directory, "what `export` wrote is simulated")
        return run_script(directory, **flavor_of(directory).tools())

    @override
    def mismatches(self, model: keras.Model, x: Any) -> int:
        """Return the number of samples for which the traced circuit and the integers differ."""
        circuit = build(model, HWCONF, estimate=False)
        return vectors(model, circuit.inputs, x).mismatches(circuit.interpret)


HWCONF = HWConfig(1, 1, -1)


def cycles_of(project: RTLModel | HLSModel) -> int | None:
    """Return the clock cycles from an input to its output; None where a compiler decides."""
    return int(project.fsm.out_signals[0].schedule.bias) if isinstance(project, RTLModel) else None


def _export(model: keras.Model, x: Any, given: dict[str, Any]) -> _Export | HandshakeExport:
    """Return an export that can be written."""
    with as_config_error("export to alkaid"):
        options = Options.model_validate(given)
    if over := Effort(traced_ebops(model, options.reuse)).over(options.max_minutes, options.max_memory_gb):
        raise ConfigError(f"{model.name}: {over}")
    if not options.has_handshake:
        return _Export(model, x, options)
    bus = options.bus_bits if options.interface == "axi_stream" else None
    logic = logic_of(model, x, HWCONF, options.reuse, options.input_format)
    return HandshakeExport(model, logic, partial(_project, options), KIND, options.clock_period, bus)


def _project(options: Options, logic: CombLogic, directory: Path, name: str) -> RTLModel | HLSModel:
    """Return alkaid's project, which writes nothing yet."""
    common = {"part_name": options.part, "clock_period": options.clock_period, "print_latency": False}
    if options.flavor == "vitis":
        return HLSModel(logic, directory, name, options.flavor, **common)
    return RTLModel(logic, directory, name, options.flavor, latency_cutoff=options.latency_cutoff or -1, **common)


class _Export:
    """One export; everything that can fail happens in the constructor, before anything is written."""

    def __init__(self, model: keras.Model, x: Any, options: Options) -> None:
        self.options, self.model = options, model
        self.circuit: Circuit = build(model, HWCONF, self.options.input_format)
        with stage("checking"):
            self.vectors: Vectors = vectors(model, self.circuit.inputs, x, self.options.input_format)
            self.vectors.require_equal(self.circuit.interpret, model.name, "alkaid's circuit")
            self.stream = stream_of(model, self.circuit, x)

    def report(self) -> ExportReport:
        """Return the report."""
        project, logic = _project(self.options, self.circuit.logic, Path(), TOP), self.circuit.logic
        pieces = list(project.fsm.logic.values()) if isinstance(project, RTLModel) else [logic]
        cost = sum(piece.cost for piece in pieces)
        luts = circuit_luts(logic)
        pipelined = self.options.latency_cutoff is not None
        return ExportReport(
            exporter=KIND,
            path=None,
            ebops=ebops(self.model),
            cost=cost,
            latency=logic.latency[1],
            stages=len(pieces) if self.options.latency_cutoff else 0,
            checked=len(self.vectors.inputs),
            inputs=self.circuit.inputs,
            outputs=self.circuit.outputs,
            layers=tuple(
                replace(
                    row,
                    cost=part.share * cost,
                    luts=part.share * luts.luts,
                    latency=part.ready - part.starts,
                    stages=self._stages(part),
                )
                for row, part in zip(self.circuit.layers, self.circuit.costs, strict=True)
            ),
            luts=luts,
            cycles=cycles_of(project),
            clock_period=self.options.clock_period if pipelined else None,
        )

    def _stages(self, part: LayerCost) -> int:
        """Return how many registers lie between the inputs of a layer and its outputs, by their times."""
        cutoff = self.options.latency_cutoff
        return 0 if cutoff is None else int(part.ready // cutoff) - int(part.starts // cutoff)

    def ports(self, cycles: int) -> Ports:
        """Return the description of the ports for a host."""
        inputs, outputs = self.circuit.inputs, self.circuit.outputs
        signals = {"model_inp": sum(port.bits for port in inputs), "model_out": sum(port.bits for port in outputs)}
        states = self.circuit.states or None
        return Ports(inputs=inputs, outputs=outputs, top=TOP, cycles=cycles, signals=signals, states=states)

    def write(self, directory: Path) -> None:
        """Write all files."""
        project = _project(self.options, self.circuit.logic, directory, TOP)
        project.write()
        cycles = cycles_of(project) or 0
        inputs, outputs = self.circuit.inputs, self.circuit.outputs
        write_host(directory, self.ports(cycles))
        self.vectors.write(directory, inputs, outputs)
        flavor = FLAVORS[self.options.flavor]
        bench = Bench(TOP, inputs, outputs, len(self.vectors.inputs), cycles)
        write_text(directory / "sim" / flavor.bench, flavor.testbench(bench))
        if self.stream is not None and self.options.flavor == "verilog" and not cycles:
            self.stream.write(directory, TOP)
        write_script(directory, flavor.script)
