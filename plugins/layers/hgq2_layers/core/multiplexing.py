"""Time-multiplexing: how many of a layer's positions the hardware computes at once, and so how much of its cost."""

from __future__ import annotations

import math
from abc import abstractmethod
from collections.abc import Sequence
from typing import Annotated

from pydantic import Field

from hgq2_core import ConfigError, QLayer
from hgq2_core.layers.arguments import PositiveInt
from hgq2_core.ops import Tensor

Factor = Annotated[float, Field(gt=0, allow_inf_nan=False)]


class MultiplexedLayer(QLayer, kw_only=True):
    """A layer that computes the same at every position of its output, and need not compute all of them at once.

    Args:
        parallelization_factor: how many output positions the hardware computes at once, for the cost; None for all.
        ebops_factor: by which the layer's own EBOPs are multiplied besides, such as a share of its time.
    """

    parallelization_factor: PositiveInt | None = None
    ebops_factor: Factor = 1.0

    @abstractmethod
    def position_sizes(self) -> Sequence[int | None]:
        """Return the sizes of the output's axes that are neither the batch's nor the kernel's, once built."""

    def positions(self) -> int:
        """Return how many positions there are; an axis without static size counts once, as in the cost."""
        return math.prod(size or 1 for size in self.position_sizes())

    def require_positions(self) -> None:
        """Refuse more positions at once than there are; for a subclass's `build`.

        Raises:
            ConfigError: such a factor.
        """
        positions = self.positions()
        if (self.parallelization_factor or 1) > positions:
            raise ConfigError(
                f"{self.name}: parallelization_factor is at most the number of output positions. "
                f"Received: parallelization_factor={self.parallelization_factor}. Allowed: 1 to {positions}."
            )

    def multiplexed(self, cost: Tensor) -> Tensor:
        """Return the part of a cost that stands in hardware at once.

        Args:
            cost: EBOPs of all positions.
        """
        parallel = self.parallelization_factor
        share = self.ebops_factor if parallel is None else self.ebops_factor * parallel / self.positions()
        return cost if share == 1.0 else cost * share
