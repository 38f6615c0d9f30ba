"""Calibration: fixing observed ranges on data, and the record that tells whether they still fit the model."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable
from dataclasses import asdict, dataclass
from typing import Any, NamedTuple

import keras
import numpy as np
from typing_extensions import override

from hgq2_core.data.batches import Batches, check_finite, read, samples_of
from hgq2_core.errors import CalibrationError, ConfigError, DataError
from hgq2_core.keras_graph.random_state import preserve_rng
from hgq2_core.keras_graph.traversal import in_structure, layers_of
from hgq2_core.layers.states import preserve_states, reset_states, samples_per_call
from hgq2_core.model.dependence import Front, fronts
from hgq2_core.optimizer import warn_of_decayed_bits
from hgq2_core.quantizers.base import RECORD, RECORD_WORDS, Quantizer
from hgq2_core.quantizers.phase import calibrating
from hgq2_core.quantizers.ranges import DynamicRange, ObservedRange

NOT_DIGESTED = (RECORD, "ebops_beta", "noise")
"""Names of variables that inference does not read."""
REMEDY = "Run hgq2_core.calibrate(model, data) on training data first."


@dataclass(frozen=True)
class CalibrationReport:
    """The result of a calibration: samples seen, margin added, and the names of the calibrated quantizers."""

    samples: int
    margin: int
    quantizers: tuple[str, ...]

    def to_dict(self) -> dict[str, Any]:
        """Return plain data."""
        return asdict(self)

    @override
    def __str__(self) -> str:
        return f"calibrated {len(self.quantizers)} quantizers on {self.samples} samples, margin {self.margin} bits"


def observed(model: keras.layers.Layer) -> dict[Quantizer[Any], ObservedRange]:
    """Return the ranges that calibration fixes, by quantizer; those of untrainable and nested models too."""
    return {
        layer: layer.range
        for layer in layers_of(model)
        if isinstance(layer, Quantizer) and isinstance(layer.range, ObservedRange) and layer.built
    }


def _dynamic_tables(model: keras.layers.Layer) -> list[DynamicRange]:
    # The range of such a table depends on which inputs it has, which calibration decides.
    quantizers = [layer for layer in layers_of(model) if isinstance(layer, Quantizer) and layer.slot.role == "table"]
    return [quantizer.range for quantizer in quantizers if isinstance(quantizer.range, DynamicRange)]


@preserve_rng()
def calibrate(
    model: keras.Model,
    data: Any,
    margin: int = 0,
    batch_size: int = 1024,
    *,
    steps: int | None = None,
    reset: bool = True,
) -> CalibrationReport:
    """Set every observed range to the smallest that holds the values, and record it with the model.

    Args:
        model: a built Keras model; called eagerly, without training.
        data: the model's inputs in any form that `fit` takes; targets and sample weights in batches are ignored. An
            iterator that has to be read more than once is kept in memory, up to 1 GiB.
        margin: integer bits added to what the data need.
        batch_size: samples per call, where `data` are arrays.
        steps: the most batches to use; None for all.
        reset: whether to start from empty ranges; False widens the present ones to hold these data too.

    Raises:
        ConfigError: a margin or `steps` that is not a valid number.
        DataError: data of another form, no samples, or NaN or infinite values in the data or in the outputs.
    """
    if isinstance(margin, bool) or not isinstance(margin, int) or margin < 0:
        raise ConfigError(f"calibrate: margin is a number of bits, 0 or more. Received: margin={margin!r}.")
    warn_of_decayed_bits(model, "calibrate")
    ranges = observed(model)
    quantizers = list(ranges)
    again = any(each.fixed_width for each in (*ranges.values(), *_dynamic_tables(model)))
    parts = read(data, "calibrate", samples_per_call(model, batch_size), steps, several_passes=again)
    before = _state(quantizers)
    try:
        if reset:
            for each in ranges.values():
                each.reset()
        with preserve_states(model):
            samples = _settle(model, parts, quantizers, again)
    except BaseException:
        _restore(quantizers, before)
        raise
    for each in ranges.values():
        each.widen(margin)
    write_records(model, samples, margin)
    return CalibrationReport(samples, margin, tuple(str(quantizer.slot) for quantizer in quantizers))


def _settle(model: keras.Model, parts: Batches, quantizers: list[Quantizer[Any]], again: bool) -> int:
    # At a fixed width a wider range makes the step coarser and changes the values downstream: repeat until none moves.
    samples = 0
    for _ in range(len(quantizers) + 1):
        state, samples = _state(quantizers), 0
        reset_states(model)
        with calibrating():
            for batch in parts:
                inputs = in_structure(model, batch)
                check_finite(batch, "calibrate")
                _check_outputs(model(inputs, training=False))
                samples += samples_of(batch)
        moved = any(not np.array_equal(a, b) for a, b in zip(state, _state(quantizers), strict=True))
        if not (again and moved):
            break
    return samples


def _state(quantizers: list[Quantizer[Any]]) -> list[Any]:
    return [keras.ops.convert_to_numpy(v).copy() for quantizer in quantizers for v in quantizer.non_trainable_variables]


def _restore(quantizers: list[Quantizer[Any]], state: list[Any]) -> None:
    variables = [v for quantizer in quantizers for v in quantizer.non_trainable_variables]
    for variable, value in zip(variables, state, strict=True):
        variable.assign(value)


def _check_outputs(outputs: Any) -> None:
    # A NaN that arises inside moves no range, and would leave bits that were never fixed.
    for output in keras.tree.flatten(outputs):
        if not np.isfinite(keras.ops.convert_to_numpy(output)).all():
            raise DataError("calibrate: the model gives NaN or infinite outputs for these data; no range holds them.")


def digest(layer: keras.layers.Layer) -> np.ndarray:
    """Hash all weights of a layer or model, except those of `NOT_DIGESTED`; seeds are no weights.

    Returns:
        Eight int32 words of a SHA-256 hash.
    """
    total = hashlib.sha256()
    for weight in layer.weights:
        if weight.name not in NOT_DIGESTED:
            values = np.ascontiguousarray(keras.ops.convert_to_numpy(weight))
            total.update(f"{values.dtype}{values.shape}".encode())
            total.update(values.tobytes())
    return _words(total.digest())


def _words(hashed: bytes) -> np.ndarray:
    return np.frombuffer(hashed, dtype="<i4").astype(np.int32)


def digests(model: keras.layers.Layer) -> dict[Quantizer[Any], list[np.ndarray]]:
    """Hash, for each quantizer that calibration fixes, the variables its range depends on.

    Returns:
        Two int32 words for the whole model, then for each model nested in it that has the quantizer: in whichever of
        them it stands, its calibration holds.
    """
    wanted, known = observed(model), {}

    def of_layer(layer: keras.layers.Layer) -> bytes:
        if layer not in known:
            # A model's own name is not always kept in a file.
            name = "" if isinstance(layer, keras.Model) else layer.name
            known[layer] = hashlib.sha256(name.encode() + b"/" + digest(layer).tobytes()).digest()
        return known[layer]

    def of_front(front: Front) -> np.ndarray:
        # Sorted: the order in which a graph's branches run depends on what comes after them.
        return _words(hashlib.sha256(b"".join(sorted(map(of_layer, front)))).digest()[:8])

    found = fronts(model)
    return {quantizer: [of_front(front) for front in found[quantizer]] for quantizer in wanted}


def write_records(model: keras.layers.Layer, samples: int, margin: int) -> None:
    """Record a calibration in every quantizer that needs one."""
    for quantizer, found in digests(model).items():
        _write(quantizer, samples, margin, found)


def copy_records(source: keras.layers.Layer, target: keras.layers.Layer) -> None:
    """Copy the calibration records of a model to one of the same layers, with digests of its own variables."""
    for (quantizer, found), origin in zip(digests(target).items(), observed(source), strict=True):
        samples, margin, *_ = keras.ops.convert_to_numpy(origin.record).tolist()
        _write(quantizer, samples, margin, found)


def _write(quantizer: Quantizer[Any], samples: int, margin: int, found: list[np.ndarray]) -> None:
    # There is room for four: the whole model, and the innermost three around the quantizer.
    words = np.concatenate([[samples, margin], found[0], *found[1:][-3:]])
    quantizer.record.assign(np.pad(words, (0, RECORD_WORDS - len(words))).astype(np.int32))


def read_record(model: keras.layers.Layer) -> tuple[int, int]:
    """Return samples and margin of a model's calibration; zeros where nothing needs one."""
    records = [keras.ops.convert_to_numpy(quantizer.record) for quantizer in observed(model)]
    record = records[0] if records else np.zeros(RECORD_WORDS, np.int32)
    return int(record[0]), int(record[1])


