"""Checks for problems in training, verification and deployment of a model, in its variables and in a run on data."""

from __future__ import annotations

import itertools
from collections.abc import Iterator
from functools import partial
from typing import Any

import keras
import numpy as np

from hgq2_core.data.batches import are_arrays, read
from hgq2_core.diagnosis.gradients import gradients
from hgq2_core.diagnosis.inspection import ModelInspection, Place
from hgq2_core.diagnosis.recording import as_array, count_not_finite, observe
from hgq2_core.diagnosis.report import SEVERITIES, Check, DoctorReport, Finding, LayerHealth, SlotHealth
from hgq2_core.errors import ConfigError, ExactnessError, listing
from hgq2_core.keras_graph.random_state import preserve_rng
from hgq2_core.keras_graph.traversal import graph_is_known, in_structure
from hgq2_core.layers.operations import PREFIX
from hgq2_core.layers.states import preserve_states, samples_per_call
from hgq2_core.model.calibration import REMEDY, uncalibrated
from hgq2_core.model.cost import summary
from hgq2_core.model.support import unsupported_layers
from hgq2_core.model.verification import FLOAT32_BITS, required_bits, unknown
from hgq2_core.optimizer import DECAYED, describe_decayed_bits
from hgq2_core.quantizers.base import Quantizer
from hgq2_core.quantizers.bit_variables import Bounds, is_bit_variable

MANY_SATURATED = 0.25
"""The share of saturated values above which a range is reported as too narrow."""

MANY_DEAD = 0.5
"""The share of dead outputs above which they are reported."""

MANTISSA_BITS = {"float32": FLOAT32_BITS, "float64": 53}

UNCALIBRATED = Check("uncalibrated", "error", REMEDY)
STALE = Check("stale", "error", REMEDY)
NOT_FINITE = Check("not_finite", "error", "Fix the data, or train again with a smaller learning rate.")
CONSTANT = Check("constant", "warning", "Give the layer and its quantizers more bits, or remove it.")
ALL_ZERO = Check("all_zero", "warning", "Train again with a lower ebops_beta or more bits to begin with, or remove it.")
DEAD = Check("dead", "warning", "Train again with fewer units, or with a smaller learning rate.")
NO_GRADIENT = Check("no_gradient", "warning", "Look for zeros, dead outputs or saturation in the layers after it.")
OVERFLOWS = Check(
    "overflows",
    "warning",
    "Calibrate on data that cover these values, or with a margin; where the range is trained, raise its integer bits.",
)
TOO_NARROW = Check("too_narrow", "warning", "Raise its integer bits, or their upper bound, and train again.")
SATURATES = Check(
    "saturates", "note", "Usual where ranges are trained; raise its integer bits where accuracy is short."
)
UPPER_BOUND = Check("upper_bound", "warning", "Raise the upper bound: training asks for more bits than it may have.")
FLOAT32 = Check(
    "float32",
    "warning",
    'Give it dtype="float64", or fewer bits in its quantizers; or verify on as many samples as you can.',
)
DECAYED_BITS = Check("decayed_bits", "warning", DECAYED)
UNCOUNTED = Check(
    "uncounted",
    "note",
    "Train hgq2_core.with_operation_layers(model), which shares the layers and counts operations in the loss.",
)
NO_GRAPH = Check("no_graph", "warning", "Make it functional or sequential; verify, freeze and export refuse it.")
NOT_EXACT = Check("not_exact", "note", "Replace it; verify and export refuse the model as it is.")
NO_CIRCUIT = Check("no_circuit", "note", "Change it before an export; verify and freeze take the model as it is.")


