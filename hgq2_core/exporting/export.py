"""Export of a model's frozen form: the checks before it, the directory, and the exporter of a plugin."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import keras

from hgq2_core.data.batches import check_finite, concatenated, read
from hgq2_core.data.columns import Columns
from hgq2_core.data.preprocessing import Preprocessing
from hgq2_core.data.standardization import Standardization
from hgq2_core.discovery.registry import registry
from hgq2_core.errors import ConfigError, ExactnessError
from hgq2_core.exporting.exporter import Exporter, ExportReport
from hgq2_core.exporting.ports import PORTS
from hgq2_core.exporting.simulation import MAX_SAMPLES
from hgq2_core.exporting.stages import timed
from hgq2_core.files import new_directory, read_json, write_json
from hgq2_core.keras_graph.random_state import preserve_rng
from hgq2_core.keras_graph.traversal import in_structure, layers_of
from hgq2_core.layers.base import QLayer
from hgq2_core.layers.states import kept_states
from hgq2_core.model.calibration import require_calibrated
from hgq2_core.model.freezing import freeze

REPORT = "report.json"
"""The file of an export with what its report says, but the ports and the times, so that an export repeats itself."""


def exporter_of(kind: str, what: str = "export") -> Exporter:
    """Return an exporter.

    Args:
        kind: full or short.
        what: the operation that needs it, for messages.
    """
    made: Exporter = registry().load("exporters", kind, what)()
    return made


@preserve_rng()
def export(
    model: keras.Model,
    kind: str,
    directory: str | Path,
    x: Any = None,
    standardization: Standardization | Preprocessing | None = None,
    *,
    max_samples: int = MAX_SAMPLES,
    **options: Any,
) -> ExportReport:
    """Export a model's frozen form.

    Args:
        model: calibrated, functional or sequential, trainable or frozen.
        kind: kind of the exporter, such as `alkaid`.
        directory: a new or empty directory; it is written completely or not at all.
        x: inputs in any form that `fit` takes, which become test vectors in addition to the exporter's own.
        standardization: how raw data become inputs, such as `Splits.standardization` or `Splits.preprocessing`, for
            `ports.json`.
        max_samples: how many samples of `x` become test vectors, the first ones; the report says where there are more.
        options: options of the exporter.

    Raises:
        CalibrationError: the model is uncalibrated or stale.
        ConfigError: the exporter does not take an option, the directory is not empty, or `max_samples` is below 1.
        ExactnessError: a layer has no exact arithmetic, or no circuit.
        KindError: no installed plugin has such an exporter.
    """
    if type(max_samples) is not int or max_samples < 1:
        raise ConfigError(f"`max_samples` must be an integer that is at least 1. Received: max_samples={max_samples!r}")
    directory = Path(directory)
    exporter, frozen = _prepared(model, kind, "export")
    notes: tuple[str, ...] = ()
    if x is not None:
        x = in_structure(frozen, concatenated(read(x, "export")))
        check_finite(x, "export")
        given = len(keras.tree.flatten(x)[0])
        if given > max_samples:
            x = keras.tree.map_structure(lambda each: each[:max_samples], x)
            notes = (f"the first {max_samples:,} of {given:,} samples are test vectors (max_samples)",)
    with new_directory(directory, "an export") as temporary, timed() as times:
        report = exporter.export(frozen, temporary, x, **options)
        if standardization is not None:
            ports = read_json(temporary / PORTS, {})
            write_json(temporary / PORTS, {**ports, **_described(standardization)})
        report = replace(report, path=directory, notes=(*report.notes, *notes), times=tuple(times))
        left_out = ("path", "inputs", "outputs", "times")
        write_json(temporary / REPORT, {name: each for name, each in report.to_dict().items() if name not in left_out})
        return report


@preserve_rng()
def estimate(model: keras.Model, kind: str, **options: Any) -> ExportReport:
    """Return the report of an export without writing anything.

    Args:
        model: calibrated, functional or sequential, trainable or frozen.
        kind: kind of the exporter.
        options: options of the exporter.

    Raises:
        CalibrationError: the model is uncalibrated or stale.
        ConfigError: the exporter does not take an option.
        ExactnessError: a layer has no exact arithmetic, or no circuit.
        KindError: no installed plugin has such an exporter.
    """
    exporter, frozen = _prepared(model, kind, "estimate")
    with timed() as times:
        report = exporter.estimate(frozen, **options)
    # What else an exporter may give is for the conformance kit to say.
    return replace(report, times=tuple(times)) if isinstance(report, ExportReport) else report


def _described(how: Standardization | Preprocessing) -> dict[str, Any]:
    """Return how raw data become inputs, as `ports.json` has it; of one standardization alone also by itself."""
    if isinstance(how, Standardization):
        return {"standardization": how.to_dict()}
    steps = list(how.steps) if not isinstance(how.steps, Mapping) else []
    numbers = [step for step in steps if not isinstance(step, Columns) or step.categories]
    alone = numbers[0] if len(numbers) == 1 else None
    standardization = {"standardization": alone.to_dict()} if isinstance(alone, Standardization) else {}
    return {**standardization, "preprocessing": how.to_dict()}


def _prepared(model: keras.Model, kind: str, what: str) -> tuple[Exporter, keras.Model]:
    exporter = exporter_of(kind, what)
    if kept_states(model) and not getattr(exporter, "carries_states", False):
        names = ", ".join(layer.name for layer in layers_of(model) if isinstance(layer, QLayer) and layer.kept_states)
        raise ExactnessError(
            f"{what}: what {kind} makes begins every call at 0, and {names} begins where the call before ended. Leave "
            "stateful out, and use initial_state and return_state=True."
        )
    require_calibrated(model, what)
    return exporter, freeze(model)
