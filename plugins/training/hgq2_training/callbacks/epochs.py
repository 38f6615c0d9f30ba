"""Callbacks of every training."""

from __future__ import annotations

from typing import Any

import keras

from hgq2_core import ebops


class EbopsLog(keras.callbacks.Callback):
    """Add the model's EBOPs to the logs of every epoch, as `ebops`; comes before the callbacks that read them.

    They are the EBOPs before calibration, which fixes the ranges of wrapping activations at the end of training.
    Callbacks that monitor `ebops` compare these; the Pareto front calibrates first.
    """

    def on_epoch_end(self, epoch: int, logs: dict[str, Any] | None = None) -> None:
        """Add the EBOPs to the logs."""
        if logs is not None:
            logs["ebops"] = ebops(self.model)

    def adds_logs(self) -> tuple[str, ...]:
        """Return the name `ebops`."""
        return ("ebops",)


class EpochSeed(keras.callbacks.Callback):
    """Seed every epoch by its number, so that a resumed training shuffles like an uninterrupted one.

    This covers random layers that use the global generators, such as Dropout without a seed on torch; layers with a
    seed keep their state in a variable, which is in the checkpoint. On tensorflow every epoch has the order of the
    first, since Keras' data pipeline takes the seed once, when it is made.

    Args:
        seed: seed of the training.
    """

    def __init__(self, seed: int) -> None:
        super().__init__()
        self.seed = seed

    def on_epoch_begin(self, epoch: int, logs: dict[str, Any] | None = None) -> None:
        """Seed the generators of Python, numpy and the backend."""
        keras.utils.set_random_seed((self.seed * 1_000_003 + epoch) % (1 << 32))
