"""What Keras' loop over the steps of a sequence asks of a cell with dropout."""

from __future__ import annotations

from typing import Any

import keras
from typing_extensions import override

from hgq2_core.keras_graph.private import dropout_cell
from hgq2_core.ops import Tensor

_Known: Any = dropout_cell()


class DropoutCell(_Known):
    """A cell whose dropout is drawn once for all steps: Keras' loop asks for it in front of the first, and then resets.

    A subclass is a cell with the attributes `dropout`, `recurrent_dropout` and `seed_generator`. One that is called by
    itself, in no loop, draws in each call.
    """

    _of_inputs: Tensor | None = None
    _of_states: Tensor | None = None

    @override
    def get_dropout_mask(self, step_input: Tensor) -> Tensor | None:
        """Draw, for all steps, what the inputs are multiplied with; None without dropout."""
        self._of_inputs = self._draw(step_input, self.dropout)
        return self._of_inputs

    @override
    def get_recurrent_dropout_mask(self, step_input: Tensor) -> Tensor | None:
        """Draw, for all steps, what the state is multiplied with in the recurrent products; None without dropout."""
        self._of_states = self._draw(step_input, self.recurrent_dropout)
        return self._of_states

    @override
    def reset_dropout_mask(self) -> None:
        """Forget what was drawn for the inputs."""
        self._of_inputs = None

    @override
    def reset_recurrent_dropout_mask(self) -> None:
        """Forget what was drawn for the state."""
        self._of_states = None

    def dropout_factors(self, inputs: Tensor, state: Tensor | None) -> tuple[Tensor | None, Tensor | None]:
        """Return what inputs and state are multiplied with in a step of training; None for 1.

        Args:
            inputs: of the step.
            state: before it; None at rest, where there is nothing to drop.
        """
        of_inputs = self._draw(inputs, self.dropout) if self._of_inputs is None else self._of_inputs
        if state is None:
            return of_inputs, None
        return of_inputs, self._draw(state, self.recurrent_dropout) if self._of_states is None else self._of_states

    def _draw(self, like: Tensor, rate: float) -> Tensor | None:
        return keras.random.dropout(keras.ops.ones_like(like), rate, seed=self.seed_generator) if rate else None
