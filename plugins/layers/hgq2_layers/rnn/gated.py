"""What GRU and LSTM share: gates, which are separate functions."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import keras
import numpy as np
from typing_extensions import override

from hgq2_core.layers.arguments import QuantizerArg
from hgq2_core.ops import Tensor
from hgq2_layers.activations.nonlinearity import Nonlinearity
from hgq2_layers.rnn.step import RecurrentStep


class GatedStep(RecurrentStep, kw_only=True):
    """A step with gates.

    A subclass has the argument `recurrent_activation` too, where Keras takes it.

    Args:
        recurrent_activation_quantizer: of what goes into the gates: a config, a kind, a mapping, or None for the
            default of activations, saturating.
        recurrent_activation_table_quantizer: of the entries of the gates' table: a config, a kind, a mapping, or None
            for the default of tables.
        **kwargs: as in `RecurrentStep`.
    """

    gating_width = 2
    """How many gates there are."""

    recurrent_activation_quantizer: QuantizerArg = None
    recurrent_activation_table_quantizer: QuantizerArg = None

    @override
    def setup(self) -> None:
        super().setup()
        self.recurrent_activation_quantizer = self.add_step_quantizer(
            self.recurrent_activation_quantizer, "recurrent_activation"
        )
        self.gating = Nonlinearity(
            self,
            self.recurrent_activation,
            "recurrent_activation_table",
            self.recurrent_activation_quantizer,
            self.recurrent_activation_table_quantizer,
        )
        self.recurrent_activation_table_quantizer = self.gating.table_quantizer

    @override
    def nonlinearities(self) -> Sequence[Nonlinearity]:
        """Return the functions of the candidate and of the gates."""
        return [self.candidate, self.gating]

    @override
    def step_widths(self) -> Mapping[str, int]:
        """Return the sizes of what is quantized inside a step, by slot."""
        return {**super().step_widths(), "recurrent_activation": self.gating_width * self.units}

    def gate_bits(self) -> list[Tensor]:
        """Return the bits of each gate."""
        bits = self.spread(self.gating, self.gating_width)
        return [bits[n * self.units : (n + 1) * self.units] for n in range(self.gating_width)]

    def spread(self, function: Nonlinearity, width: int = 1) -> Tensor:
        """Return the bits of a function's values, one for each element."""
        return keras.ops.broadcast_to(function.bits(), (width * self.units,))


def columns(index: int, units: int, count: int = 1) -> Any:
    """Return the columns of one gate, or of several in a row."""
    return np.arange(index * units, (index + count) * units)
