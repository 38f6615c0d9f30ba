"""Quantization with a dynamic range: the smallest that holds the present values."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

from hgq2_core.ops.torch import ZERO, as_tensor, as_values, binade, ln2, number, plus_, plus_everywhere_, sum_to
from hgq2_fixed_point.ops.options import Options
from hgq2_fixed_point.ops.torch.arithmetic import max_integer, on_grid, rounded_exp2
from hgq2_fixed_point.ops.torch.bits import effective_bits_gradient, penalty
from hgq2_fixed_point.ops.torch.gradients import split_at_range
from hgq2_fixed_point.ops.torch.ranges import extremes, integer_bits, min_integer_bits
from hgq2_fixed_point.stochastic import Seed, draw


def _near_range(x: Tensor, width: Tensor, bounds: tuple[float, float]) -> Tensor:
    """2^i with an i for each value that rounds it as the smallest one does.

    With 2^(e-1) <= |x| < 2^e it is e: a carry to 2^e, or a -2^(e-1) that a smaller i would hold, is the same number on
    either grid. Only where no bits are left beside the sign, and so nothing positive fits, -2^(e-1) must be on it, too.
    """
    lower, upper = (2.0 ** round(bound) for bound in bounds)
    return binade(x).mul_(width.clamp(max=2.0)).clamp_(lower, upper)


class _QuantizeDynamic(torch.autograd.Function):
    """Quantize with the smallest i that holds the present values; beyond the upper bound on i they saturate."""

    @staticmethod
    def forward(
        ctx: Any, x: Tensor, precision: Tensor, options: Options, u: Tensor | None
    ) -> tuple[Tensor, Tensor, Tensor]:
        ctx.set_materialize_grads(False)
        ctx.options = options
        scale = width = rounded_exp2(precision, x.dtype)
        if options.fixed_width and options.axes:
            scale = width / rounded_exp2(min_integer_bits(x, precision, options, u), x.dtype)
        elif options.fixed_width:
            scale = width / _near_range(x, width, options.bounds)
        q, step = on_grid(x, scale if options.fixed_width else scale.clone(), options.round_mode, u)
        bits = precision.to(x.dtype).round() if options.fixed_width else _bits_of_integers(q, precision, options)
        q.mul_(step)
        # Smaller i hold what they round; at its upper bound, i holds what fits, and that is the range.
        maximum, step, width = _limit(width, options)
        q.clamp_(width.floor().mul_(step).neg_() if options.signed else ZERO, maximum)
        if any(ctx.needs_input_grad):
            ctx.save_for_backward(x, q, precision)
        return q, bits.to(torch.float32).relu_(), penalty(None, precision, options)

    @staticmethod
    def backward(
        ctx: Any, grad: Tensor | None, grad_bits: Tensor | None, grad_penalty: Tensor | None
    ) -> tuple[Tensor | None, ...]:
        x, q, precision = ctx.saved_tensors
        options = ctx.options
        grad_x = grad_precision = None
        needs_x, needs_precision, *_ = ctx.needs_input_grad
        if grad is not None:
            grad_x, d = _gradients(ctx, grad)
            if needs_precision:
                grad_precision = sum_to(d, precision.shape).mul_(ln2(options.gradient_scale))
        if needs_precision and grad_bits is not None:
            whole = precision.round() if options.fixed_width else None
            if whole is None:
                whole = _bits_of_integers(q * rounded_exp2(precision, x.dtype), precision, options)
            share = sum_to(effective_bits_gradient(grad_bits, whole), precision.shape)
            grad_precision = plus_(grad_precision, share)
        if needs_precision and grad_penalty is not None:
            grad_precision = plus_everywhere_(grad_precision, grad_penalty, options.regularizers[1], precision.shape)
        return grad_x if needs_x else None, grad_precision, None, None


def _bits_of_integers(n: Tensor, f: Tensor, options: Options) -> Tensor:
    """Return i + f, for the integers that values have become."""
    f = f.to(n.dtype).round()
    low, high = extremes(n, options.axes)
    return integer_bits(low if options.signed else ZERO, high, f).clamp_(*options.bounds).round_().add_(f)


def _limit(width: Tensor, options: Options) -> tuple[Tensor, Tensor, Tensor]:
    """Return the largest number, the step, and 2^(i + f), where i is at its upper bound; from 2^b or 2^f."""
    limit = number(2.0 ** round(options.bounds[1]))
    width = width if options.fixed_width else width * limit
    step = limit / width
    return max_integer(width).mul_(step), step, width


def _gradients(ctx: Any, grad: Tensor) -> tuple[Tensor, Tensor]:
    """Return the gradient for x, and for the precision in units of ln 2 before it is summed."""
    x, q, precision = ctx.saved_tensors
    maximum, step, _ = _limit(rounded_exp2(precision, x.dtype), ctx.options)
    # Without bits beside the sign nothing positive fits; half the limit is where i would reach its bound.
    upper = round(ctx.options.bounds[1])
    minimum = number(-(2.0**upper)) if ctx.options.signed else ZERO
    grad_x, outside, side = split_at_range(grad, x, minimum, maximum.clamp_(min=2.0 ** (upper - 1)))
    above = outside.mul_(side.clamp_(min=0.0))
    return grad_x, torch.sub(x, q, out=side).mul_(grad_x).addcmul_(above, step)


def quantize_dynamic(
    x: Any, precision: Any, options: Options, *, seed: Seed | None = None
) -> tuple[Tensor, Tensor, Tensor]:
    """See `Backend.quantize_dynamic`."""
    x, precision = as_values(x), as_tensor(precision)
    outputs: tuple[Tensor, Tensor, Tensor] = _QuantizeDynamic.apply(
        x, precision, options, draw(x, options.round_mode, seed)
    )
    return outputs
