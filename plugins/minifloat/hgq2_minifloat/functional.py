"""The functions of `ops` for backends whose compiler fuses them, over the formulas and one differentiable function."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from .formulas import Formulas, Mode

Tensor = Any


@dataclass(frozen=True)
class Functions:
    """See `hgq2_minifloat.ops`; the arguments are the same.

    Args:
        formulas: over the backend's operations.
        differentiable: `formulas.quantize`, with `formulas.gradients` for its gradients.
    """

    formulas: Formulas
    differentiable: Callable[[Tensor, Tensor, Tensor, Tensor, Tensor | None, Mode], Tensor]

    def quantize_counted(
        self,
        x: Any,
        m: Any,
        e: Any,
        e0: Any,
        uniform: Tensor | None = None,
        *,
        max_value: float = math.inf,
        overflow_gradient: int = 0,
        regularizers: tuple[float, float, float] = (0.0, 0.0, 0.0),
        gradient_scale: float = 1.0,
    ) -> tuple[Tensor, Tensor, Tensor]:
        """See `hgq2_minifloat.ops.quantize_counted`."""
        xp = self.formulas.xp
        x, m, e, e0 = map(xp.tensor, (x, m, e, e0))
        q = self.differentiable(x, m, e, e0, uniform, Mode(max_value, overflow_gradient, gradient_scale))
        left = xp.cast(xp.half_even(m) >= 0, xp.dtype(m))
        bits = (self._rounded(m) + self._rounded(e) + 1.0) * xp.constant(left)
        paid = sum(coefficient * xp.total(bits) for coefficient, bits in zip(regularizers, (m, e, e0), strict=True))
        return q, bits, paid

    def _rounded(self, bits: Tensor) -> Tensor:
        """Round half to even, straight through."""
        # Exact: the difference has fewer bits than the number.
        return bits + self.formulas.xp.constant(self.formulas.xp.half_even(bits) - bits)
