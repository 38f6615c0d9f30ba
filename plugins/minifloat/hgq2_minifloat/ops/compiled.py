"""The operations for backends whose compiler fuses them: over the formulas, and one differentiable function."""

from __future__ import annotations

from typing import Any

from typing_extensions import override

from hgq2_core.ops import Tensor
from hgq2_core.ops.protocol import Differentiable
from hgq2_minifloat.formulas import Formulas, Mode
from hgq2_minifloat.ops.backend import Backend
from hgq2_minifloat.ops.options import Options


class CompiledBackend(Backend):
    """See `Backend`.

    Args:
        formulas: over the backend's operations.
        differentiable: `formulas.quantize`, with `formulas.gradients` for its gradients.
    """

    def __init__(self, formulas: Formulas, differentiable: Differentiable) -> None:
        self.formulas = formulas
        self.differentiable = differentiable

    @override
    def quantize(
        self, x: Any, m: Any, e: Any, e0: Any, options: Options, uniform: Tensor | None = None
    ) -> tuple[Tensor, Tensor, Tensor]:
        xp = self.formulas.xp
        x, m, e, e0 = map(xp.tensor, (x, m, e, e0))
        mode = Mode(options.max_value, options.overflow_gradient, options.gradient_scale)
        q = self.differentiable(x, m, e, e0, uniform, mode)
        nonempty = xp.cast(xp.half_even(m) >= 0, xp.dtype(m))
        bits = (self._rounded(m) + self._rounded(e) + 1.0) * xp.stop_gradient(nonempty)
        penalty = sum(
            coefficient * xp.sum(field) for coefficient, field in zip(options.regularizers, (m, e, e0), strict=True)
        )
        return q, bits, penalty

    @override
    def binade(self, x: Any) -> Tensor:
        return self.formulas.xp.binade(self.formulas.xp.tensor(x))

    def _rounded(self, bits: Tensor) -> Tensor:
        """Round half to even, straight through."""
        # Exact: the difference has fewer bits than the number.
        return bits + self.formulas.xp.stop_gradient(self.formulas.xp.half_even(bits) - bits)
