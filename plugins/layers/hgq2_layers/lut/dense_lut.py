"""Dense layers of lookup tables."""

from __future__ import annotations

from typing import TypeVar

from typing_extensions import override

from hgq2_core import ConfigError
from hgq2_core.exact.arrays import Arrays
from hgq2_core.layers.arguments import ActivationArg, PositiveInt
from hgq2_core.ops import Tensor
from hgq2_layers.lut.table_network import LUTLayer

A = TypeVar("A")


class QDenseLUT(LUTLayer):
    """y_o = oq(act(sum over i of tq(f_io(iq(x_i))))), over the last axis.

    Args:
        units: size of the output's last axis.
        activation: act, `linear` (None) or `relu`.
        **kwargs: networks and quantizers as in `LUTLayer`.

    Example:
        >>> layer = QDenseLUT(16, table_quantizer=KBI(b=6, granularity="element"))
    """

    units: PositiveInt
    activation: ActivationArg = None

    @override
    def build(self, input_shape: tuple[int | None, ...]) -> None:
        """Add the networks.

        Args:
            input_shape: `(batch, ..., features)`; the features need a static size.

        Raises:
            ConfigError: the last axis has no static size.
        """
        if input_shape[-1] is None or len(input_shape) < 2:
            raise ConfigError(
                f"{self.name}: the last axis of the input, besides the batch, needs a static size. "
                f"Received: {input_shape}."
            )
        self.build_parts(tuple(input_shape), tuple(input_shape), self.units)

    def compute_output_shape(self, input_shape: tuple[int | None, ...]) -> tuple[int | None, ...]:
        """Replace the last axis by the units."""
        return (*input_shape[:-1], self.units)

    @override
    def windows(self, x: Tensor) -> Tensor:
        """Return the input: each output has all of the last axis."""
        return x

    @override
    def exact_windows(self, arrays: Arrays[A], x: A) -> A:
        return x
