"""A schedule of the share of quantization in training."""

from __future__ import annotations

from hgq2_training.callbacks.schedule import PointSchedule


class NoiseSchedule(PointSchedule):
    """Set `noise` of every quantizer that has it as a variable, that is, whose config sets it below 1.

    The value of each epoch is added to its logs as `noise`. A schedule from 0 to 1 introduces quantization gradually.

    Args:
        points: pairs `(epoch, noise)` with increasing epochs.
        interpolation: `linear`; `log` for a constant ratio from epoch to epoch; `cosine`, level at both ends;
            `constant` keeps the value of the point before; or a list with one for each piece between two points.

    Raises:
        ConfigError: there are no points, epochs do not increase, a noise is not from 0 to 1, or is 0 with `log`.
    """

    variable = "noise"
    word = "noise"
    largest = 1.0
    missing = "a `noise` to schedule: give its quantizers one below 1, such as {kind: kbi, noise: 0}."
