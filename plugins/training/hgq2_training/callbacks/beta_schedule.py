"""A schedule of the EBOPs' weight in the loss."""

from __future__ import annotations

from hgq2_training.callbacks.schedule import PointSchedule


class BetaSchedule(PointSchedule):
    """Set `ebops_beta` of every layer that has one, interpolated between points and constant before and after them.

    The value of each epoch is added to its logs as `ebops_beta`.

    Args:
        points: pairs `(epoch, beta)` with increasing epochs.
        interpolation: `linear`; `log` for a constant ratio from epoch to epoch; `cosine`, level at both ends;
            `constant` keeps the value of the point before; or a list with one for each piece between two points.

    Raises:
        ConfigError: there are no points, epochs do not increase, a beta is negative or not finite, or is 0 with `log`.
    """

    variable = "ebops_beta"
    word = "beta"
    missing = "an `ebops_beta` to schedule: it has no quantized layers."
