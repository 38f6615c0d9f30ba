"""Quantization with a range that is state, and follows the values."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

from ...modes import RoundMode, check_modes
from ...stochastic import Seed, draw
from .arithmetic import NOTHING, number, on_grid, power, to_integers
from .bits import count_gradient, paid_by
from .gradients import ln2, plus, plus_everywhere, sum_to
from .operands import as_tensor, as_values
from .quantizing import apply
from .ranges import extremes, integer_bits, needed_for_width


class _QuantizeTracking(torch.autograd.Function):
    """Round to 2^-f, and let i and k follow what comes out; the extremes of integers need no rounding of their own."""

    @staticmethod
    def forward(
        ctx: Any,
        x: Tensor,
        k: Tensor,
        i: Tensor,
        f: Tensor,
        round_mode: str,
        axes: tuple[int, ...],
        decay: float,
        bounds: tuple[float, float],
        regularizer: float,
        gradient_scale: float,
        u: Tensor | None,
    ) -> tuple[Tensor, Tensor, Tensor, Tensor, Tensor]:
        ctx.set_materialize_grads(False)
        ctx.shape, ctx.regularizer, ctx.ln2 = f.shape, regularizer, ln2(gradient_scale)
        paid = paid_by(f, f, (0.0, regularizer))
        f = f.round()
        q, step = on_grid(x, power(f, x.dtype), round_mode, u)
        low, high = extremes(q, axes)
        i = torch.maximum(i - number(decay), integer_bits(low, high, f)).clamp_(*bounds).to(torch.float32)
        k = torch.maximum(k, (low < NOTHING).to(torch.float32))
        bits = f + i.round()
        q.mul_(step.mul_(bits > -k))
        bits.relu_()
        if ctx.needs_input_grad[3]:
            ctx.save_for_backward(x, q, bits)
        ctx.mark_non_differentiable(i, k)
        return q, bits, paid, i, k

    @staticmethod
    def backward(
        ctx: Any, grad: Tensor | None, grad_bits: Tensor | None, grad_paid: Tensor | None, *_: Any
    ) -> tuple[Tensor | None, ...]:
        grad_f = None
        if ctx.needs_input_grad[3]:
            x, q, bits = ctx.saved_tensors
            if grad is not None:
                grad_f = sum_to((x - q).mul_(grad), ctx.shape).mul_(ctx.ln2)
            if grad_bits is not None:
                grad_f = plus(grad_f, sum_to(count_gradient(grad_bits, bits.clone()), ctx.shape))
            if grad_paid is not None:
                grad_f = plus_everywhere(grad_f, grad_paid, ctx.regularizer, ctx.shape)
        return grad, None, None, grad_f, None, None, None, None, None, None, None


def quantize_tracking(
    x: Tensor,
    k: Tensor,
    i: Tensor,
    fraction: Tensor,
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
    check_modes(round_mode, "WRAP")
    x, k, i, fraction = as_values(x), as_tensor(k), as_tensor(i), as_tensor(fraction)
    u = draw(x, round_mode, seed)
    if not by_width:
        return _QuantizeTracking.apply(
            x, k, i, fraction, round_mode, axes, decay, bounds, regularizer, gradient_scale, u
        )
    i, k = _tracked_by_width(x, k, i, fraction, round_mode, axes, decay, bounds, u)
    outputs = apply(
        x,
        k,
        i,
        fraction,
        round_mode,
        "WRAP",
        training=True,
        by_width=True,
        regularizers=(0.0, regularizer),
        gradient_scale=gradient_scale,
        u=u,
    )
    return (*outputs, i, k)


@torch.no_grad()
def _tracked_by_width(
    x: Tensor,
    k: Tensor,
    i: Tensor,
    b: Tensor,
    round_mode: str,
    axes: tuple[int, ...],
    decay: float,
    bounds: tuple[float, float],
    u: Tensor | None,
) -> tuple[Tensor, Tensor]:
    needed = needed_for_width(x, b, True, round_mode, axes, u)
    i = torch.maximum(i - decay, needed).clamp_(*bounds).to(torch.float32)
    # Each is rounded before the difference, as in the quantization itself: halves may round otherwise after it.
    scale = power(b.round() - i.round(), x.dtype)
    low = x if u is not None else extremes(x, axes)[0]
    low, _ = extremes(to_integers(low, scale, round_mode, u), axes)
    return i, torch.maximum(k, (low < NOTHING).to(torch.float32))
