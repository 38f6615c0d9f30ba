"""What a report shows beyond the metrics: how the model predicts the test part, and how it uses its bits."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any

import keras
import numpy as np

from hgq2_core import ModelConfig
from hgq2_core.data.arrays import leaves
from hgq2_core.data.batches import read
from hgq2_core.data.feed import for_model
from hgq2_core.data.splits import Splits
from hgq2_core.diagnosis.report import DoctorReport
from hgq2_core.exporting.graph import output_names
from hgq2_core.layers.states import preserve_states, samples_per_call
from hgq2_core.model.prediction import predict
from hgq2_training.report.bits import slots_of
from hgq2_training.report.classification import classification
from hgq2_training.report.regression import regression

BATCH_SIZE = 1024
MOST_SAMPLES = 100_000
"""Test samples that are predicted, at most: the first ones."""
MOST_VALUES = 1 << 24
"""Values of all outputs that are kept, at most, which limits the samples where outputs are large."""


def analyze(model: keras.Model, splits: Splits, config: ModelConfig, health: DoctorReport | None) -> dict[str, Any]:
    """Return what a report shows of a model, as plain data.

    Args:
        model: calibrated.
        splits: the data of the run.
        config: its config.
        health: what `doctor` found on the test part; None if it failed.
    """
    examined = {} if health is None else {"health": health.to_dict()}
    return {"outputs": outputs_of(model, splits, config), "slots": slots_of(model), **examined}


def outputs_of(model: keras.Model, splits: Splits, config: ModelConfig) -> dict[str, dict[str, Any]]:
    """Return for each output of a model how it tells classes apart, or how far it is from its targets.

    Args:
        model: calibrated.
        splits: the data of the run.
        config: its config.
    """
    each = sum(math.prod(size or 1 for size in output.shape[1:]) for output in model.outputs)
    test = for_model(splits, model).test.head(max(1, min(MOST_SAMPLES, MOST_VALUES // each)))
    names = output_names(model)
    size = samples_per_call(model, BATCH_SIZE)
    with preserve_states(model, anew=True):
        parts = [keras.tree.flatten(predict(model, batch)) for batch in read(test.x, "report", size)]
    values = [np.concatenate(each) for each in zip(*parts, strict=True)]
    found = {}
    for name, value, target in zip(names, values, leaves(test.y), strict=True):
        y, outputs = np.asarray(target), np.asarray(value).reshape(len(value), *(value.shape[1:] or (1,)))
        texts = splits.classes.get(name) if isinstance(splits.classes, Mapping) else splits.classes
        judged = classification(y, outputs, _from_logits(config, name), texts or ()) or regression(
            y, outputs, _columns(config)
        )
        constant = int((outputs == outputs[:1]).all(axis=0).sum()) if len(outputs) > 1 else 0
        ends = {"low": float(outputs.min()), "high": float(outputs.max())}
        found[name] = {"samples": len(y), "constant": constant, "of": int(outputs[0].size), **ends, **(judged or {})}
    return found


def _from_logits(config: ModelConfig, output: str) -> bool:
    loss = None if config.training is None else config.training.loss
    loss = loss.get(output) if isinstance(loss, Mapping) else loss
    return loss is not None and bool(loss.arguments.get("from_logits", False))


def _columns(config: ModelConfig) -> Sequence[str]:
    target = None if config.data is None else config.data.arguments.get("target")
    return [str(each) for each in target] if isinstance(target, list) else ()
