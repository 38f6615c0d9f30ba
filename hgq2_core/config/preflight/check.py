"""The check of a whole training before its first step."""

from __future__ import annotations

import keras

from hgq2_core.config.model import ModelConfig, Training
from hgq2_core.config.preflight.callbacks import (
    averages_are_kept,
    callbacks_monitor_what_is_logged,
    one_thing_sets_the_learning_rate,
)
from hgq2_core.config.preflight.keras_errors import refused_by_keras
from hgq2_core.config.preflight.setup import Finding, Rule, Setup, agree
from hgq2_core.config.preflight.targets import (
    labels_have_outputs,
    loss_compares_like_with_like,
    loss_takes_the_targets,
    metrics_compare_like_with_like,
    metrics_take_the_targets,
    targets_lie_within_bounds,
)
from hgq2_core.data.splits import Splits
from hgq2_core.errors import ConfigError, DataError, listing
from hgq2_core.keras_graph.traversal import output_names

RULES: tuple[Rule, ...] = (
    loss_compares_like_with_like,
    metrics_compare_like_with_like,
    labels_have_outputs,
    targets_lie_within_bounds,
    one_thing_sets_the_learning_rate,
    averages_are_kept,
)
"""Rules that look at the config and the data."""

TRIALS: tuple[Rule, ...] = (loss_takes_the_targets, metrics_take_the_targets, callbacks_monitor_what_is_logged)
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
    check_fit(model, splits)
    _check_outputs(model, splits)
    with refused_by_keras("training"):
        training.compile(model, len(keras.tree.flatten(splits.train.x)[0]))
    if len(model.outputs) != 1:
        return
    setup = Setup(training, model, splits)
    # One after the other: a metric that was refused has no entry in the logs.
    for rules in (RULES, *((trial,) for trial in TRIALS)):
        _raise_found([finding for rule in rules for finding in rule(setup)])


def check_fit(model: keras.Model, splits: Splits) -> None:
    """Check that the inputs of the data fit the model.

    Args:
        model: any Keras model with inputs.
        splits: the data.

    Raises:
        DataError: the number of inputs, or the shape, differs.
    """
    if len(model.inputs) != 1 and len(keras.tree.flatten(splits.train.x)) == 1:
        names = listing(tensor.name for tensor in model.inputs)
        raise DataError(f"model.inputs: the data have one array of inputs, the model takes {names}.")
    if len(model.inputs) != 1:
        return
    wanted, got = tuple(model.inputs[0].shape[1:]), tuple(splits.train.x.shape[1:])
    if not agree(wanted, got):
        raise DataError(
            f"model.inputs.{model.inputs[0].name}: the shape does not fit the data. Received: shape {list(wanted)}, "
            f"data of shape {list(got)}."
        )


def _check_outputs(model: keras.Model, splits: Splits) -> None:
    arrays = len(keras.tree.flatten(splits.train.y))
    if len(model.outputs) != arrays:
        has = "one array" if arrays == 1 else f"{arrays} arrays"
        raise DataError(
            f"model.outputs: the data have {has} of targets, the model gives {', '.join(output_names(model))}. "
            "Name the one to train in `outputs`."
        )


def _raise_found(found: list[Finding]) -> None:
    if found:
        raise ConfigError("\n".join(f"{place}: {message}" for place, message in found))
