"""The protocol of exporters, and their report."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Iterator
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar

from typing_extensions import override

from hgq2_core.discovery.abstract import Abstract
from hgq2_core.exporting.luts import LutEstimate
from hgq2_core.exporting.ports import LayerWidths, Port
from hgq2_core.exporting.stages import StageTime

if TYPE_CHECKING:
    import keras


@dataclass(frozen=True)
class ExportReport:
    """The result of an export.

    Args:
        exporter: the full kind.
        path: the directory; None for an estimate.
        ebops: the model's effective bit operations.
        cost: cost of the circuit, in the exporter's unit; None where it knows none.
        latency: latency of the circuit, in the exporter's unit; None where it knows none.
        stages: number of pipeline stages; 0 without registers, None where another tool makes the pipeline.
        checked: number of samples on which the circuit was compared with the integers before writing.
        inputs: the input ports.
        outputs: the output ports.
        layers: the widths of each layer's outputs, and what it costs, in the order of the graph.
        notes: what else the exporter has to say of what it made.
        times: what each stage of the export took, as the core measures it.
        luts: estimated LUTs of the circuit, with their spread; None where the exporter estimates none.
        cycles: clock cycles from an input to its output; 0 without registers, None where another tool decides.
        clock_period: in ns, of a circuit with registers.
    """

    exporter: str
    path: Path | None
    ebops: float
    cost: float | None
    latency: float | None
    stages: int | None
    checked: int
    inputs: tuple[Port, ...]
    outputs: tuple[Port, ...]
    layers: tuple[LayerWidths, ...]
    notes: tuple[str, ...] = ()
    times: tuple[StageTime, ...] = field(default=(), compare=False)
    luts: LutEstimate | None = None
    cycles: int | None = None
    clock_period: float | None = None

    def to_dict(self) -> dict[str, Any]:
        """Return plain data."""
        return {**asdict(self), "path": None if self.path is None else str(self.path)}

    @override
    def __str__(self) -> str:
        facts = [f"EBOPs {self.ebops:,.0f}"]
        if self.cost is not None:
            facts.append(f"cost {self.cost:,.0f}")
        if self.latency is not None:
            facts.append(f"latency {self.latency:g}")
        if self.stages is not None:
            facts.append(f"{self.stages} pipeline stages" if self.stages else "combinational")
        lines = [
            ", ".join(facts),
            *(f"input {port}" for port in self.inputs),
            *(f"output {port}" for port in self.outputs),
            *self._estimates(),
            *map(str, self.layers),
            *self.notes,
            *self._of_stages(),
            f"0 mismatches in {self.checked} samples (circuit == integers)",
        ]
        return "\n".join([*lines, f"exported to {self.path}"] if self.path is not None else lines)

    def _of_stages(self) -> Iterator[str]:
        seconds: dict[str, float] = {}
        for each in self.times:
            seconds[each.stage] = seconds.get(each.stage, 0.0) + each.seconds
        if seconds:
            most = max((each.memory_mb or 0.0 for each in self.times), default=0.0)
            memory = f"; {most / 1000:.1f} GB of memory at most" if most else ""
            yield ", ".join(f"{stage} {took:.1f} s" for stage, took in seconds.items()) + memory

    def _estimates(self) -> Iterator[str]:
        if self.cycles and self.clock_period is not None:
            time = self.cycles * self.clock_period
            yield f"{self.cycles} clock cycles, {time:g} ns at a clock period of {self.clock_period:g} ns"
        if self.luts is not None:
            yield f"about {self.luts}. {self.luts.remark}"


@dataclass(frozen=True)
class Simulation:
    """A comparison of the simulated circuit with the integers: samples compared, and samples that differ."""

    samples: int
    mismatches: int

    @override
    def __str__(self) -> str:
        return f"{self.mismatches} mismatches in {self.samples} samples (simulated circuit == integers)"


class Exporter(Abstract):
    """Base of the exporters, which make circuits, code or files of a model.

    A plugin names a subclass in `hgq2_exporters`. It has no arguments, gets frozen models only, and must define
    `estimate`, `export`, `simulate` and `mismatches`; their options are keywords. docs/extending/exporter.md has the
    complete files of a plugin. A class with the same methods and another base serves as well.

    Raises:
        IncompleteError: when it is instantiated, a subclass that lacks one of these methods.
    """

    guide = "exporter"

    carries_states: ClassVar[bool] = False
    """Whether what it exports takes and gives the states that layers keep from call to call."""

    def predict_luts(self, model: keras.Model) -> LutEstimate | None:
        """Return the LUTs of a model's circuit, predicted without making it; None, as here, without a prediction."""
        return None

    @abstractmethod
    def estimate(self, model: keras.Model, **options: Any) -> ExportReport:
        """Return the report of an export without writing anything."""

    @abstractmethod
    def export(self, model: keras.Model, directory: Path, x: Any = None, **options: Any) -> ExportReport:
        """Write a circuit into an empty directory, with `x` among the test vectors."""

    @abstractmethod
    def simulate(self, directory: Path) -> Simulation:
        """Simulate an exported circuit on its test vectors."""

    @abstractmethod
    def mismatches(self, model: keras.Model, x: Any) -> int:
        """Return the number of samples for which circuit and integers differ; for the conformance kit."""
