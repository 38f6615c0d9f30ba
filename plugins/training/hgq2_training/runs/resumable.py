"""Whether a run may be resumed: what of its config changed, and which epochs are left."""

from __future__ import annotations

from pathlib import Path

from hgq2_core import ModelConfig
from hgq2_core.config.model import Training
from hgq2_core.config.resolved import differences, resolved
from hgq2_core.errors import ConfigError
from hgq2_training.callbacks.checkpoint import Checkpoint
from hgq2_training.runs.directory import load_recorded, read_metrics

MAY_CHANGE = ("training.epochs", "training.checkpoint_every", "training.distribution")
"""Fields of the config that may differ when a run is resumed."""


def check_same(recorded: ModelConfig, given: ModelConfig, directory: Path) -> None:
    """Check that a run is resumed with its own config, with all defaults written out: explicit or not does not matter.

    Args:
        recorded: the config in the directory.
        given: the one to resume with.
        directory: the run directory.

    Raises:
        ConfigError: a field differs that may not change.
    """
    before, after = (
        ModelConfig.parse(resolved(each, each.build())).model_dump(mode="json") for each in (recorded, given)
    )
    changed = [each for each in differences(before, after) if not each.startswith(MAY_CHANGE)]
    if changed:
        raise ConfigError(
            f"{directory}: was started with another config. {'; '.join(changed)}. "
            f"Resume with the same, in which only {', '.join(MAY_CHANGE)} may change, or train in a new directory."
        )


def check_planned(training: Training, directory: Path) -> None:
    """Check that a front has the epochs with which it was planned.

    Raises:
        ConfigError: it would have others.
    """
    recorded = load_recorded(directory).training
    if training.front is not None and recorded is not None and recorded.epochs != training.epochs:
        raise ConfigError(
            f"{directory}: the epochs of a front are planned before the first. Received: epochs={training.epochs}. "
            f"Allowed: {recorded.epochs}. To train longer, start a new run from this one: init_from."
        )


def check_unfinished(start: Checkpoint, training: Training, directory: Path) -> None:
    """Check that a run has epochs left to train, or results to complete.

    Raises:
        ConfigError: it has none.
    """
    if training.epochs < start.epoch:
        raise ConfigError(
            f"{directory}: {start.epoch} epochs are trained, and cannot be undone. Received: epochs={training.epochs}."
        )
    if not read_metrics(directory) or not (start.stopped or training.epochs == start.epoch):
        return
    if start.stopped:
        raise ConfigError(f"{directory}: the run is finished; a callback ended it after {start.epoch} epochs.")
    raise ConfigError(
        f"{directory}: the run is finished after {start.epoch} epochs. To train longer, give more: --epochs N."
    )