class Uncalibrated(NamedTuple):
    """The quantizers that were never calibrated, and those whose range depends on what was changed since."""

    never: list[Quantizer[Any]]
    stale: list[Quantizer[Any]]


def uncalibrated(model: keras.layers.Layer) -> Uncalibrated:
    """Return the quantizers of a built model that need calibration."""
    records = {quantizer: keras.ops.convert_to_numpy(quantizer.record) for quantizer in observed(model)}
    never = [quantizer for quantizer, record in records.items() if record[0] == 0]
    calibrated = {quantizer: record[2:] for quantizer, record in records.items() if record[0] != 0}
    if not calibrated:
        return Uncalibrated(never, [])
    present, whole = digests(model), digest(model)
    stale = [
        quantizer
        for quantizer, recorded in calibrated.items()
        # Records of before hold one digest, of the whole model.
        if not (np.array_equal(recorded, whole) or (recorded.reshape(-1, 2) == present[quantizer][0]).all(axis=1).any())
    ]
    return Uncalibrated(never, stale)


def require_calibrated(model: keras.layers.Layer, what: str) -> None:
    """Refuse a model that is uncalibrated, or was changed since its calibration.

    Args:
        model: a built model.
        what: the operation that needs it calibrated, for the message.

    Raises:
        CalibrationError: names the quantizers and the remedy.
    """
    never, stale = uncalibrated(model)
    if never:
        raise CalibrationError(f"{what}: uncalibrated activations: {_names(never)}. {REMEDY}")
    if stale:
        raise CalibrationError(
            f"{what}: stale calibration, variables of these layers or of layers before them have changed since: "
            f"{_names(stale)}. {REMEDY}"
        )


def _names(quantizers: Iterable[Quantizer[Any]], most: int = 8) -> str:
    names = [str(quantizer.slot) for quantizer in quantizers]
    return ", ".join(names[:most]) + (f" and {len(names) - most} more" if len(names) > most else "")
