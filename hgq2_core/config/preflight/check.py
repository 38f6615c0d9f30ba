"""The check of a whole training before its first step."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import keras

from hgq2_core.config.model import ModelConfig, Training
from hgq2_core.config.preflight.callbacks import (
    a_front_has_all_epochs,
    a_front_is_measured_on_validation_data,
    averages_are_kept,
    callbacks_monitor_what_is_logged,
    models_are_chosen_by_what_is_measured,
    one_thing_sets_the_learning_rate,
)
from hgq2_core.config.preflight.keras_errors import refused_by_keras
from hgq2_core.config.preflight.setup import Finding, Rule, Setup, agree
from hgq2_core.config.preflight.targets import (
    an_epoch_has_its_steps,
    class_weights_have_labels,
    labels_have_outputs,
    loss_compares_like_with_like,
    loss_takes_the_targets,
    metrics_compare_like_with_like,
    metrics_take_the_targets,
    targets_lie_within_bounds,
    the_model_takes_all_targets,
)
from hgq2_core.data.arrays import leaves
from hgq2_core.data.feed import for_model, in_order
from hgq2_core.data.splits import Splits
from hgq2_core.errors import ConfigError, DataError, listing, nearest
from hgq2_core.keras_graph.traversal import layers_of, output_names
from hgq2_core.layers.base import QLayer

OF_OUTPUTS: tuple[Rule, ...] = (
    loss_compares_like_with_like,
    metrics_compare_like_with_like,
    labels_have_outputs,
    targets_lie_within_bounds,
)
"""Rules that look at the config and the data of one output."""

RULES: tuple[Rule, ...] = (
    class_weights_have_labels,
    an_epoch_has_its_steps,
    one_thing_sets_the_learning_rate,
    averages_are_kept,
    a_front_is_measured_on_validation_data,
    a_front_has_all_epochs,
)
"""Rules that look at the config and the data."""

TRIALS_OF_OUTPUTS: tuple[Rule, ...] = (loss_takes_the_targets, metrics_take_the_targets)
TRIALS: tuple[Rule, ...] = (
    the_model_takes_all_targets,
    models_are_chosen_by_what_is_measured,
    callbacks_monitor_what_is_logged,
)
"""Rules that call loss, metrics and callbacks once on a few targets, to give any other error of Keras its place."""


def check_config(config: ModelConfig, model: keras.Model) -> Splits | None:
    """Load the data of a config, and check that they fit the model and the training.

    Args:
        config: a valid config.
        model: built from it; compiled here if the config has a training section.

    Returns:
        The data; None if the config names none.

    Raises:
        ConfigError: see `check_training`.
        DataError: the data cannot be read, or do not fit the model.
    """
    if config.data is None:
        return None
    splits = config.load_data()
    if config.training is None:
        check_fit(model, splits)
    else:
        check_training(config.training, model, splits)
    return splits


def check_training(training: Training, model: keras.Model, splits: Splits) -> None:
    """Compile a model, and check that data, loss, metrics and callbacks fit together.

    Args:
        training: how to train.
        model: built from a config.
        splits: the data.

    Raises:
        ConfigError: something does not fit; lists every finding with its place in the config.
        DataError: inputs or targets do not fit the model.
    """
    _check_states(model)
    check_fit(model, splits)
    _check_outputs(model, splits)
    ordered = for_model(splits, model)
    with refused_by_keras("training"):
        training.compile(model, len(splits.train))
    setups = [Setup(training, model, ordered, index) for index in range(len(model.outputs))]
    _raise_found(
        [
            *(finding for rule in OF_OUTPUTS for setup in setups for finding in rule(setup)),
            *(finding for rule in RULES for finding in rule(setups[0])),
        ]
    )
    # One after the other: a metric that was refused has no entry in the logs.
    for trial in TRIALS_OF_OUTPUTS:
        _raise_found([finding for setup in setups for finding in trial(setup)])
    for trial in TRIALS:
        _raise_found(list(trial(setups[0])))


def check_fit(model: keras.Model, splits: Splits) -> None:
    """Check that the inputs of the data fit the model.

    Args:
        model: any Keras model with inputs.
        splits: the data.

    Raises:
        DataError: the number of inputs, or the shape, differs.
    """
    names = [tensor.name for tensor in model.inputs]
    x = splits.train.x
    if isinstance(x, Mapping):
        _check_names(x, names, "inputs")
    elif len(names) != 1 and len(leaves(x)) == 1:
        raise DataError(f"model.inputs: the data have one array of inputs, the model takes {listing(names)}.")
    elif len(leaves(x)) != len(names):
        raise DataError(f"model.inputs: the data have {len(leaves(x))} arrays, the model takes {listing(names)}.")
    for tensor, array in zip(model.inputs, leaves(in_order(x, names)), strict=True):
        wanted, got = tuple(tensor.shape[1:]), tuple(array.shape[1:])
        if not agree(wanted, got):
            raise DataError(
                f"model.inputs.{tensor.name}: the shape does not fit the data. Received: shape {list(wanted)}, "
                f"data of shape {list(got)}."
            )


def _check_states(model: keras.Model) -> None:
    for layer in layers_of(model):
        if isinstance(layer, QLayer) and layer.kept_states is not None:
            raise ConfigError(
                f"model: {layer.name} is stateful, and a run trains on batches in random order, none of which goes on "
                "where another ends. Received: stateful: true. Train it on whole sequences with stateful: false, then "
                "give its weights to a stateful model of one step: stream.set_weights(model.get_weights())."
            )


def _check_outputs(model: keras.Model, splits: Splits) -> None:
    if isinstance(splits.train.y, Mapping):
        _check_names(splits.train.y, output_names(model), "outputs")
        return
    arrays = len(leaves(splits.train.y))
    if len(model.outputs) != arrays:
        has = "one array" if arrays == 1 else f"{arrays} arrays"
        raise DataError(
            f"model.outputs: the data have {has} of targets, the model gives {', '.join(output_names(model))}. "
            "Name the one to train in `outputs`."
        )


def _check_names(arrays: Mapping[str, Any], names: list[str], what: str) -> None:
    """Refuse arrays that do not have the names of the model's inputs or outputs."""
    for name in arrays:
        if name not in names:
            raise DataError(
                f"model.{what}: the model has no {what[:-1]} {name!r}, for which there are data. "
                f"Allowed: {listing(names)}.{nearest(name, names)}"
            )
    if missing := [name for name in names if name not in arrays]:
        raise DataError(f"model.{what}: no data for {listing(missing)}. The data have {listing(arrays)}.")


def _raise_found(found: list[Finding]) -> None:
    if found:
        raise ConfigError("\n".join(f"{place}: {message}" for place, message in found))