@preserve_rng()
def doctor(
    model: keras.Model, x: Any, y: Any = None, batch_size: int = 1024, *, steps: int | None = None
) -> DoctorReport:
    """Return a report of problems in training, verification and deployment of a model.

    The model runs without training and is not changed. It may be uncalibrated, stale, frozen, or not quantized at all.

    Args:
        model: a built Keras model; of a subclassed one, only the outputs of the whole model are checked.
        x: inputs in any form that `fit` takes; targets and sample weights in batches are ignored. The data of an
            iterator are kept in memory, up to 1 GiB, since they are read twice.
        y: targets, if `x` are arrays; the gradients are then those of the compiled loss, else of the sum of squared
            outputs.
        batch_size: samples per call, if `x` are arrays.
        steps: maximal number of batches; None for all.

    Raises:
        DataError: the data have another form, no samples, or arrays of different lengths.
        ConfigError: there are targets, but the model is not compiled with a loss; or `batch_size` or `steps` is not a
            number above 0.
    """
    if y is not None and not (model.compiled and model.loss is not None):
        raise ConfigError(f"doctor: {model.name} is not compiled with a loss. Received: y. Compile it, or leave y out.")
    if y is not None and not are_arrays(x):
        raise ConfigError(f"doctor: y needs arrays as x. Received: y with x of class {type(x).__name__}. Leave y out.")
    with_targets = y is not None
    batch_size = samples_per_call(model, batch_size)
    data = read((x, y) if with_targets else x, "doctor", batch_size, steps, several_passes=True)
    severities = list(SEVERITIES)
    with preserve_states(model, anew=True):
        seen = observe(model, (inputs for inputs, _ in data) if with_targets else data)
        inspection = ModelInspection(model, data, with_targets, seen)
        found = itertools.chain.from_iterable(check(inspection) for check in CHECKS)
        findings = sorted(found, key=lambda finding: severities.index(finding.severity))
    return DoctorReport(inspection.samples, tuple(findings), tuple(_layers(inspection)))


def _calibration(inspection: ModelInspection) -> Iterator[Finding]:
    never, stale = map(set, uncalibrated(inspection.model))
    for quantizer, place in inspection.places.items():
        if quantizer in never:
            yield Finding(UNCALIBRATED, *place, "it was never calibrated, so its integer bits are not fixed")
        elif quantizer in stale:
            yield Finding(STALE, *place, "its layer, or an earlier one, has changed since it was calibrated")


def _not_finite(inspection: ModelInspection) -> Iterator[Finding]:
    if inspection.seen.inputs.not_finite:
        yield _count_of_not_finite(
            Place(""), inspection.seen.inputs.not_finite, inspection.seen.inputs.values, "values"
        )
    for place, own in inspection.variables.items():
        arrays = list(map(as_array, own))
        count, of = sum(map(count_not_finite, arrays)), sum(array.size for array in arrays)
        if count:
            yield _count_of_not_finite(place, count, of, "variables")
    for each in inspection.seen.calls:
        if each.outputs.not_finite and not each.inputs.not_finite:
            yield _count_of_not_finite(Place(each.path), each.outputs.not_finite, each.outputs.values, "outputs")
            return


def _count_of_not_finite(place: Place, count: int, of: int, what: str) -> Finding:
    seen = f"{count:,} of {of:,} {what} are NaN or infinite"
    return Finding(NOT_FINITE, *place, seen, {"count": count, "of": of})


def _outputs(inspection: ModelInspection) -> Iterator[Finding]:
    if inspection.samples == 1:  # nothing can vary
        return
    for each in inspection.seen.calls:
        outputs, of = each.outputs, each.outputs.elements
        if outputs.constant == of and each.inputs.constant < each.inputs.elements:
            yield Finding(
                CONSTANT, each.path, None, f"none of its {of:,} outputs changes from sample to sample", {"of": of}
            )
        elif _rectifies(each.layer) and MANY_DEAD * of < outputs.zero < of:
            seen = f"{outputs.zero:,} of {of:,} outputs are 0 for every sample"
            yield Finding(DEAD, each.path, None, seen, {"count": outputs.zero, "of": of})


def _zeroed(inspection: ModelInspection) -> Iterator[Finding]:
    for quantizer, weight in inspection.weights.items():
        size = weight.values.size
        if quantizer.slot.role == "weight" and weight.zeros == size:  # biases are initialized to zeros
            yield Finding(ALL_ZERO, *inspection.places[quantizer], f"all {size:,} weights are 0", {"of": size})


