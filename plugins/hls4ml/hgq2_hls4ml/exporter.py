"""The exporter: from a frozen model to a project of hls4ml, its ports, test vectors and a test bench."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any, Literal

import keras
from pydantic import Field, model_validator
from typing_extensions import override

from hgq2_core.exporting.exporter import Exporter, ExportReport, Simulation
from hgq2_core.exporting.graph import ebops
from hgq2_core.exporting.host_files import write_host
from hgq2_core.exporting.inputs import InputFormat
from hgq2_core.exporting.ports import Ports
from hgq2_core.exporting.simulation import cpp_compiler, require_script, run_script
from hgq2_core.exporting.vectors import require_exact, vectors
from hgq2_core.schema.base import as_config_error
from hgq2_hls4ml.backends import BACKENDS
from hgq2_hls4ml.project import TOP, Project, Settings, require_hls4ml
from hgq2_hls4ml.recording import Recording, record
from hgq2_hls4ml.sharing import Sharing
from hgq2_hls4ml.simulation import write_simulation

KIND = "hls4ml.hls4ml"


class Options(Sharing):
    """The options of `export` and `estimate`.

    Args:
        backend: of hls4ml. What `oneAPI` and `Quartus` get is generated, and not simulated.
        strategy, reuse_factor, parallelization_factor: see `Sharing`; of all layers.
        layers: the same three of single layers, by name, in place of those of all.
        part: the FPGA.
        clock_period: clock period in ns.
        io_type: `io_parallel`, or `io_stream` for Vitis and Vivado: layers run at once on different samples, and
            positions of a convolution come in turn.
        input_format: (k, i, f) of every input, which the project then quantizes. None leaves the first quantizer of
            every input to the host.
    """

    backend: Literal["Vitis", "Vivado", "oneAPI", "Quartus"] = "Vitis"
    layers: dict[str, Sharing] = Field(default_factory=dict)
    part: Annotated[str, Field(pattern=r"^[\w.-]+$")] = "xcvu13p-flga2577-2-e"
    clock_period: Annotated[float, Field(gt=0)] = 5.0
    io_type: Literal["io_parallel", "io_stream"] = "io_parallel"
    input_format: InputFormat | None = None

    @model_validator(mode="after")
    def _check(self) -> Options:
        if self.io_type == "io_stream" and not BACKENDS[self.backend].simulated:
            raise ValueError(
                f"io_type: streams are for Vitis and Vivado alone. Received: 'io_stream', backend={self.backend!r}. "
                "Allowed: 'io_parallel'"
            )
        shared = {"": self, **{f"layers.{name}.": each for name, each in self.layers.items()}}
        for place, sharing in shared.items():
            if sharing.parallelization_factor is not None and not BACKENDS[self.backend].positions:
                raise ValueError(
                    f"{place}parallelization_factor: of Vitis and Vivado alone. Received: backend={self.backend!r}."
                )
        return self


class HLS4MLExporter(Exporter):
    """Exports models as projects of hls4ml, whose layers and types are those of the exact arithmetic."""

    @override
    def estimate(self, model: keras.Model, **options: Any) -> ExportReport:
        """Return the report of `export` without writing anything; hls4ml estimates neither cost nor latency."""
        return _Export(model, None, options).report()

    @override
    def export(self, model: keras.Model, directory: Path, x: Any = None, **options: Any) -> ExportReport:
        """Write the project, its ports, test vectors and, for Vitis and Vivado, a test bench.

        Args:
            model: a frozen model.
            directory: an empty directory.
            x: inputs that become test vectors, before the generated ones.
            options: see `Options`.

        Raises:
            ToolError: hls4ml cannot be imported.
        """
        require_hls4ml()
        made = _Export(model, x, options)
        made.write(directory)
        return made.report()

    @override
    def simulate(self, directory: Path) -> Simulation:
        """Compile an exported project, and compare it with its test vectors.

        Raises:
            ToolError: there is no compiler, or it fails; or the project is of a backend that is not simulated.
        """
        require_script(directory, "the backends 'Vitis' and 'Vivado' are simulated")
        return run_script(directory, CXX=cpp_compiler())

    @override
    def mismatches(self, model: keras.Model, x: Any) -> int:
        """Return the number of samples for which the recorded nodes and the integers differ."""
        recording = record(model)
        return vectors(model, recording.input_ports, x).mismatches(recording.interpret)


class _Export:
    """One export; all but hls4ml's own work happens in the constructor, before anything is written."""

    def __init__(self, model: keras.Model, x: Any, options: dict[str, Any]) -> None:
        with as_config_error("export to hls4ml"):
            self.options = Options.model_validate(options)
        self.model = model
        self.recording: Recording = record(model, self.options.input_format)
        require_exact((*self.recording.input_ports, *self.recording.output_ports), model.name)
        self.vectors = vectors(model, self.recording.input_ports, x, self.options.input_format)
        self.vectors.require_equal(self.recording.interpret, model.name, "the recording for hls4ml")
        given = self.options
        sharing = Sharing(**given.model_dump(include=set(Sharing.model_fields)))
        settings = Settings(given.backend, given.part, given.clock_period, sharing, given.layers, given.io_type)
        self.project = Project(self.recording, settings)

    def report(self) -> ExportReport:
        """Return the report."""
        return ExportReport(
            exporter=KIND,
            path=None,
            ebops=ebops(self.model),
            cost=None,
            latency=None,
            stages=None,
            checked=len(self.vectors.inputs),
            inputs=self.recording.input_ports,
            outputs=self.recording.output_ports,
            layers=self.recording.layers,
            notes=tuple(f"{name}: unrolled, shares no multipliers" for name in dict.fromkeys(self.project.unrolled)),
        )

    def write(self, directory: Path) -> None:
        """Write all files."""
        inputs, outputs = self.project.write(directory)
        write_host(directory, Ports(inputs=self.recording.input_ports, outputs=self.recording.output_ports, top=TOP))
        if BACKENDS[self.options.backend].simulated:
            write_simulation(directory, TOP, inputs, outputs, self.vectors)
