"""How much a model file may hold."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Limits:
    """What a model file may hold at most, checked before anything is built from it.

    Args:
        file_bytes: size of the file, and of the weights in it.
        ratio: how many times larger than its packed form a part of the file may be.
        config_bytes: size of the configuration.
        values: values in the configuration, keys included.
        elements: any size in it, and the product of any shape, the batch axis left out.
        objects: layers, tensors, initializers and other objects in the configuration.
        datasets: groups and datasets in the weights.
    """

    file_bytes: int = 256 << 20
    ratio: int = 100
    config_bytes: int = 2_000_000
    values: int = 200_000
    elements: int = 1 << 20
    objects: int = 5_000
    datasets: int = 20_000


DEFAULT_LIMITS = Limits()
