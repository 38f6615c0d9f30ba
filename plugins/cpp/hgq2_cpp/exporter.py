"""The exporter: from a frozen model to a directory with C++, its C interface, a test and a loader for Python."""

from __future__ import annotations

import json
import re
from importlib import resources
from pathlib import Path
from typing import Annotated, Any

import keras
import numpy as np
from pydantic import AfterValidator, Field
from typing_extensions import override

from hgq2_core.exporting.exporter import Exporter, ExportReport, Simulation
from hgq2_core.exporting.graph import ebops
from hgq2_core.exporting.host_files import c_type, write_host
from hgq2_core.exporting.inputs import InputFormat
from hgq2_core.exporting.ports import Port, Ports
from hgq2_core.exporting.simulation import SIMULATE, cpp_compiler, require_script, run_script, write_script
from hgq2_core.exporting.vectors import FOLDER, Floats, Vectors, require_exact, vectors
from hgq2_core.files import write_text
from hgq2_core.schema.base import StrictModel, as_config_error
from hgq2_cpp.model import Emulator, record
from hgq2_cpp.names import HEADERS, check_name
from hgq2_cpp.source import source

KIND = "cpp.cpp"
WRITTEN = {"c_interface.h": "{}_c.h", "c_interface.cpp": "{}_c.cpp", "loader.py": "{}.py", "test.cpp": "test.cpp"}


class Options(StrictModel):
    """The options of `export` and `estimate`.

    Args:
        name: of the header, of the namespace in `hgq2`, and in front of the functions of C.
        input_format: (k, i, f) of every input, which the emulator then quantizes. None leaves the first quantizer of
            every input to the host, which `predict` includes.
    """

    name: Annotated[str, Field(pattern=r"^[A-Za-z][A-Za-z0-9_]*$", max_length=60), AfterValidator(check_name)] = "model"
    input_format: InputFormat | None = None


class CppExporter(Exporter):
    """Exports models as integer arithmetic in C++17, bit for bit, for any compiler."""

    carries_states = True

    @override
    def estimate(self, model: keras.Model, **options: Any) -> ExportReport:
        """Return the report of `export` without writing anything."""
        return _Export(model, None, options).report()

    @override
    def export(self, model: keras.Model, directory: Path, x: Any = None, **options: Any) -> ExportReport:
        """Write the emulator, its interfaces, ports and test vectors.

        Args:
            model: a frozen model.
            directory: an empty directory.
            x: inputs that become test vectors, before the generated ones.
            options: see `Options`.
        """
        made = _Export(model, x, options)
        report = made.report()
        made.write(directory)
        return report

    @override
    def simulate(self, directory: Path) -> Simulation:
        """Compile the test, and run it on the vectors.

        Raises:
            ToolError: there is no compiler, or it fails.
        """
        require_script(directory, "what `export` wrote is simulated")
        return run_script(directory, CXX=cpp_compiler())

    @override
    def mismatches(self, model: keras.Model, x: Any) -> int:
        """Return the number of samples for which the recorded program and the integers differ."""
        emulator = record(model)
        return vectors(model, emulator.inputs, x).mismatches(emulator.interpret)


class _Export:
    """One export; everything that can fail happens in the constructor, before anything is written."""

    def __init__(self, model: keras.Model, x: Any, options: dict[str, Any]) -> None:
        with as_config_error("export to cpp"):
            self.options = Options.model_validate(options)
        self.model = model
        self.emulator: Emulator = record(model, self.options.input_format)
        require_exact((*self.emulator.inputs, *self.emulator.outputs), model.name)
        self.vectors: Vectors = vectors(model, self.emulator.inputs, x, self.options.input_format)
        self.vectors.require_equal(self.emulator.interpret, model.name, "the program")

    def report(self) -> ExportReport:
        """Return the report; its cost is the number of loops over a block of samples."""
        emulator = self.emulator
        return ExportReport(
            exporter=KIND,
            path=None,
            ebops=ebops(self.model),
            cost=sum(instruction.cost for instruction in emulator.program.instructions),
            latency=None,
            stages=None,
            checked=len(self.vectors.inputs),
            inputs=emulator.inputs,
            outputs=emulator.outputs,
            layers=emulator.layers,
        )

    def write(self, directory: Path) -> None:
        """Write all files."""
        name, emulator = self.options.name, self.emulator
        write_host(directory, Ports(inputs=emulator.inputs, outputs=emulator.outputs, states=emulator.states or None))
        write_text(directory / f"{name}.h", source(emulator, name))
        runtime = resources.files("hgq2_cpp.runtime")
        for file in HEADERS:
            write_text(directory / file, (runtime / file).read_text(encoding="utf-8"))
        values = {
            "NAME": name,
            "TYPES": '", "'.join("float64" if c_type(port) == "double" else "float32" for port in emulator.inputs),
            "SHAPES": json.dumps([port.shape for port in emulator.outputs]),
        }
        for file, written in WRITTEN.items():
            text = (runtime / file).read_text(encoding="utf-8")
            write_text(directory / written.format(name), re.sub(r"@([A-Z]+)@", lambda found: values[found[1]], text))
        write_script(directory, (runtime / SIMULATE).read_text(encoding="utf-8"))
        (directory / FOLDER).mkdir()
        for kind, numbers, ports in (
            ("inputs", self.vectors.inputs, emulator.inputs),
            ("outputs", self.vectors.outputs, emulator.outputs),
        ):
            write_text(directory / FOLDER / f"{kind}.txt", _integers(numbers, ports))


def _integers(values: Floats, ports: tuple[Port, ...]) -> str:
    """Return each sample as a line of integers, in units of 2^-f."""
    f = [element.f for port in ports for element in port.elements]
    return "".join(" ".join(map(str, row)) + "\n" for row in np.ldexp(values, f).astype(np.int64).tolist())
