"""Quantization with the smallest range that holds the present values."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

from ...modes import RoundMode
from ...stochastic import Seed, draw
from .arithmetic import NOTHING, highest_integer, number, on_grid, power, power_below
from .bits import count_gradient, paid_by
from .gradients import ln2, plus, plus_everywhere, split_at_range, sum_to
from .operands import as_tensor, as_values
from .ranges import extremes, follow, integer_bits


def _near_range(x: Tensor, width: Tensor, bounds: tuple[float, float]) -> Tensor:
    """2^i with an i for each value that rounds it as the smallest one does.

    With 2^(e-1) <= |x| < 2^e it is e: a carry to 2^e, or a -2^(e-1) that a smaller i would hold, is the same number on
    either grid. Only where no bits are left beside the sign, and so nothing positive fits, -2^(e-1) must be on it, too.
    """
    lower, upper = (2.0 ** round(bound) for bound in bounds)
    return power_below(x).mul_(width.clamp(max=2.0)).clamp_(lower, upper)


class _QuantizeFollowing(torch.autograd.Function):
    """Quantize with the smallest i that holds the present values; beyond the upper bound on i they saturate."""

    @staticmethod
    def forward(
        ctx: Any,
        x: Tensor,
        fraction: Tensor,
        signed: bool,
        round_mode: str,
        by_width: bool,
        axes: tuple[int, ...],
        bounds: tuple[float, float],
        regularizer: float,
        gradient_scale: float,
        u: Tensor | None,
    ) -> tuple[Tensor, Tensor, Tensor]:
        ctx.set_materialize_grads(False)
        ctx.regularizer, ctx.ln2 = regularizer, ln2(gradient_scale)
        ctx.signed, ctx.by_width, ctx.axes, ctx.bounds = signed, by_width, axes, bounds
        scale = width = power(fraction, x.dtype)
        if by_width and axes:
            i = follow(x, fraction, by_width=True, signed=signed, round_mode=round_mode, axes=axes, bounds=bounds, u=u)
            scale = width / power(i, x.dtype)
        elif by_width:
            scale = width / _near_range(x, width, bounds)
        q, step = on_grid(x, scale if by_width else scale.clone(), round_mode, u)
        bits = fraction.to(x.dtype).round() if by_width else _counted(q, fraction, signed, axes, bounds)
        q.mul_(step)
        # Smaller i hold what they round; at its upper bound, i holds what fits, and that is the range.
        lowest, highest, _ = _limits(width, by_width, signed, bounds)
        q.clamp_(lowest, highest)
        if any(ctx.needs_input_grad):
            ctx.save_for_backward(x, q, fraction)
        return q, bits.to(torch.float32).relu_(), paid_by(fraction, fraction, (0.0, regularizer))

    @staticmethod
    def backward(
        ctx: Any, grad: Tensor | None, grad_bits: Tensor | None, grad_paid: Tensor | None
    ) -> tuple[Tensor | None, ...]:
        x, q, fraction = ctx.saved_tensors
        grad_x = grad_fraction = None
        needs_x, needs_fraction, *_ = ctx.needs_input_grad
        if grad is not None:
            grad_x, d = _gradients(ctx, grad)
            grad_fraction = sum_to(d, fraction.shape).mul_(ctx.ln2) if needs_fraction else None
        if needs_fraction and grad_bits is not None:
            width = power(fraction, x.dtype)
            bits = fraction.round() if ctx.by_width else _counted(q * width, fraction, ctx.signed, ctx.axes, ctx.bounds)
            grad_fraction = plus(grad_fraction, sum_to(count_gradient(grad_bits, bits), fraction.shape))
        if needs_fraction and grad_paid is not None:
            grad_fraction = plus_everywhere(grad_fraction, grad_paid, ctx.regularizer, fraction.shape)
        return grad_x if needs_x else None, grad_fraction, None, None, None, None, None, None, None, None


def _counted(n: Tensor, f: Tensor, signed: bool, axes: tuple[int, ...], bounds: tuple[float, float]) -> Tensor:
    """i + f, of the integers that values have become."""
    f = f.to(n.dtype).round()
    low, high = extremes(n, axes)
    return integer_bits(low if signed else NOTHING, high, f).clamp_(*bounds).round_().add_(f)


def _limits(width: Tensor, by_width: bool, signed: bool, bounds: tuple[float, float]) -> tuple[Tensor, Tensor, Tensor]:
    """The smallest and the largest number, and the step, where i is at its upper bound; from 2^b or 2^f."""
    limit = number(2.0 ** round(bounds[1]))
    width = width if by_width else width * limit
    step = limit / width
    highest = highest_integer(width).mul_(step)
    return width.floor().mul_(step).neg_() if signed else NOTHING, highest, step


def _gradients(ctx: Any, grad: Tensor) -> tuple[Tensor, Tensor]:
    """The gradient for x, and for the fraction in units of ln 2 before it is summed."""
    x, q, fraction = ctx.saved_tensors
    _, highest, step = _limits(power(fraction, x.dtype), ctx.by_width, ctx.signed, ctx.bounds)
    # Without bits beside the sign nothing positive fits; half the limit is where i would reach its bound.
    upper = round(ctx.bounds[1])
    lowest = number(-(2.0**upper)) if ctx.signed else NOTHING
    grad_x, outside, side = split_at_range(grad, x, lowest, highest.clamp_(min=2.0 ** (upper - 1)))
    above = outside.mul_(side.clamp_(min=0.0))
    return grad_x, torch.sub(x, q, out=side).mul_(grad_x).addcmul_(above, step)


def quantize_following(
    x: Tensor,
    fraction: Tensor,
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
    x, fraction = as_values(x), as_tensor(fraction)
    u = draw(x, round_mode, seed)
    outputs: tuple[Tensor, Tensor, Tensor] = _QuantizeFollowing.apply(
        x, fraction, signed, round_mode, by_width, axes, bounds, regularizer, gradient_scale, u
    )
    return outputs
