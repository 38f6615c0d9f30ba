"""The projections of an attention layer, and the arguments that name their quantizers."""

from __future__ import annotations

import math
from typing import Any

from hgq2_layers.core.einsum_dense import QEinsumDense
from hgq2_layers.core.equation import Equation

Tensor = Any


class Projection(QEinsumDense):
    """A QEinsumDense, some of whose positions the hardware computes at once."""

    share = 1.0
    """Of its positions, which the cost counts."""

    def spell(self, equation: str, output_shape: tuple[int, ...], bias_axes: str | None) -> None:
        """Replace the equation, before the layer is built, by one whose kernel has the same first axes."""
        self.equation, self.output_shape, self.bias_axes = equation, output_shape, bias_axes
        self._parsed = Equation.parse(equation)

    def build_share(self, input_shape: tuple[int | None, ...], contracted: int, parallel: int | None) -> None:
        """Build, and set the share.

        Args:
            input_shape: batch axis included, the others of static size.
            contracted: how many of the last axes are no positions.
            parallel: positions computed at once; None for all.
        """
        positions = math.prod(input_shape[1 : len(input_shape) - contracted])  # type: ignore[arg-type]
        self.share = 1.0 if parallel is None else min(1.0, parallel / positions)
        self.build(input_shape)

    def ebops(self) -> Tensor:
        """Return the cost of the share."""
        return super().ebops() * self.share


class SlotOf:
    """A quantizer argument of a layer, whose quantizer belongs to a sublayer.

    Args:
        layer: the sublayer's attribute, which may be None.
        slot: the quantizer's attribute there.
    """

    def __init__(self, layer: str, slot: str) -> None:
        self.layer, self.slot = layer, slot

    def __get__(self, owner: Any, cls: type) -> Any:
        """Return the quantizer; None where the layer shares another's."""
        return None if owner is None else getattr(getattr(owner, self.layer), self.slot, None)
