"""Limits on the contents of a model file."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Limits:
    """Limits on the contents of a model file, checked before anything is built from it.

    Args:
        file_bytes: size of the file, and of the weights in it.
        ratio: ratio of the size of a member to its compressed size.
        config_bytes: size of the configuration.
        values: number of values in the configuration, including keys.
        elements: any size in the configuration, and the product of any shape without the batch axis.
        objects: number of layers, tensors, initializers and other objects in the configuration.
        datasets: number of groups and datasets in the weights.
    """

    file_bytes: int = 256 << 20
    ratio: int = 100
    config_bytes: int = 2_000_000
    values: int = 200_000
    elements: int = 1 << 20
    objects: int = 5_000
    datasets: int = 20_000


DEFAULT_LIMITS = Limits()