def _gradients(inspection: ModelInspection) -> Iterator[Finding]:
    trained = [
        (place, variable)
        for place, own in inspection.variables.items()
        for variable in own
        if variable.trainable and not is_bit_variable(variable)
    ]
    if not trained or not inspection.finite:
        return
    variables = [variable for _, variable in trained]
    totals = [np.zeros(tuple(variable.shape)) for variable in variables]
    for batch in inspection.data:
        inputs, targets = batch if inspection.with_targets else (batch, None)
        found = gradients(partial(_scalar, inspection.model, inputs, targets), variables)
        totals = [total + np.abs(gradient) for total, gradient in zip(totals, found, strict=True)]
    by_place: dict[Place, list[Any]] = {}
    for (place, _), total in zip(trained, totals, strict=True):
        by_place.setdefault(place, []).append(total)
    for place, own in by_place.items():
        of, count = sum(total.size for total in own), sum(map(count_not_finite, own))
        if count:
            yield _count_of_not_finite(place, count, of, "gradients")
        elif not any(total.any() for total in own):
            yield Finding(NO_GRADIENT, *place, f"the gradient of all {of:,} weights is 0", {"of": of})


def _scalar(model: keras.Model, x: Any, y: Any) -> Any:
    outputs = model(in_structure(model, x), training=False)
    if y is None:
        return sum(
            keras.ops.sum(keras.ops.square(keras.ops.cast(each, "float32"))) for each in keras.tree.flatten(outputs)
        )
    loss = model.compute_loss(x, keras.tree.map_structure(keras.ops.convert_to_tensor, y), outputs, training=False)
    # Without regularizers and the cost of bits, whose gradients do not show that a layer is used.
    return loss - sum(keras.ops.sum(added) for added in model.losses)


def _overflow(inspection: ModelInspection) -> Iterator[Finding]:
    for quantizer, overflow in inspection.overflows.items():
        worst, share = overflow.worst, overflow.share
        if worst is None or share is None:
            continue
        check = OVERFLOWS if overflow.thrown else TOO_NARROW if share > MANY_SATURATED else SATURATES
        seen = (
            f"{overflow.outside:,} of {overflow.values:,} values are out of range; the worst, {worst.value:.6g}, "
            f"becomes {worst.becomes:.6g} (range {worst.low:.6g} to {worst.high:.6g})"
        )
        numbers = {"count": overflow.outside, "of": overflow.values, "worst": worst.value, "becomes": worst.becomes}
        yield Finding(check, *inspection.places[quantizer], seen, {**numbers, "low": worst.low, "high": worst.high})


def _bounds(inspection: ModelInspection) -> Iterator[Finding]:
    for quantizer, place in inspection.places.items():
        for variable, bounds in _bounded(quantizer):
            values = as_array(variable)
            count = int(np.sum(values >= bounds.upper))
            if count:
                seen = (
                    f"{variable.name} is at its upper bound, {bounds.upper:g}, in {count:,} of {values.size:,} elements"
                )
                yield Finding(UPPER_BOUND, *place, seen, {"count": count, "of": values.size, "bound": bounds.upper})


def _bounded(quantizer: Quantizer[Any]) -> Iterator[tuple[keras.Variable, Bounds]]:
    for variable in quantizer.trainable_variables:
        bounds = variable.constraint
        if isinstance(bounds, Bounds) and bounds.lower < bounds.upper:
            yield variable, bounds


def _decayed_bits(inspection: ModelInspection) -> Iterator[Finding]:
    seen = describe_decayed_bits(inspection.model)
    if seen:
        yield Finding(DECAYED_BITS, inspection.model.name, None, seen)


def _uncounted(inspection: ModelInspection) -> Iterator[Finding]:
    rows = [row for row in summary(inspection.model).layers if row.kind.startswith(PREFIX) and row.ebops]
    if rows:
        cost, names = sum(row.ebops for row in rows), listing(row.name for row in rows)
        seen = f"operations on tensors cost {cost:,.0f} EBOPs, which training does not see: {names}"
        yield Finding(UNCOUNTED, inspection.model.name, None, seen, {"ebops": cost})


