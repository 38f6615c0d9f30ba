"""The projections of an attention layer, and the arguments that name their quantizers."""

from __future__ import annotations

import math
import string
from typing import Any

from hgq2_layers.core.einsum_dense import QEinsumDense
from hgq2_layers.core.equation import Equation


class Projection(QEinsumDense):
    """A QEinsumDense, some of whose positions the hardware computes at once."""

    def build_share(self, input_shape: tuple[int | None, ...], features: int, parallel: int | None) -> None:
        """Build, with the positions that the hardware computes at once.

        Args:
            input_shape: batch axis included, the others of static size.
            features: how many of the last axes are no positions.
            parallel: positions computed at once; None for all, which it is where there are fewer.
        """
        positions = math.prod(input_shape[1 : len(input_shape) - features])  # type: ignore[arg-type]
        self.parallelization_factor = None if parallel is None else min(parallel, positions)
        self.build(input_shape)

    def build_onto(
        self, sizes: tuple[int, ...], input_shape: tuple[int | None, ...], features: int, parallel: int | None
    ) -> None:
        """Build for an output whose last axes only the shape of the input determines; see `build_share`.

        Args:
            sizes: of the output's last axes, in place of the one of `equation`.
            input_shape: batch axis included, the others of static size.
            features: how many of the last axes are no positions.
            parallel: positions computed at once; None for all.
        """
        # The kernel has the same first axes.
        letters = string.ascii_lowercase[2 : 2 + len(sizes)]
        self.equation, self.output_shape = f"...ab,ab{letters}->...{letters}", sizes
        self.bias_axes = letters if self.bias_axes else None
        self._parsed = Equation.parse(self.equation)
        self.build_share(input_shape, features, parallel)


class SlotOf:
    """The default of a quantizer argument whose quantizer belongs to a sublayer.

    Until the sublayer is made, the config is where any other argument is; `pop_arguments` takes it away from there.

    Args:
        layer: the sublayer's attribute, which may be None.
        slot: the quantizer's attribute there.
    """

    default = None
    """What the constructor has for it; see `hgq2_core.schema.fields`."""

    def __init__(self, layer: str, slot: str) -> None:
        self.layer, self.slot = layer, slot

    def __get__(self, owner: Any, cls: type) -> Any:
        """Return the quantizer; None where the layer shares another's."""
        return None if owner is None else getattr(getattr(owner, self.layer), self.slot, None)


def pop_arguments(layer: Any, *arguments: str) -> list[Any]:
    """Return the configs that a layer was given for the quantizers of a sublayer, which it then reads from there.

    Args:
        layer: in its `setup`.
        arguments: names of those with a `SlotOf`.
    """
    return [vars(layer).pop(name) for name in arguments]
