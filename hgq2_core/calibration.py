"""Fixing the integer bits of activations that wrap, and the record that says for which model that was done."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable
from dataclasses import asdict, dataclass
from typing import Any, NamedTuple

import keras
import numpy as np

from hgq2_core.batches import Batches, check_finite, read, samples_of
from hgq2_core.errors import CalibrationError, ConfigError, DataError
from hgq2_core.graph import in_structure, layers_of
from hgq2_core.mode import calibrating
from hgq2_core.optimizer import warn_of_decayed_bits
from hgq2_core.quantizer import RECORD, RECORD_WORDS, Quantizer
from hgq2_core.random_state import preserve_rng

NOT_DIGESTED = (RECORD, "ebops_beta", "noise")
"""Names of variables that inference does not read."""
REMEDY = "Run hgq2_core.calibrate(model, data) on training data (`hgq2 calibrate DIR`) first."


@dataclass(frozen=True)
class CalibrationReport:
    """What a calibration did: samples seen, margin added, and the quantizers it reached."""

    samples: int
    margin: int
    quantizers: tuple[str, ...]

    def to_dict(self) -> dict[str, Any]:
        """Give plain data."""
        return asdict(self)

    def __str__(self) -> str:
        return f"calibrated {len(self.quantizers)} quantizers on {self.samples} samples, margin {self.margin} bits"


def tracked(model: keras.layers.Layer) -> list[Quantizer[Any]]:
    """Give the quantizers whose range is fixed by calibration, untrainable ones and those of nested models too."""
    return [layer for layer in layers_of(model) if isinstance(layer, Quantizer) and layer.tracks_range and layer.built]


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
    """Set the range of every activation that wraps to what the data need, and record it with the model.

    Args:
        model: a built Keras model; called eagerly, without training.
        data: the model's inputs in any form that `fit` takes; targets and sample weights in batches are ignored. An
            iterator that has to be read more than once is kept in memory, up to 1 GiB.
        margin: integer bits added on top.
        batch_size: samples per call, where `data` are arrays.
        steps: the most batches to use; None for all.
        reset: whether to begin with empty ranges; False widens the present ones by what these data need.

    Raises:
        ConfigError: a margin or `steps` that is no such number.
        DataError: data of another form, no samples, or NaN or infinite values in the data or in the outputs.
    """
    if isinstance(margin, bool) or not isinstance(margin, int) or margin < 0:
        raise ConfigError(f"calibrate: margin is a number of bits, 0 or more. Received: margin={margin!r}.")
    warn_of_decayed_bits(model, "calibrate")
    quantizers = tracked(model)
    again = any(quantizer.step_follows_range for quantizer in quantizers)
    parts = read(data, "calibrate", batch_size, steps, several_passes=again)
    before = _state(quantizers)
    try:
        if reset:
            for quantizer in quantizers:
                quantizer.reset_range()
        samples = _settle(model, parts, quantizers, again)
    except BaseException:
        _restore(quantizers, before)
        raise
    for quantizer in quantizers:
        quantizer.widen_range(margin)
    write_records(model, samples, margin)
    return CalibrationReport(samples, margin, tuple(str(quantizer.slot) for quantizer in quantizers))


def _settle(model: keras.Model, parts: Batches, quantizers: list[Quantizer[Any]], again: bool) -> int:
    # Where the step follows the range, a wider range upstream changes the values downstream: pass again until it holds.
    samples = 0
    for _ in range(len(quantizers) + 1):
        state, samples = _state(quantizers), 0
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


def digest(model: keras.layers.Layer) -> np.ndarray:
    """Hash all weights of a model but those of `NOT_DIGESTED`; seeds are no weights.

    Returns:
        Eight int32 words of a SHA-256 hash.
    """
    total = hashlib.sha256()
    for weight in model.weights:
        if weight.name not in NOT_DIGESTED:
            values = np.ascontiguousarray(keras.ops.convert_to_numpy(weight))
            total.update(f"{values.dtype}{values.shape}".encode())
            total.update(values.tobytes())
    return np.frombuffer(total.digest(), dtype="<i4").astype(np.int32)


def write_records(model: keras.layers.Layer, samples: int, margin: int) -> None:
    """Record a calibration in every quantizer that needs one."""
    record = np.concatenate([np.array([samples, margin], dtype=np.int32), digest(model)])
    for quantizer in tracked(model):
        quantizer.record.assign(record)


def read_record(model: keras.layers.Layer) -> tuple[int, int]:
    """Give samples and margin of a model's calibration; zeros where nothing needs one."""
    quantizers = tracked(model)
    record = keras.ops.convert_to_numpy(quantizers[0].record) if quantizers else np.zeros(RECORD_WORDS, np.int32)
    return int(record[0]), int(record[1])


class Uncalibrated(NamedTuple):
    """The quantizers that were never calibrated, and those whose model was changed since."""

    never: list[Quantizer[Any]]
    stale: list[Quantizer[Any]]


def uncalibrated(model: keras.layers.Layer) -> Uncalibrated:
    """Find the quantizers of a built model whose range calibration has yet to fix."""
    quantizers = tracked(model)
    records = [keras.ops.convert_to_numpy(quantizer.record) for quantizer in quantizers]
    present = digest(model) if quantizers else np.empty(0)
    never, stale = [], []
    for quantizer, record in zip(quantizers, records, strict=True):
        if record[0] == 0:
            never.append(quantizer)
        elif not np.array_equal(record[2:], present):
            stale.append(quantizer)
    return Uncalibrated(never, stale)


def require_calibrated(model: keras.layers.Layer, what: str) -> None:
    """Refuse a model that is uncalibrated, or was changed since its calibration.

    Args:
        model: a built model.
        what: what is asked of it, for the message.

    Raises:
        CalibrationError: names the quantizers and the remedy.
    """
    never, stale = uncalibrated(model)
    if never:
        raise CalibrationError(f"{what}: uncalibrated activations: {_names(never)}. {REMEDY}")
    if stale:
        raise CalibrationError(
            f"{what}: stale calibration, the model's variables have changed since: {_names(stale)}. {REMEDY}"
        )


def _names(quantizers: Iterable[Quantizer[Any]], most: int = 8) -> str:
    names = [str(quantizer.slot) for quantizer in quantizers]
    return ", ".join(names[:most]) + (f" and {len(names) - most} more" if len(names) > most else "")
