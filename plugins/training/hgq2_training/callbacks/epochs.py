"""Callbacks that every training uses."""

from __future__ import annotations

from typing import Any

import keras

from hgq2_core.model.cost import ebops


class EbopsLog(keras.callbacks.Callback):
    """Add the model's EBOPs to the logs of every epoch, as `ebops`; put it before the callbacks that read it.

    They are those before calibration, which fixes the ranges of activations that wrap when training has ended: a
    callback that monitors `ebops` compares these, unless it says that it calibrates by itself, as a Pareto front does.
    """

    def on_epoch_end(self, epoch: int, logs: dict[str, Any] | None = None) -> None:
        """Count."""
        if logs is not None:
            logs["ebops"] = ebops(self.model)

    def adds_logs(self) -> tuple[str, ...]:
        """Return the name of what it adds."""
        return ("ebops",)


class EpochSeed(keras.callbacks.Callback):
    """Seed every epoch by its number, so that a resumed training shuffles as an undisturbed one.

    So do the random layers that draw from the global generators, such as Dropout without a seed on torch. Those with a
    seed of their own count on in a variable, which a checkpoint holds. On tensorflow every epoch has the order of the
    first: Keras' data pipeline there takes the seed once, when it is made.

    Args:
        seed: of the whole training.
    """

    def __init__(self, seed: int) -> None:
        super().__init__()
        self.seed = seed

    def on_epoch_begin(self, epoch: int, logs: dict[str, Any] | None = None) -> None:
        """Seed Python's, numpy's and the backend's generators."""
        keras.utils.set_random_seed((self.seed * 1_000_003 + epoch) % (1 << 32))
