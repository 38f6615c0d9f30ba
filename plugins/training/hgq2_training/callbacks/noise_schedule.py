"""The share of the quantization that training sees, epoch by epoch."""

from __future__ import annotations

from hgq2_training.callbacks.schedule import PointSchedule


class NoiseSchedule(PointSchedule):
    """Set `noise` of every quantizer that has one as a variable, which is where its config says less than 1.

    The value of each epoch is added to its logs as `noise`. From 0 to 1, it blends quantization in.

    Args:
        points: pairs `(epoch, noise)`, the epochs increasing.
        interpolation: `linear`, or `log` for a constant ratio from epoch to epoch.

    Raises:
        ConfigError: no points, epochs that do not increase, a noise that is not from 0 to 1, or 0 with `log`.
    """

    variable = "noise"
    word = "noise"
    largest = 1.0
    missing = "a `noise` to schedule: give its quantizers one below 1, such as {kind: kbi, noise: 0}."
