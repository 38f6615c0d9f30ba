"""Rules for targets: loss and metrics get targets and outputs that they can compare."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator
from dataclasses import replace
from typing import Any

import keras
import numpy as np

from hgq2_core.config.preflight.keras_errors import refusals
from hgq2_core.config.preflight.setup import Finding, Measure, Setup, agree
from hgq2_core.config.specs import LOSSES, METRICS, ObjectSpec
from hgq2_core.data.class_weight import with_class_weight
from hgq2_core.data.splits import Array
from hgq2_core.errors import ConfigError
from hgq2_core.keras_graph.traversal import output_names
from hgq2_core.schema.keras_objects import keras_parameters

FEW = 8
"""Number of samples on which loss and metrics are tried."""

LABELS = frozenset(
    {
        *("sparse_categorical_crossentropy", "categorical_generalized_cross_entropy"),
        *("sparse_categorical_accuracy", "sparse_top_kcategorical_accuracy"),
    }
)
"""Losses and metrics that take one label for each distribution over the last axis."""

ANY_SHAPE = frozenset({"ctc", "circle", "mean", "sum", "io_u", "binary_io_u", "mean_io_u"})
"""Losses and metrics whose targets and outputs may differ in shape."""

BOUNDS = {
    "binary_crossentropy": (0, 1),
    "binary_focal_crossentropy": (0, 1),
    "hinge": (-1, 1),
    "squared_hinge": (-1, 1),
}
"""The range of targets of some losses."""


def loss_compares_like_with_like(setup: Setup) -> Iterator[Finding]:
    """Targets have the shape of the outputs, or are labels where the loss takes labels."""
    yield from _like_with_like(setup, setup.loss, "sparse_categorical_crossentropy")


def metrics_compare_like_with_like(setup: Setup) -> Iterator[Finding]:
    """Targets have the shape of the outputs, or are labels where the metric takes labels."""
    for metric in setup.metrics:
        yield from _like_with_like(setup, metric, "accuracy")


def labels_have_outputs(setup: Setup) -> Iterator[Finding]:
    """Each label is the index of an output."""
    loss = setup.loss
    units = setup.output_shape[-1] if setup.output_shape else None
    if loss.name not in LABELS or units is None or not _labels_fit(setup):
        return
    low, high = setup.range(loss.spec.arguments.get("ignore_class"))
    received = f"Received: labels from {low:g} to {high:g}."
    if any((y != np.floor(y)).any() for y in setup.targets):
        yield loss.place, f"{loss.spec.kind} takes labels, which are integers. {received}"
    elif low < 0 or high >= units:
        remedy = f" Give it {high + 1:.0f} units." if low >= 0 else ""
        yield (
            f"model.outputs.{setup.name}",
            f"{loss.spec.kind} takes labels from 0 to {units - 1} for this output of {units}. {received}{remedy}",
        )


def targets_lie_within_bounds(setup: Setup) -> Iterator[Finding]:
    """The targets lie in the range that the loss takes."""
    loss = setup.loss
    if loss.name in BOUNDS:
        (least, most), (low, high) = BOUNDS[loss.name], setup.range()
        if low < least or high > most:
            received = f"Received: targets from {low:g} to {high:g}."
            yield loss.place, f"{loss.spec.kind} takes targets from {least} to {most}. {received}"


def _like_with_like(setup: Setup, measure: Measure, for_labels: str) -> Iterator[Finding]:
    if measure.name in ANY_SHAPE or not measure.is_of_keras:
        return
    kind, labels_fit = measure.spec.kind, _labels_fit(setup)
    received = f"Received: {setup.describe_targets()}, outputs of shape {list(setup.output_shape)}."
    if measure.name in LABELS:
        if not labels_fit:
            yield (
                measure.place,
                f"{kind} takes one label for each row of outputs. {received} "
                "For targets of the shape of the outputs there is categorical_crossentropy.",
            )
        return
    target, output = setup.target_shape, setup.output_shape
    # Keras adds or removes a last axis of size 1.
    if not (agree(output, target) or agree(output, (*target, 1)) or agree((*output, 1), target)):
        remedy = f" For labels there is {for_labels}." if labels_fit else ""
        yield measure.place, f"{kind} compares targets with outputs of the same shape. {received}{remedy}"


def _labels_fit(setup: Setup) -> bool:
    target, rows = setup.target_shape, setup.output_shape[:-1]
    return bool(setup.output_shape) and (agree(rows, target) or agree((*rows, 1), target))


def loss_takes_the_targets(setup: Setup) -> Iterator[Finding]:
    """Keras accepts the targets: the loss is called on outputs that are all 0."""
    targets, outputs = _few(setup)
    if outputs is not None:
        call = setup.model.compute_loss if len(setup.model.outputs) == 1 else _called(setup.loss)
        yield from refusals(setup.loss.place, call, None, targets, outputs)


def metrics_take_the_targets(setup: Setup) -> Iterator[Finding]:
    """Keras accepts the targets in all metrics; if one fails, each is called alone to find its place."""
    targets, outputs = _few(setup)
    if outputs is None:
        return
    if len(setup.model.outputs) > 1:
        yield from (finding for metric in setup.metrics for finding in _alone(metric, targets, outputs))
        return
    found = list(refusals("training.metrics", setup.model.compute_metrics, None, targets, outputs))
    setup.model.reset_metrics()
    if found:
        alone = [finding for metric in setup.metrics for finding in _alone(metric, targets, outputs)]
        yield from alone or found


def the_model_takes_all_targets(setup: Setup) -> Iterator[Finding]:
    """Keras accepts the targets of several outputs together; this also gives the metrics their names."""
    every = [_few(replace(setup, output=index)) for index in range(len(setup.model.outputs))]
    if len(every) == 1 or any(outputs is None for _, outputs in every):
        return
    targets, outputs = ([each[side] for each in every] for side in (0, 1))
    yield from refusals("training.loss", setup.model.compute_loss, None, targets, outputs)
    yield from refusals("training.metrics", setup.model.compute_metrics, None, targets, outputs)
    setup.model.reset_metrics()


def class_weights_have_labels(setup: Setup) -> Iterator[Finding]:
    """Class weights name labels of the data."""
    try:
        outputs = output_names(setup.model)
        with_class_weight(setup.splits.train, setup.training.class_weight, outputs, setup.splits.classes)
    except ConfigError as error:
        place, _, message = str(error).partition(": ")
        yield place, message


def an_epoch_has_its_steps(setup: Setup) -> Iterator[Finding]:
    """An epoch has no more steps than the training part has batches."""
    batches = math.ceil(len(setup.splits.train) / setup.training.batch_size)
    steps = setup.training.steps_per_epoch
    if steps is not None and steps > batches:
        yield (
            "training.steps_per_epoch",
            f"the training part has {batches} batches of {setup.training.batch_size}. Received: {steps}.",
        )


def _few(setup: Setup) -> tuple[Array, Any]:
    targets = setup.of_output(setup.splits.train.y)[:FEW]
    if None in setup.output_shape:
        return targets, None
    dtype = setup.model.outputs[setup.output].dtype
    return targets, keras.ops.zeros((len(targets), *setup.output_shape), dtype=dtype)


def _called(loss: Measure) -> Callable[[Any, Any, Any], Any]:
    return lambda _, targets, outputs: LOSSES.make(loss.spec)(targets, outputs)


def _alone(metric: Measure, targets: Array, outputs: Any) -> Iterator[Finding]:
    # A fixed name, so that Keras' name counters do not depend on whether a config was checked.
    name = {"name": "checked"} if "name" in keras_parameters(metric.cls) else {}
    named = ObjectSpec(metric.spec.kind, {**metric.spec.arguments, **name})
    yield from refusals(metric.place, METRICS.make(named), targets, outputs)
