"""A split as Keras takes it: in the order of a model's inputs and outputs, as arrays or in batches."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import replace
from typing import Any

import keras
import numpy as np

from hgq2_core.data.arrays import Arrays, in_memory, mapped
from hgq2_core.data.splits import Split, Splits
from hgq2_core.keras_graph.traversal import output_names

BATCH_SIZE = 32
"""Samples per step of `evaluate`, as Keras chooses it for arrays."""


class Feed(keras.utils.PyDataset):
    """Batches of a split, read when they are needed.

    Args:
        split: in the order of a model, see `for_model`.
        batch_size: samples per batch.
        shuffle: whether each epoch has its own order, from numpy's global generator.
        steps: batches per epoch, each epoch with other samples; None for all.
    """

    def __init__(self, split: Split, batch_size: int, *, shuffle: bool = False, steps: int | None = None) -> None:
        super().__init__()
        self.split = split
        self.batch_size = batch_size
        self.shuffle = shuffle
        self.steps = math.ceil(len(split) / batch_size) if steps is None else steps
        self._order = np.arange(len(split))

    @property
    def num_batches(self) -> int:
        """Number of batches of an epoch."""
        return self.steps

    def __getitem__(self, index: int) -> tuple[Any, ...]:
        # Sorted: neighbours in the file are read together.
        chosen = np.sort(self._order[index * self.batch_size : (index + 1) * self.batch_size])
        parts = (self.split.x, self.split.y, *(() if self.split.weight is None else (self.split.weight,)))
        return tuple(_nested(mapped(lambda array: array[chosen], part)) for part in parts)

    def on_epoch_begin(self) -> None:
        """Draw the order of the epoch."""
        if self.shuffle:
            self._order = np.random.permutation(len(self.split))


def for_model(splits: Splits, model: keras.Model) -> Splits:
    """Return the parts with arrays in the order of a model's inputs and outputs, in place of mappings.

    Args:
        splits: the data.
        model: its inputs and outputs have the names of the data's.
    """
    inputs, outputs = [tensor.name for tensor in model.inputs], output_names(model)
    return splits.each(
        lambda part: replace(
            part,
            x=in_order(part.x, inputs),
            y=in_order(part.y, outputs),
            weight=in_order(part.weight, outputs),
        )
    )


def fit_data(
    train: Split, validation: Split | None, batch_size: int, steps: int | None = None, shuffle: bool = True
) -> dict[str, Any]:
    """Return the arguments of `fit` that give it the data.

    Args:
        train: the training part, in the order of a model.
        validation: the validation part; None for none.
        batch_size: samples per step.
        steps: steps after which an epoch ends; None for all samples.
        shuffle: whether each epoch has its own order.
    """
    data = None if validation is None else _evaluated(validation, batch_size)
    if steps is None and _is_in_memory(train):
        arrays = {"x": train.x, "y": train.y, "sample_weight": train.weight}
        return {**arrays, "batch_size": batch_size, "shuffle": shuffle, "validation_data": data}
    # Of batches Keras would shuffle the order alone.
    return {"x": Feed(train, batch_size, shuffle=shuffle, steps=steps), "shuffle": False, "validation_data": data}


def evaluation(split: Split) -> dict[str, Any]:
    """Return the arguments of `evaluate` that give it a split, in the order of the model."""
    if _is_in_memory(split):
        return {"x": split.x, "y": split.y, "sample_weight": split.weight}
    return {"x": Feed(split, BATCH_SIZE)}


def _evaluated(split: Split, batch_size: int) -> Any:
    if not _is_in_memory(split):
        return Feed(split, batch_size)
    return (split.x, split.y) if split.weight is None else (split.x, split.y, split.weight)


def _is_in_memory(split: Split) -> bool:
    return in_memory(split.x) and in_memory(split.y)


def in_order(arrays: Arrays, names: list[str]) -> Arrays:
    """Return arrays in the order of names, as a list if there are several; unchanged if they have none.

    Args:
        arrays: one array, or a mapping.
        names: of the model's inputs or outputs.
    """
    if not isinstance(arrays, Mapping):
        return arrays
    ordered = [arrays[name] for name in names]
    return ordered[0] if len(ordered) == 1 else ordered


def _nested(arrays: Any) -> Any:
    return tuple(arrays) if isinstance(arrays, list) else arrays
