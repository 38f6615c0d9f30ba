"""The exporter: from a frozen model to a directory with a file of QONNX, its ports and test vectors."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import keras
import numpy as np
from typing_extensions import override

from hgq2_core.exporting.exporter import Exporter, ExportReport, Simulation
from hgq2_core.exporting.graph import ebops
from hgq2_core.exporting.inputs import InputFormat
from hgq2_core.exporting.ports import PORTS, Ports
from hgq2_core.exporting.vectors import Vectors, expected, samples
from hgq2_core.files import write_json, write_text
from hgq2_core.schema.base import StrictModel, as_config_error
from hgq2_qonnx.downstream import notes
from hgq2_qonnx.execution import simulate, write_vectors
from hgq2_qonnx.onnx_file import BATCH, BATCHED, MODEL, require_onnx, write_model
from hgq2_qonnx.recording import Recording, record

KIND = "qonnx.qonnx"
NOTES = "notes.txt"


class Options(StrictModel):
    """The options of `export` and `estimate`.

    Args:
        allow_plain: whether plain operations of ONNX may compute what `Quant` cannot say: the overflow modes WRAP,
            WRAP_SM and SAT_ZERO where a number overflows. They run exactly, and are no quantizer for other tools.
        input_format: (k, i, f) of every input, to which the file rounds it first; for models whose first layer does not
            quantize.
    """

    allow_plain: bool = False
    input_format: InputFormat | None = None


class QonnxExporter(Exporter):
    """Exports models as files of QONNX, which compute in float32 what the integers compute."""

    @override
    def estimate(self, model: keras.Model, **options: Any) -> ExportReport:
        """Return the report of `export` without writing anything; it has neither cost nor latency."""
        return _Export(model, None, options).report()

    @override
    def export(self, model: keras.Model, directory: Path, x: Any = None, **options: Any) -> ExportReport:
        """Write the file, its ports, test vectors, and what other tools may not take.

        Args:
            model: a frozen model.
            directory: an empty directory.
            x: inputs that become test vectors, before the generated ones.
            options: see `Options`.

        Raises:
            ToolError: onnx cannot be imported.
        """
        require_onnx()
        made = _Export(model, x, options)
        made.write(directory)
        return made.report()

    @override
    def simulate(self, directory: Path) -> Simulation:
        """Run the file by qonnx's executor on the test vectors.

        Raises:
            ToolError: qonnx cannot be imported, or fails.
        """
        return simulate(directory)

    @override
    def mismatches(self, model: keras.Model, x: Any) -> int:
        """Return the number of samples for which the recorded graph and the integers differ."""
        recording = record(model, allow_plain=True)
        return vectors_of(model, recording, x).mismatches(recording.interpret)


def vectors_of(
    model: keras.Model, recording: Recording, x: Any = None, input_format: tuple[int, int, int] | None = None
) -> Vectors:
    """Return test vectors of the inputs as the model takes them, in float32: the graph has the first quantizers in it.

    Args:
        model: a frozen model.
        recording: of it.
        x: inputs of the model, before the generated ones.
        input_format: (k, i, f) of all inputs, if the graph rounds them to it.
    """
    parts = [
        [np.asarray(each, dtype=np.float32) for each in part]
        for part in samples(model, recording.inputs, x, input_format)
    ]
    rows = [np.concatenate([each.reshape(len(each), -1) for each in part], axis=1) for part in parts]
    return Vectors(np.concatenate(rows).astype(np.float64), np.concatenate([expected(model, part) for part in parts]))


class _Export:
    """One export; all that can fail but for the disk happens in the constructor, before anything is written."""

    def __init__(self, model: keras.Model, x: Any, options: dict[str, Any]) -> None:
        with as_config_error("export to qonnx"):
            self.options = Options.model_validate(options)
        self.model = model
        self.recording: Recording = record(model, self.options.input_format, self.options.allow_plain)
        self.vectors = vectors_of(model, self.recording, x, self.options.input_format)
        self.vectors.require_equal(self.recording.interpret, model.name, "the graph")

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
            inputs=self.recording.inputs,
            outputs=self.recording.outputs,
            layers=self.recording.layers,
            notes=notes(self.recording.graph),
        )

    def write(self, directory: Path) -> None:
        """Write all files."""
        recording = self.recording
        write_model(directory / MODEL, recording.graph, self.model.name)
        write_model(directory / BATCHED, recording.graph.batched(BATCH), self.model.name)
        write_json(directory / PORTS, Ports(inputs=recording.inputs, outputs=recording.outputs).to_dict())
        write_text(directory / NOTES, "".join(f"{line}\n" for line in notes(recording.graph)))
        write_vectors(
            directory,
            *(
                recording.by_name(*each)
                for each in (
                    (self.vectors.inputs, recording.graph.inputs, recording.inputs),
                    (self.vectors.outputs, recording.graph.outputs, recording.outputs),
                )
            ),
        )
