"""The operations for backends whose compiler fuses them: over the formulas, and one differentiable function."""

from __future__ import annotations

from typing import Any

from typing_extensions import override

from hgq2_core.ops import Tensor
from hgq2_core.ops.protocol import Differentiable, Operations
from hgq2_fixed_point.formulas import Formulas, Mode
from hgq2_fixed_point.ops.backend import Backend
from hgq2_fixed_point.ops.options import Options
from hgq2_fixed_point.stochastic import Seed, draw


class CompiledBackend(Backend):
    """See `Backend`.

    Args:
        formulas: over the backend's operations.
        differentiable: `formulas.quantize`, with `formulas.gradients` for its gradients.
    """

    def __init__(self, formulas: Formulas, differentiable: Differentiable) -> None:
        self.formulas = formulas
        self.differentiable = differentiable

    @property
    def _xp(self) -> Operations:
        return self.formulas.xp

    @override
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
        mode = Mode(
            options.round_mode, options.overflow_mode, options.fixed_width, training, None, options.gradient_scale
        )
        x, k, i, precision = map(self._xp.tensor, (x, k, i, precision))
        q = self.differentiable(x, k, i, precision, draw(x, mode.round_mode, seed), mode)
        return q, *self._cost(i, precision, options)

    @override
    def quantize_dynamic(
        self, x: Any, precision: Any, options: Options, *, seed: Seed | None = None
    ) -> tuple[Tensor, Tensor, Tensor]:
        upper = float(round(options.bounds[1]))
        mode = Mode(options.round_mode, "SAT", options.fixed_width, False, upper, options.gradient_scale)
        x, k, precision = map(self._xp.tensor, (x, float(options.signed), precision))
        u = draw(x, mode.round_mode, seed)
        i = self._min_integer_bits(x, precision, options, mode, u)
        return self.differentiable(x, k, i, precision, u, mode), *self._cost(i, precision, options)

    @override
    def quantize_observed(
        self, x: Any, k: Any, i: Any, precision: Any, options: Options, decay: float, *, seed: Seed | None = None
    ) -> tuple[Tensor, Tensor, Tensor, Tensor, Tensor]:
        xp = self._xp
        mode = Mode(options.round_mode, "WRAP", options.fixed_width, True, None, options.gradient_scale)
        x, k, i, precision = map(xp.tensor, (x, k, i, precision))
        u = draw(x, mode.round_mode, seed)
        seen, bits = xp.stop_gradient(x), xp.stop_gradient(precision)
        smallest = self.formulas.min_integer_bits(seen, bits, options.axes, True, mode, u)
        i = self._bounded(xp.maximum(xp.cast(i - decay, xp.dtype(smallest)), smallest), options.bounds)
        k = xp.maximum(k, xp.cast(self.formulas.negative(seen, k, i, bits, options.axes, mode, u), "float32"))
        return self.differentiable(x, k, i, precision, u, mode), *self._cost(i, precision, options), i, k

    @override
    def min_integer_bits(self, x: Any, precision: Any, options: Options) -> Tensor:
        mode = Mode(options.round_mode, "SAT", options.fixed_width)
        return self._min_integer_bits(self._xp.tensor(x), self._xp.tensor(precision), options, mode)

    @override
    def round_bits(self, v: Any) -> Tensor:
        v = self._xp.tensor(v)
        return v + self._xp.stop_gradient(self._xp.half_even(v) - v)  # exact: the difference has fewer bits than v

    @override
    def clipped_bits(self, v: Any, offset: Any = 0.0) -> Tensor:
        return self._xp.relu(self.round_bits(v) + offset)

    def _min_integer_bits(
        self, x: Tensor, precision: Tensor, options: Options, mode: Mode, u: Tensor | None = None
    ) -> Tensor:
        x, precision = self._xp.stop_gradient(x), self._xp.stop_gradient(precision)
        return self._bounded(
            self.formulas.min_integer_bits(x, precision, options.axes, options.signed, mode, u), options.bounds
        )

    def _bounded(self, i: Tensor, bounds: tuple[float, float]) -> Tensor:
        lower, upper = bounds
        return self._xp.cast(self._xp.minimum(self._xp.maximum(i, float(lower)), float(upper)), "float32")

    def _cost(self, i: Tensor, precision: Tensor, options: Options) -> tuple[Tensor, Tensor]:
        """Return the bits that EBOPs count, and the penalty."""
        offset = options.sign_bits if options.fixed_width else self.round_bits(i) + options.sign_bits
        for_i, for_precision = options.regularizers
        penalty = for_i * self._xp.sum(i) + for_precision * self._xp.sum(precision)
        return self.clipped_bits(precision, offset), penalty
