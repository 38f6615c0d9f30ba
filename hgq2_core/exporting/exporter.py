"""What an exporter's class offers, and what it reports."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol

from hgq2_core.exporting.ports import LayerWidths, Port

if TYPE_CHECKING:
    import keras


@dataclass(frozen=True)
class ExportReport:
    """What became of a model.

    Args:
        exporter: the full kind.
        path: the directory; None for an estimate.
        ebops: the model's effective bit operations.
        cost: in the exporter's own unit.
        latency: in the exporter's own unit.
        stages: of the pipeline; 0 without registers.
        checked: samples for which the circuit was found equal to the integers before anything was written.
        inputs: ports.
        outputs: ports.
        layers: widths, in the order of the graph.
    """

    exporter: str
    path: Path | None
    ebops: float
    cost: float
    latency: float
    stages: int
    checked: int
    inputs: tuple[Port, ...]
    outputs: tuple[Port, ...]
    layers: tuple[LayerWidths, ...]

    def to_dict(self) -> dict[str, Any]:
        """Return plain data."""
        return {**asdict(self), "path": None if self.path is None else str(self.path)}

    def __str__(self) -> str:
        pipeline = f"{self.stages} pipeline stages" if self.stages else "combinational"
        lines = [
            f"EBOPs {self.ebops:,.0f}, cost {self.cost:,.0f}, latency {self.latency:g}, {pipeline}",
            *(f"input {port}" for port in self.inputs),
            *(f"output {port}" for port in self.outputs),
            *(f"{row.name}: {row.outputs} outputs, {row.bits} bits, widest {row.widest}" for row in self.layers),
            f"0 mismatches in {self.checked} samples (circuit == integers)",
        ]
        return "\n".join([*lines, f"exported to {self.path}"] if self.path is not None else lines)


@dataclass(frozen=True)
class Simulation:
    """A simulated circuit against the integers: samples compared, and samples that differ."""

    samples: int
    mismatches: int

    def __str__(self) -> str:
        return f"{self.mismatches} mismatches in {self.samples} samples (simulated circuit == integers)"


class Exporter(Protocol):
    """What an exporter's class offers; it gets frozen models only."""

    def estimate(self, model: keras.Model, **options: Any) -> ExportReport:
        """Say what an export would give, without writing."""
        ...

    def export(self, model: keras.Model, directory: Path, x: Any = None, **options: Any) -> ExportReport:
        """Write a circuit into an empty directory, `x` among its test vectors."""
        ...

    def simulate(self, directory: Path) -> Simulation:
        """Simulate what `export` wrote on its test vectors."""
        ...

    def mismatches(self, model: keras.Model, x: Any) -> int:
        """Count the samples for which the circuit and the integers differ; for the conformance kit."""
        ...
