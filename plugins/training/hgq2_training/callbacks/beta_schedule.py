"""The weight of the EBOPs in the loss, epoch by epoch."""

from __future__ import annotations

from hgq2_training.callbacks.schedule import PointSchedule


class BetaSchedule(PointSchedule):
    """Set `ebops_beta` of every layer that has one, interpolated between points and constant outside them.

    The value of each epoch is added to its logs as `ebops_beta`.

    Args:
        points: pairs `(epoch, beta)`, the epochs increasing.
        interpolation: `linear`, or `log` for a constant ratio from epoch to epoch.

    Raises:
        ConfigError: no points, epochs that do not increase, a beta that is negative or not finite, or 0 with `log`.
    """

    variable = "ebops_beta"
    word = "beta"
    missing = "an `ebops_beta` to schedule: it has no quantized layers."
