"""Export of a model's frozen form: what every exporter has in common, whatever it writes."""

from __future__ import annotations

import contextlib
import os
import secrets
import shutil
from collections.abc import Iterator
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any, Protocol

import keras

from hgq2_core.data.batches import check_finite, concatenated, read
from hgq2_core.data.standardization import Standardization
from hgq2_core.discovery.registry import registry
from hgq2_core.errors import ConfigError
from hgq2_core.files import read_json, write_json
from hgq2_core.keras_graph.random_state import preserve_rng
from hgq2_core.keras_graph.traversal import in_structure
from hgq2_core.model.calibration import require_calibrated
from hgq2_core.model.freezing import freeze

PORTS = "ports.json"
"""What a host needs to know of a circuit."""


@dataclass(frozen=True)
class Element:
    """One number of a port: a fixed-point format and its place among the port's bits.

    Args:
        k: 1 where there is a sign.
        i: integer bits without the sign.
        f: fraction bits.
        width: k + i + f; 0 for a number that is constant 0 or that nothing reads.
        offset: of its lowest bit, from the lowest bit of the circuit's whole input or output.
        round_mode: how the host rounds an input; None for outputs.
        overflow_mode: how the host brings it into range; None for outputs.
    """

    k: int
    i: int
    f: int
    width: int
    offset: int
    round_mode: str | None = None
    overflow_mode: str | None = None


@dataclass(frozen=True)
class Port:
    """An input or output of the model, in the circuit.

    Args:
        name: the Keras tensor's.
        shape: without the batch axis.
        elements: in C order.
    """

    name: str
    shape: tuple[int, ...]
    elements: tuple[Element, ...]

    @property
    def bits(self) -> int:
        """The bits of all elements."""
        return sum(element.width for element in self.elements)

    def __str__(self) -> str:
        widths = sorted({element.width for element in self.elements})
        shape = " × ".join(map(str, self.shape))
        each = f"{widths[0]}" if len(widths) == 1 else f"{widths[0]} to {widths[-1]}"
        return f"{self.name} [{shape}], {self.bits} bits ({each} each)"


@dataclass(frozen=True)
class LayerWidths:
    """The bits of one layer's outputs: how many there are, the widest, and all together."""

    name: str
    outputs: int
    widest: int
    bits: int


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
        """Give plain data."""
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


def exporter_of(kind: str, what: str = "export") -> Exporter:
    """Make an exporter.

    Args:
        kind: full or short.
        what: asks for it, for the message.
    """
    made: Exporter = registry().load("exporters", kind, what)()
    return made


@preserve_rng()
def export(
    model: keras.Model,
    kind: str,
    directory: str | Path,
    x: Any = None,
    standardization: Standardization | None = None,
    **options: Any,
) -> ExportReport:
    """Export a model's frozen form.

    Args:
        model: calibrated, functional or sequential, trainable or frozen.
        kind: of the exporter, such as `alkaid`.
        directory: a new or empty one; it appears when everything is written, or not at all.
        x: inputs, in any form that `fit` takes, that become test vectors beside the exporter's own.
        standardization: of the inputs, such as `Splits.standardization`; `ports.json` then holds it for the host.
        options: the exporter's.

    Raises:
        CalibrationError: the model is uncalibrated or stale.
        ConfigError: an option that the exporter does not take, or a directory that is not empty.
        ExactnessError: a layer that has no exact arithmetic, or no circuit.
        KindError: no installed plugin has the exporter.
    """
    directory = Path(directory)
    exporter, frozen = _prepared(model, kind, "export")
    if x is not None:
        x = in_structure(frozen, concatenated(read(x, "export")))
        check_finite(x, "export")
    with _new_directory(directory) as temporary:
        report = exporter.export(frozen, temporary, x, **options)
        if standardization is not None:
            ports = read_json(temporary / PORTS, {})
            write_json(temporary / PORTS, {**ports, "standardization": standardization.to_dict()})
        return replace(report, path=directory)


@preserve_rng()
def estimate(model: keras.Model, kind: str, **options: Any) -> ExportReport:
    """Say what an export would give, without writing anything.

    Args:
        model: calibrated, functional or sequential, trainable or frozen.
        kind: of the exporter.
        options: the exporter's.

    Raises:
        CalibrationError: the model is uncalibrated or stale.
        ConfigError: an option that the exporter does not take.
        ExactnessError: a layer that has no exact arithmetic, or no circuit.
        KindError: no installed plugin has the exporter.
    """
    exporter, frozen = _prepared(model, kind, "estimate")
    return exporter.estimate(frozen, **options)


def _prepared(model: keras.Model, kind: str, what: str) -> tuple[Exporter, keras.Model]:
    exporter = exporter_of(kind, what)
    require_calibrated(model, what)
    return exporter, freeze(model)


@contextlib.contextmanager
def _new_directory(directory: Path) -> Iterator[Path]:
    """Give a directory to write to that becomes the wanted one at the end; where the body raises, it is removed."""
    if directory.is_file() or (directory.is_dir() and any(directory.iterdir())):
        raise ConfigError(f"{directory}: exists and is not empty; an export needs a new directory.")
    directory.parent.mkdir(parents=True, exist_ok=True)
    temporary = directory.with_name(f".{directory.name}.{secrets.token_hex(4)}")
    temporary.mkdir()
    try:
        yield temporary
        os.replace(temporary, directory)
    finally:
        shutil.rmtree(temporary, ignore_errors=True)
