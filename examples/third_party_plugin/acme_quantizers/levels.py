"""The schema of the levels quantizer. It imports no backend: checking a config file must not take seconds."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

from pydantic import Field

from hgq2_core import QuantizerConfig
from hgq2_core.quantizers.config import Granularity, Slot

if TYPE_CHECKING:
    from acme_quantizers.levels_quantizer import LevelsQuantizer


class Levels(QuantizerConfig):
    """2n + 1 equally spaced levels around zero, whose number is trained.

    A fixed-point format has a power of two of them; logic that is not built from bits, such as a table, need not.

    Args:
        n: first number of levels above zero.
        step_exponent: the levels are 2**step_exponent apart.
        n_max: upper bound of n; its lower bound is 0, which prunes.
        granularity: which values have an n of their own.
        trainable: whether gradients move n.
    """

    n: Annotated[float, Field(ge=0, le=1024)] = 7.0
    step_exponent: Annotated[int, Field(ge=-20, le=20)] = -2
    n_max: Annotated[int, Field(ge=0, le=1024)] = 63
    granularity: Granularity = "tensor"
    trainable: bool = True

    def build(self, slot: Slot | None = None) -> LevelsQuantizer:
        """Make the Keras quantizer."""
        from acme_quantizers.levels_quantizer import LevelsQuantizer

        return LevelsQuantizer(self, slot)
