"""Quantization with an observed range: state that the values update."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

from hgq2_core.ops.torch import ZERO, as_tensor, as_values, exp2, ln2, number, plus_, plus_everywhere_, sum_to
from hgq2_fixed_point.ops.options import Options
from hgq2_fixed_point.ops.torch.arithmetic import on_grid, rounded_exp2, to_integers
from hgq2_fixed_point.ops.torch.bits import effective_bits_gradient, penalty
from hgq2_fixed_point.ops.torch.quantizing import apply
from hgq2_fixed_point.ops.torch.ranges import extremes, integer_bits, min_integer_bits_for_width
from hgq2_fixed_point.stochastic import Seed, draw


class _QuantizeObserved(torch.autograd.Function):
    """Round to 2^-f, and update i and k by what comes out; the extremes of integers need no rounding of their own."""

    @staticmethod
    def forward(
        ctx: Any, x: Tensor, k: Tensor, i: Tensor, f: Tensor, options: Options, decay: float, u: Tensor | None
    ) -> tuple[Tensor, Tensor, Tensor, Tensor, Tensor]:
        ctx.set_materialize_grads(False)
        ctx.shape, ctx.options = f.shape, options
        cost = penalty(None, f, options)
        f = f.round()
        q, step = on_grid(x, exp2(f, x.dtype), options.round_mode, u)
        low, high = extremes(q, options.axes)
        i = torch.maximum(i - number(decay), integer_bits(low, high, f)).clamp_(*options.bounds).to(torch.float32)
        k = torch.maximum(k, (low < ZERO).to(torch.float32))
        bits = f + i.round()
        q.mul_(step.mul_(bits > -k))
        bits.relu_()
        if ctx.needs_input_grad[3]:
            ctx.save_for_backward(x, q, bits)
        ctx.mark_non_differentiable(i, k)
        return q, bits, cost, i, k

    @staticmethod
    def backward(
        ctx: Any, grad: Tensor | None, grad_bits: Tensor | None, grad_penalty: Tensor | None, *_: Any
    ) -> tuple[Tensor | None, ...]:
        grad_f = None
        if ctx.needs_input_grad[3]:
            x, q, bits = ctx.saved_tensors
            if grad is not None:
                grad_f = sum_to((x - q).mul_(grad), ctx.shape).mul_(ln2(ctx.options.gradient_scale))
            if grad_bits is not None:
                grad_f = plus_(grad_f, sum_to(effective_bits_gradient(grad_bits, bits), ctx.shape))
            if grad_penalty is not None:
                grad_f = plus_everywhere_(grad_f, grad_penalty, ctx.options.regularizers[1], ctx.shape)
        return grad, None, None, grad_f, None, None, None


def quantize_observed(
    x: Any, k: Any, i: Any, precision: Any, options: Options, decay: float, *, seed: Seed | None = None
) -> tuple[Tensor, Tensor, Tensor, Tensor, Tensor]:
    """See `Backend.quantize_observed`."""
    x, k, i, precision = as_values(x), as_tensor(k), as_tensor(i), as_tensor(precision)
    u = draw(x, options.round_mode, seed)
    if not options.fixed_width:
        outputs: tuple[Tensor, Tensor, Tensor, Tensor, Tensor] = _QuantizeObserved.apply(
            x, k, i, precision, options, decay, u
        )
        return outputs
    i, k = _observe_fixed_width(x, k, i, precision, options, decay, u)
    return *apply(x, k, i, precision, options, training=True, u=u), i, k


@torch.no_grad()  # type: ignore[untyped-decorator]
def _observe_fixed_width(
    x: Tensor, k: Tensor, i: Tensor, b: Tensor, options: Options, decay: float, u: Tensor | None
) -> tuple[Tensor, Tensor]:
    smallest = min_integer_bits_for_width(x, b, options, u)
    i = torch.maximum(i - decay, smallest).clamp_(*options.bounds).to(torch.float32)
    # Each is rounded before the difference, as in the quantization itself: halves may round otherwise after it.
    scale = rounded_exp2(b.round() - i.round(), x.dtype)
    low = x if u is not None else extremes(x, options.axes)[0]
    low, _ = extremes(to_integers(low, scale, options.round_mode, u), options.axes)
    return i, torch.maximum(k, (low < ZERO).to(torch.float32))
