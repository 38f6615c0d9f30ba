"""The functions of `ops` for backends whose compiler fuses them, over the formulas and one differentiable function."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from .formulas import Formulas, Mode, Operations
from .modes import OverflowMode, RoundMode, check_modes
from .stochastic import Seed, draw, training_seed

Tensor = Any


@dataclass(frozen=True)
class Functions:
    """See `hgq2_fixed_point.ops`; the arguments are the same.

    Args:
        formulas: over the backend's operations.
        differentiable: `formulas.quantize`, with `formulas.gradients` for its gradients.
    """

    formulas: Formulas
    differentiable: Callable[[Tensor, Tensor, Tensor, Tensor, Tensor | None, Mode], Tensor]

    @property
    def _xp(self) -> Operations:
        return self.formulas.xp

    def _quantize(self, x: Any, k: Any, i: Any, fraction: Any, mode: Mode, seed: Seed | None) -> Tensor:
        check_modes(mode.round_mode, mode.overflow_mode)
        x, k, i, fraction = map(self._xp.tensor, (x, k, i, fraction))
        return self.differentiable(x, k, i, fraction, draw(x, mode.round_mode, seed), mode)

    def quantize(
        self,
        x: Any,
        k: Any,
        i: Any,
        f: Any,
        round_mode: RoundMode = "RND",
        overflow_mode: OverflowMode = "WRAP",
        *,
        training: bool = False,
        seed: Seed | None = None,
    ) -> Tensor:
        """See `hgq2_fixed_point.ops.quantize`."""
        mode = Mode(round_mode, overflow_mode, training=training)
        return self._quantize(x, k, i, f, mode, training_seed(round_mode, training, seed))

    def quantize_kbi(
        self,
        x: Any,
        k: Any,
        b: Any,
        i: Any,
        round_mode: RoundMode = "RND",
        overflow_mode: OverflowMode = "WRAP",
        *,
        training: bool = False,
        seed: Seed | None = None,
    ) -> Tensor:
        """See `hgq2_fixed_point.ops.quantize_kbi`."""
        mode = Mode(round_mode, overflow_mode, by_width=True, training=training)
        return self._quantize(x, k, i, b, mode, training_seed(round_mode, training, seed))

    def quantize_counted(
        self,
        x: Any,
        k: Any,
        i: Any,
        fraction: Any,
        round_mode: RoundMode,
        overflow_mode: OverflowMode,
        *,
        by_width: bool,
        offset: float,
        regularizers: tuple[float, float],
        gradient_scale: float = 1.0,
        seed: Seed | None = None,
    ) -> tuple[Tensor, Tensor, Tensor]:
        """See `hgq2_fixed_point.ops.quantize_counted`."""
        mode = Mode(round_mode, overflow_mode, by_width, gradient_scale=gradient_scale)
        return self._quantize(x, k, i, fraction, mode, seed), *self._cost(i, fraction, by_width, offset, regularizers)

    def _cost(
        self, i: Any, fraction: Any, by_width: bool, offset: float, regularizers: tuple[float, float]
    ) -> tuple[Tensor, Tensor]:
        """The bits that the cost counts, and what i and the fraction pay by themselves."""
        i, fraction = self._xp.tensor(i), self._xp.tensor(fraction)
        bits = self.clipped_bits(fraction, offset if by_width else self.round_bits(i) + offset)
        return bits, regularizers[0] * self._xp.total(i) + regularizers[1] * self._xp.total(fraction)

    def round_bits(self, v: Any) -> Tensor:
        """See `hgq2_fixed_point.ops.round_bits`."""
        v = self._xp.tensor(v)
        return v + self._xp.constant(self._xp.half_even(v) - v)  # exact: the difference has fewer bits than v

    def clipped_bits(self, v: Any, offset: Any = 0.0) -> Tensor:
        """See `hgq2_fixed_point.ops.clipped_bits`."""
        return self._xp.relu(self.round_bits(v) + offset)

    def follow(
        self,
        x: Any,
        fraction: Any,
        *,
        by_width: bool,
        signed: bool,
        round_mode: RoundMode,
        axes: tuple[int, ...],
        bounds: tuple[float, float],
        u: Tensor | None = None,
    ) -> Tensor:
        """See `hgq2_fixed_point.ops.follow`."""
        x, fraction = (self._xp.constant(self._xp.tensor(v)) for v in (x, fraction))
        i = self.formulas.needed(x, fraction, axes, signed, Mode(round_mode, "SAT", by_width), u)
        return self._bounded(i, bounds)

    def _bounded(self, i: Tensor, bounds: tuple[float, float]) -> Tensor:
        lower, upper = bounds
        return self._xp.cast(self._xp.minimum(self._xp.maximum(i, float(lower)), float(upper)), "float32")

    def quantize_following(
        self,
        x: Any,
        fraction: Any,
        *,
        by_width: bool,
        signed: bool,
        round_mode: RoundMode,
        axes: tuple[int, ...],
        bounds: tuple[float, float],
        regularizer: float,
        gradient_scale: float = 1.0,
        seed: Seed | None = None,
    ) -> tuple[Tensor, Tensor, Tensor]:
        """See `hgq2_fixed_point.ops.quantize_following`."""
        mode = Mode(round_mode, "SAT", by_width, upper=float(round(bounds[1])), gradient_scale=gradient_scale)
        check_modes(mode.round_mode, mode.overflow_mode)
        x, k, fraction = map(self._xp.tensor, (x, float(signed), fraction))
        u = draw(x, round_mode, seed)
        i = self.follow(
            x, fraction, by_width=by_width, signed=signed, round_mode=round_mode, axes=axes, bounds=bounds, u=u
        )
        q = self.differentiable(x, k, i, fraction, u, mode)
        return q, *self._cost(i, fraction, by_width, 0.0, (0.0, regularizer))

    def quantize_tracking(
        self,
        x: Any,
        k: Any,
        i: Any,
        fraction: Any,
        round_mode: RoundMode,
        *,
        by_width: bool,
        axes: tuple[int, ...],
        decay: float,
        bounds: tuple[float, float],
        regularizer: float,
        gradient_scale: float = 1.0,
        seed: Seed | None = None,
    ) -> tuple[Tensor, Tensor, Tensor, Tensor, Tensor]:
        """See `hgq2_fixed_point.ops.quantize_tracking`."""
        xp, mode = self._xp, Mode(round_mode, "WRAP", by_width, training=True, gradient_scale=gradient_scale)
        check_modes(mode.round_mode, mode.overflow_mode)
        x, k, i, fraction = map(xp.tensor, (x, k, i, fraction))
        u = draw(x, round_mode, seed)
        seen, bits = xp.constant(x), xp.constant(fraction)
        needed = self.formulas.needed(seen, bits, axes, True, mode, u)
        i = self._bounded(xp.maximum(xp.cast(i - decay, xp.dtype(needed)), needed), bounds)
        k = xp.maximum(k, xp.cast(self.formulas.negative(seen, k, i, bits, axes, mode, u), "float32"))
        q = self.differentiable(x, k, i, fraction, u, mode)
        return q, *self._cost(i, fraction, by_width, 0.0, (0.0, regularizer)), i, k
