"""Layers that begin a batch with the states that the batch before left, sample by sample."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from typing_extensions import override

from hgq2_core import ConfigError, DataError, QLayer, Quantizer
from hgq2_core.layers.states import KeptStates
from hgq2_core.ops import Tensor
from hgq2_core.quantizers.ranges import ObservedRange


class StatefulLayer(QLayer, kw_only=True):
    """A layer that steps through sequences, and may keep its states from batch to batch.

    Args:
        go_backwards: whether the steps go from the end to the beginning.
        stateful: whether a batch begins with the states that the batch before left, sample by sample, until
            `reset_state`; the batch then has a static size.
    """

    go_backwards: bool = False
    stateful: bool = False

    @override
    def setup(self) -> None:
        """Prepare for the states.

        Raises:
            ConfigError: a stateful layer that goes backwards.
        """
        super().setup()
        if self.stateful and self.go_backwards:
            raise ConfigError(
                f"{self.name}: a stateful layer goes forwards: a stream has no end to begin at. Received: "
                "stateful=True, go_backwards=True (also what Bidirectional makes of a stateful layer). Leave stateful "
                "out for whole sequences."
            )
        self.kept_states = KeptStates() if self.stateful else None

    def build_states(
        self, batch: int | None, shapes: Sequence[Sequence[int | None]], quantizers: Sequence[Quantizer[Any]]
    ) -> None:
        """Add the states of a stateful layer; any other has none to keep.

        Args:
            batch: its size.
            shapes: of the states, without the batch.
            quantizers: of the states.

        Raises:
            ConfigError: a batch of any size, or states without a fixed range.
        """
        if self.kept_states is None:
            return
        if batch is None or any(None in shape for shape in shapes):
            raise ConfigError(
                f"{self.name}: a stateful layer keeps states for each sample of a batch, which is then of static size. "
                "Received: a batch of any size. Use keras.Input(batch_shape=(batch, steps, features)), in a config "
                "batch_size beside the shape of the input."
            )
        for quantizer in quantizers:
            if isinstance(quantizer.range, ObservedRange):
                raise ConfigError(
                    f"{quantizer.slot}: a state that is kept has a fixed range, in which it enters and leaves the "
                    "circuit. Received: one that follows the values. Let it saturate: overflow_mode SAT_SYM or SAT."
                )
        self.kept_states.build([(batch, *(size or 1 for size in shape)) for shape in shapes])

    def check_batch(self, inputs: Tensor) -> None:
        """Refuse a batch of another size than the states that are kept.

        Args:
            inputs: of a call.

        Raises:
            DataError: another size.
        """
        batch = None if self.kept_states is None else self.kept_states.shapes[0][0]
        if batch is not None and inputs.shape[0] not in (None, batch):
            raise DataError(
                f"{self.name}: it keeps states for batches of {batch} samples. Received: {inputs.shape[0]}. Use "
                f"batch_size={batch}, and a multiple of it in samples."
            )

    @property
    def states(self) -> list[Any] | None:
        """What a stateful layer keeps from batch to batch, Keras' word; None of any other."""
        return None if self.kept_states is None else list(self.kept_states.variables)

    def reset_state(self) -> None:
        """Let the next batch begin at 0; for a layer that is not stateful nothing changes."""
        if self.kept_states is not None:
            self.kept_states.reset()

    def reset_states(self) -> None:
        """Do what `reset_state` does, under Keras' other name."""
        self.reset_state()
