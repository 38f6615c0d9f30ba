"""How the multipliers of a layer are shared, in hls4ml's words."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Annotated, Literal

from pydantic import Field

from hgq2_core.schema.base import StrictModel


class Sharing(StrictModel):
    """How products with constants are built.

    Args:
        strategy: `Latency` makes logic of each product, `Resource` shares multipliers.
        reuse_factor: how many products share a multiplier.
        parallelization_factor: how many positions of a convolution, or of another product of several rows, are computed
            at once; None for all with `Latency` and for one with `Resource`.
    """

    strategy: Literal["Latency", "Resource"] = "Latency"
    reuse_factor: Annotated[int, Field(ge=1)] = 1
    parallelization_factor: Annotated[int, Field(ge=1)] | None = None

    @property
    def by_positions(self) -> bool:
        """Whether positions are computed in turn, by a loop."""
        return self.strategy == "Resource" or self.parallelization_factor is not None

    def differences(self, reuse_factor: int, parallelization_factor: int | None) -> Iterable[str]:
        """Yield what hls4ml uses in place of what was asked for.

        Args:
            reuse_factor: that it uses.
            parallelization_factor: that it uses; None for a layer of one position.
        """
        if reuse_factor != self.reuse_factor:
            yield f"reuse_factor {reuse_factor}"
        if parallelization_factor not in (None, self.parallelization_factor or 1):
            yield f"parallelization_factor {parallelization_factor}"
