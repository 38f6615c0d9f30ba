"""An estimate of what tracing a model takes, before it is traced."""

from __future__ import annotations

import math
from dataclasses import dataclass

import keras

from hgq2_core.exporting.graph import applications, ebops, layer_ebops

SECONDS, BYTES = 6e-5, 150.0
"""Of one EBOP on one core: the most over 64-32-32-10, 64-128-128-10, 256-256-10 and convolutions of 28 x 28 pixels."""

PROGRAM_BYTES = 1e9
"""Of Python, Keras and its backend."""


def traced_ebops(model: keras.Model, blocks: int) -> float:
    """Return the EBOPs of what is traced: all positions, whatever a layer's `parallelization_factor` says, or a block.

    Args:
        model: a frozen model.
        blocks: into which the positions are divided. No more is traced where all layers are multiplexed.
    """
    total = ebops(model)
    for layer in (application.layer for application in applications(model)):
        factor = getattr(layer, "parallelization_factor", None)
        if factor is not None and hasattr(layer, "positions"):
            total += layer_ebops(layer) * (float(layer.positions()) / factor - 1)
    return total / blocks


@dataclass(frozen=True)
class Effort:
    """What tracing takes, to about a factor of three.

    Args:
        ebops: those of the model.
    """

    ebops: float

    @property
    def minutes(self) -> float:
        """Time of one core."""
        return self.ebops * SECONDS / 60

    @property
    def memory_gb(self) -> float:
        """Memory of the process."""
        return (PROGRAM_BYTES + self.ebops * BYTES) / 1e9

    def over(self, minutes: float, memory_gb: float) -> str:
        """Return what is over these limits, and how to go on; empty where nothing is."""
        if self.minutes <= minutes and self.memory_gb <= memory_gb:
            return ""
        raised = [
            f"--option {name}={math.ceil(needed)}"
            for name, needed, limit in (
                ("max_minutes", self.minutes, minutes),
                ("max_memory_gb", self.memory_gb, memory_gb),
            )
            if needed > limit
        ]
        return (
            f"tracing {self.ebops:,.0f} EBOPs takes about {self.minutes:,.1f} minutes of a core and "
            f"{self.memory_gb:,.1f} GB. Allowed: {minutes:g} minutes, {memory_gb:g} GB. Train with fewer bits, or go "
            f"on with {' '.join(raised)}."
        )
