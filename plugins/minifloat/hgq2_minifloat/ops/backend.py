"""The operations on minifloats that each backend has: the one place where their signatures are declared."""

from __future__ import annotations

from abc import ABC, abstractmethod
from typing import Any

from hgq2_core.ops import Tensor
from hgq2_minifloat.ops.options import Options


class Backend(ABC):
    """Minifloats on the tensors of one backend."""

    @abstractmethod
    def quantize(
        self, x: Any, m: Any, e: Any, e0: Any, options: Options, uniform: Tensor | None = None
    ) -> tuple[Tensor, Tensor, Tensor]:
        """Quantize, and count the bits.

        Args:
            x: values.
            m: mantissa bits, with `e` and `e0` of size 1 on shared axes; used rounded half to even.
            e: exponent bits.
            e0: exponent offset.
            options: see `Options`.
            uniform: random numbers from [0, 1) of the shape of `x` for stochastic rounding; None for ties to even.

        Returns:
            The quantized values; the bits 1 + e + m, or 0 where m is below 0, of the shape of the bit variables; and
            the penalty, the sum of m, e and e0 times their regularizers. All have gradients.
        """

    @abstractmethod
    def binade(self, x: Any) -> Tensor:
        """Return the largest power of two within |x|, read from the bits; 0 for subnormal x."""
