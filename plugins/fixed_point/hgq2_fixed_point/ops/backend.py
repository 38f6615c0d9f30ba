"""The operations on fixed-point formats that each backend has: the one place where their signatures are declared."""

from __future__ import annotations

from abc import ABC, abstractmethod
from typing import Any

from hgq2_core.ops import Tensor
from hgq2_fixed_point.ops.options import Options
from hgq2_fixed_point.stochastic import Seed


class Backend(ABC):
    """Fixed point on the tensors of one backend.

    Throughout, `x` are values, `k` the sign (1 or 0), `i` the integer bits without the sign, and `precision` is f, or b
    with `options.fixed_width`; bits have size 1 on the axes along which they are shared, and are used rounded half to
    even with a straight-through gradient. With a `seed`, stochastic modes draw. The *penalty* is the sum of i and of
    the precision times their regularizers, a scalar; *bits* are those that EBOPs count, of the shape of the bit
    variables.
    """

    @abstractmethod
    def quantize(
        self,
        x: Any,
        k: Any,
        i: Any,
        precision: Any,
        options: Options,
        *,
        training: bool = False,
        seed: Seed | None = None,
    ) -> tuple[Tensor, Tensor, Tensor]:
        """Quantize to a given format.

        Args:
            x: values.
            k: sign.
            i: integer bits.
            precision: f or b.
            options: modes, already checked, and what the cost counts.
            training: whether values that wrap are only rounded.
            seed: for stochastic modes.

        Returns:
            The quantized values; the bits max(0, i + f + sign_bits); and the penalty. All have gradients.
        """

    @abstractmethod
    def quantize_dynamic(
        self, x: Any, precision: Any, options: Options, *, seed: Seed | None = None
    ) -> tuple[Tensor, Tensor, Tensor]:
        """Quantize with the smallest i that holds the present values, see docs/numerics.md#3.

        Inside its own range a value never wraps; beyond the upper bound on i it saturates.

        Args:
            x: values.
            precision: f or b.
            options: see `Options`.
            seed: for stochastic modes; i holds what they have drawn.

        Returns:
            The quantized values, the bits max(0, i + f), and the penalty, with gradients for x and the precision.
        """

    @abstractmethod
    def quantize_observed(
        self, x: Any, k: Any, i: Any, precision: Any, options: Options, decay: float, *, seed: Seed | None = None
    ) -> tuple[Tensor, Tensor, Tensor, Tensor, Tensor]:
        """Update an observed range by the present values, and quantize with it, rounded: see docs/numerics.md#3.

        The new i is max(i - decay, what the values need after rounding) within bounds; the new k is 1 where it was or
        where a value is negative.

        Args:
            x: values.
            k: present sign, of the shape of the bits.
            i: present integer bits.
            precision: f or b.
            options: see `Options`.
            decay: how far i sinks.
            seed: for stochastic modes; i holds what they have drawn.

        Returns:
            The quantized values, the bits and the penalty, with gradients for x and the precision; the new i and k,
            float32, of the shape of the bits.
        """

    @abstractmethod
    def min_integer_bits(self, x: Any, precision: Any, options: Options) -> Tensor:
        """Return the smallest i that holds the values after rounding, within bounds, without gradient.

        Args:
            x: values.
            precision: f; or b, and then f = b - i for the i being tried.
            options: see `Options`.

        Returns:
            i, float32, of the shape of the bits; the lower bound where no value is nonzero.
        """

    @abstractmethod
    def round_bits(self, v: Any) -> Tensor:
        """Round bits half to even, with the gradient of the identity."""

    @abstractmethod
    def clipped_bits(self, v: Any, offset: Any = 0.0) -> Tensor:
        """Return max(0, round(v) + offset), with gradient 1 where that is positive and 0 elsewhere.

        Args:
            v: bits, float.
            offset: whole bits to add, such as the sign; broadcasts against `v`, and gets the same gradient.
        """