def _exactness(inspection: ModelInspection) -> Iterator[Finding]:
    model = inspection.model
    if not graph_is_known(model):
        yield Finding(NO_GRAPH, model.name, None, "its graph is not known, so its layers were not checked one by one")
        return
    if not inspection.finite:
        return
    shapes = {each.path: each.outputs.shapes for each in inspection.seen.calls}
    refused: dict[str, str] = {}

    def on_inexact(path: str, error: ExactnessError | NotImplementedError) -> Any:
        refused[path] = str(error).removeprefix(f"{path}: ")
        outputs = [unknown(shape) for shape in shapes[path]]
        return outputs[0] if len(outputs) == 1 else outputs

    unsupported = unsupported_layers(model)
    bits = required_bits(model, on_inexact)
    for path, needed in bits.items():
        layer = inspection.layers.get(path)  # none for an operation of a mask
        dtype = "float64" if getattr(layer, "compute_dtype", None) == "float64" else "float32"
        if needed > MANTISSA_BITS[dtype]:
            seen = f"its sums may need {needed} bits, {dtype} has {MANTISSA_BITS[dtype]}"
            yield Finding(FLOAT32, path, None, seen, {"bits": needed, "of": MANTISSA_BITS[dtype]})
    known = {each.layer: each.reason for each in unsupported if each.stage == "verify"}
    for path, why in (refused | known).items():
        yield Finding(NOT_EXACT, path, None, why)
    for each in unsupported:
        if each.stage == "export":
            yield Finding(NO_CIRCUIT, each.layer, None, each.reason)


CHECKS = (
    _calibration,
    _not_finite,
    _outputs,
    _zeroed,
    _gradients,
    _overflow,
    _bounds,
    _decayed_bits,
    _uncounted,
    _exactness,
)


def _rectifies(layer: Any) -> bool:
    """Return True if a layer is a relu or has one as its activation."""
    return getattr(layer, "activation", None) is keras.activations.relu or isinstance(layer, keras.layers.ReLU)


def _layers(inspection: ModelInspection) -> Iterator[LayerHealth]:
    dead = {path: _dead(inspection, path) for path, layer in inspection.layers.items() if _rectifies(layer)}
    for path in dict.fromkeys([*inspection.layers, *(place.layer for place in inspection.places.values())]):
        quantizers = [quantizer for quantizer, place in inspection.places.items() if place.layer == path]
        slots = tuple(_slot(inspection, quantizer) for quantizer in quantizers)
        if slots or dead.get(path) is not None:
            yield LayerHealth(path, dead.get(path), slots)


def _dead(inspection: ModelInspection, path: str) -> float | None:
    outputs = [each.outputs for each in inspection.seen.calls if each.path == path]
    of = sum(each.elements for each in outputs)
    return sum(each.zero for each in outputs) / of if of and inspection.samples > 1 else None


def _slot(inspection: ModelInspection, quantizer: Quantizer[Any]) -> SlotHealth:
    weight, overflow = inspection.weights.get(quantizer), inspection.overflows.get(quantizer)
    bounded = [(as_array(variable), bounds) for variable, bounds in _bounded(quantizer)]
    of = sum(values.size for values, _ in bounded)
    return SlotHealth(
        name=quantizer.slot.name,
        zeroed=None if weight is None else weight.zeros / weight.values.size,
        outside=None if overflow is None else overflow.share,
        at_lower=sum(int(np.sum(values <= bounds.lower)) for values, bounds in bounded) / of if of else None,
        at_upper=sum(int(np.sum(values >= bounds.upper)) for values, bounds in bounded) / of if of else None,
        seen=None if overflow is None else overflow.seen,
        range=None if overflow is None else overflow.range,
        overflows=overflow.outside if overflow is not None and overflow.values else None,
        values=overflow.values if overflow is not None and overflow.values else None,
    )
