"""The formulas of minifloat quantization, for backends whose compiler fuses them: jax and tensorflow.

Every step is exact, or is rounded where the definition rounds: products and quotients with powers of two, rounding to
integers. So a compiler may contract or reorder them, and the results stay the same.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import NamedTuple

from hgq2_core.ops import Tensor
from hgq2_core.ops.layout import LAYOUTS
from hgq2_core.ops.protocol import Operations

LN2 = math.log(2.0)


@dataclass(frozen=True)
class Mode:
    """The settings of the quantization that are not tensors.

    Args:
        max_value: the largest value where the top codes are reserved.
        overflow_gradient: gradient for x of what saturates, 0 or 1.
        gradient_scale: factor of the gradients for m, e and e0.
    """

    max_value: float = math.inf
    overflow_gradient: int = 0
    gradient_scale: float = 1.0


class _Format(NamedTuple):
    """Formats in the dtype of the values, as powers of two.

    Half of the number of exponents; the smallest normal value, 2^emin; 2^emax; 2^m; the step between 1 and 2, 2^-m;
    and the largest value.
    """

    half_range: Tensor
    min_normal: Tensor
    max_binade: Tensor
    scale: Tensor
    ulp: Tensor
    largest: Tensor


@dataclass(frozen=True)
class Formulas:
    """The table of docs/numerics.md#5 over a backend's operations; nothing here is differentiated.

    Args:
        xp: the backend's operations.
    """

    xp: Operations

    def _format(self, x: Tensor, m: Tensor, e: Tensor, e0: Tensor, mode: Mode, least: float = -math.inf) -> _Format:
        xp, dtype = self.xp, self.xp.dtype(x)
        m, e, e0 = (xp.half_even(xp.cast(bits, dtype)) for bits in (m, e, e0))
        m = m if least == -math.inf else xp.maximum(m, least)
        emax = LAYOUTS[dtype].emax
        half_range = xp.exp2(xp.maximum(e - 1.0, 0.0), dtype)
        min_normal = xp.exp2(xp.maximum(1.0 - half_range + e0, 1.0 - emax), dtype)
        max_binade = xp.exp2(xp.minimum(half_range - 1.0 + e0, emax), dtype)
        scale, ulp = xp.exp2(m, dtype), xp.exp2(-m, dtype)
        largest = xp.maximum(xp.cast(e > 0, dtype) + 1.0 - ulp, 0.0) * max_binade
        largest = largest if mode.max_value == math.inf else xp.minimum(largest, mode.max_value)
        return _Format(half_range, min_normal, max_binade, scale, ulp, largest)

    def quantize(self, x: Tensor, m: Tensor, e: Tensor, e0: Tensor, uniform: Tensor | None, mode: Mode) -> Tensor:
        """Saturate, then round; NaN propagates, because it fails every comparison."""
        xp, fmt = self.xp, self._format(x, m, e, e0, mode)
        # The largest value is one of the format: saturated first, nothing rounds beyond it.
        clipped = xp.where(x > fmt.largest, fmt.largest, xp.where(x < -fmt.largest, -fmt.largest, x))
        base = xp.maximum(xp.binade(clipped), fmt.min_normal)
        # A quotient and a product, each time: compilers join two of a kind, and base 2^-m may be no normal number.
        z = clipped / base * fmt.scale
        below = xp.floor(z)
        r = xp.half_even(z) if uniform is None else below + xp.cast(uniform < z - below, xp.dtype(x))
        return r / fmt.scale * base

    def gradients(
        self, grad: Tensor, x: Tensor, q: Tensor, m: Tensor, e: Tensor, e0: Tensor, mode: Mode
    ) -> tuple[Tensor, Tensor, Tensor, Tensor]:
        """Return the table of docs/numerics.md#5 times the upstream gradient: for x, m, e and e0."""
        # Pruned formats keep the range of m = 0, and so a gradient.
        xp, fmt, ln2 = self.xp, self._format(x, m, e, e0, mode, least=0.0), LN2 * mode.gradient_scale
        beyond = (x > fmt.largest) | (x < -fmt.largest)
        subnormal = (x < fmt.min_normal) & (x > -fmt.min_normal)
        below = x - q
        of_x = grad if mode.overflow_gradient else xp.where(beyond, 0.0, grad)
        of_m = grad * xp.where(beyond, xp.sign(x) * fmt.max_binade * fmt.ulp, below)
        fine = xp.where(subnormal, below, 0.0 * q)
        of_e = grad * xp.where(beyond, q, fine) * fmt.half_range
        of_e0 = grad * xp.where(beyond, q, -fine)
        return (
            xp.sum_to(of_x, x),
            xp.sum_to(of_m, m) * ln2,
            xp.sum_to(of_e, e) * (ln2 * LN2),
            xp.sum_to(of_e0, e0) * ln2,
        )
