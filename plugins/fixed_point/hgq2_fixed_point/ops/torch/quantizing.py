"""Quantization with a range that is given: one fused forward, one hand-written backward."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

from ...modes import OverflowMode, RoundMode, check_modes
from ...stochastic import Seed, draw, training_seed
from .arithmetic import ONE, highest_integer, make_format, on_grid, rounded, step_and_width, wrap
from .bits import count_gradient, counted, paid_by
from .gradients import ln2, plus, plus_everywhere, split_at_range, sum_to
from .operands import SIGNED, as_sign, as_tensor, as_values


def _negated(bound: Tensor, k: Tensor | float) -> Tensor:
    return bound.neg() if k is SIGNED else bound * -k


class _Quantize(torch.autograd.Function):
    """Both parameterizations: `fraction` is f, or b where `by_width`. The gradients are the table of NUMERICS.md §2.

    The bits that the cost counts, and what they pay by themselves, come out beside the values: nodes of their own would
    cost as much as all of this.
    """

    @staticmethod
    def forward(
        ctx: Any,
        x: Tensor,
        k: Tensor | float,
        i: Tensor,
        fraction: Tensor,
        round_mode: str,
        overflow_mode: str,
        training: bool,
        by_width: bool,
        offset: float,
        regularizers: tuple[float, float],
        gradient_scale: float,
        u: Tensor | None,
    ) -> tuple[Tensor, Tensor, Tensor]:
        ctx.set_materialize_grads(False)
        ctx.regularizers, ctx.ln2, ctx.offset = regularizers, ln2(gradient_scale), offset
        ctx.k, ctx.by_width, ctx.symmetric = k, by_width, overflow_mode == "SAT_SYM"
        ctx.wraps = overflow_mode in ("WRAP", "WRAP_SM")
        ctx.shapes = x.shape, i.shape, fraction.shape
        paid = paid_by(i, fraction, regularizers)
        whole = rounded(i, x.dtype), rounded(fraction, x.dtype)
        bits = counted(*whole, by_width, offset).to(fraction.dtype)
        fmt = make_format(k, *whole, by_width)
        if ctx.wraps:
            if training:
                q, step = on_grid(x, fmt.scale, round_mode, u)
                q.mul_(step * fmt.alive)
            else:
                q = wrap(x, fmt, round_mode, overflow_mode)
            if ctx.needs_input_grad[3]:
                ctx.save_for_backward(x, q, i, fraction)
            return q, bits, paid
        full = None if ctx.symmetric else fmt.width.floor()
        highest = highest_integer(fmt.width, out=fmt.width)
        lowest = _negated(highest if full is None else full, k)
        q, step = on_grid(x, fmt.scale, round_mode, u)
        if overflow_mode == "SAT_ZERO":
            q.masked_fill_((q < lowest) | (q > highest), 0.0)
        else:
            q.clamp_(lowest, highest)
        q.mul_(step)
        if any(ctx.needs_input_grad):
            # What is as large as a weight is one of its own variables, but for q.
            ctx.save_for_backward(x, q, i, fraction)
        return q, bits, paid

    @staticmethod
    def backward(
        ctx: Any, grad: Tensor | None, grad_bits: Tensor | None, grad_paid: Tensor | None
    ) -> tuple[Tensor | None, ...]:
        x_shape, i_shape, fraction_shape = ctx.shapes
        needs_x, _, needs_i, needs_fraction, *_ = ctx.needs_input_grad
        grad_x = grad_i = grad_fraction = for_bits = None
        counts = grad_bits is not None and needs_fraction
        if counts or not (grad is None or ctx.wraps):
            x, _, i, fraction = ctx.saved_tensors
            whole = rounded(i, x.dtype), rounded(fraction, x.dtype)
        if counts:
            for_bits = count_gradient(grad_bits, counted(*whole, ctx.by_width, ctx.offset))
        if grad is None:
            pass
        elif ctx.wraps:
            grad_x = grad
            if needs_fraction:
                x, q, _, _ = ctx.saved_tensors
                grad_fraction = sum_to((x - q).mul_(grad), fraction_shape).mul_(ctx.ln2)
        else:
            grad_x, d_i, d_f = _saturating_gradients(ctx, grad, whole, needs_i or needs_fraction)
            if needs_i:
                grad_i = sum_to(d_i.sub_(d_f) if ctx.by_width else d_i, i_shape).mul_(ctx.ln2)
            if needs_fraction:
                grad_fraction = sum_to(d_f, fraction_shape).mul_(ctx.ln2)
        if for_bits is not None:
            grad_fraction = plus(grad_fraction, sum_to(for_bits, fraction_shape))
            if needs_i and not (ctx.by_width or ctx.wraps):
                grad_i = plus(grad_i, sum_to(for_bits, i_shape))
        if grad_paid is not None:
            for_i, for_fraction = ctx.regularizers
            grad_i = plus_everywhere(grad_i, grad_paid, for_i, i_shape) if needs_i else None
            grad_fraction = plus_everywhere(grad_fraction, grad_paid, for_fraction, fraction_shape)
        grad_x = sum_to(grad_x, x_shape) if needs_x and grad_x is not None else None
        return grad_x, None, grad_i, grad_fraction, None, None, None, None, None, None, None, None


def _saturating_gradients(
    ctx: Any, grad: Tensor, whole: tuple[Tensor, Tensor], bits_too: bool
) -> tuple[Tensor, Any, Any]:
    """The gradients for x, i and f, those two in units of ln 2 and of the shape of the bits; overwrites whole bits."""
    x, q, _, _ = ctx.saved_tensors
    step, width = step_and_width(*whole, ctx.by_width)
    highest = highest_integer(width).mul_(step)
    # Pruned formats take max(i, -f) for i, so that they keep a gradient.
    top = torch.maximum(width, ONE, out=width).mul_(step)
    lowest = _negated(highest if ctx.symmetric else top, ctx.k)
    grad_x, outside, side = split_at_range(grad, x, lowest, highest)
    if not bits_too:
        return grad_x, None, None
    # Sums first, so that what remains is done on the few elements of the bits.
    beyond = sum_to(outside, top.shape)
    if ctx.symmetric and ctx.k is SIGNED:
        limited, free = beyond, side
    else:
        above, free = sum_to(side.clamp_(min=0.0).mul_(outside), top.shape), None
        beyond = beyond if ctx.k is SIGNED else above - (above - beyond) * ctx.k
        limited = beyond if ctx.symmetric else above
    d_f = sum_to(torch.sub(x, q, out=free).mul_(grad_x), top.shape).addcmul_(limited, step)
    return grad_x, top.mul_(beyond), d_f


def quantize(
    x: Tensor,
    k: Tensor,
    i: Tensor,
    f: Tensor,
    round_mode: RoundMode = "RND",
    overflow_mode: OverflowMode = "WRAP",
    *,
    training: bool = False,
    seed: Seed | None = None,
) -> Tensor:
    """See `hgq2_fixed_point.ops.quantize`."""
    check_modes(round_mode, overflow_mode)
    seed = training_seed(round_mode, training, seed)
    return apply(x, k, i, f, round_mode, overflow_mode, training=training, by_width=False, seed=seed)[0]


def quantize_kbi(
    x: Tensor,
    k: Tensor,
    b: Tensor,
    i: Tensor,
    round_mode: RoundMode = "RND",
    overflow_mode: OverflowMode = "WRAP",
    *,
    training: bool = False,
    seed: Seed | None = None,
) -> Tensor:
    """See `hgq2_fixed_point.ops.quantize_kbi`."""
    check_modes(round_mode, overflow_mode)
    seed = training_seed(round_mode, training, seed)
    return apply(x, k, i, b, round_mode, overflow_mode, training=training, by_width=True, seed=seed)[0]


def quantize_counted(
    x: Tensor,
    k: Tensor,
    i: Tensor,
    fraction: Tensor,
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
    return apply(
        x,
        k,
        i,
        fraction,
        round_mode,
        overflow_mode,
        by_width=by_width,
        offset=offset,
        regularizers=regularizers,
        gradient_scale=gradient_scale,
        seed=seed,
    )


def apply(
    x: Any,
    k: Any,
    i: Any,
    fraction: Any,
    round_mode: str,
    overflow_mode: str,
    *,
    by_width: bool,
    training: bool = False,
    offset: float = 0.0,
    regularizers: tuple[float, float] = (0.0, 0.0),
    gradient_scale: float = 1.0,
    seed: Seed | None = None,
    u: Tensor | None = None,
) -> tuple[Tensor, Tensor, Tensor]:
    """Quantize and count, for every function of `ops` whose range is given; `u` is what has been drawn before."""
    x, k, i, fraction = as_values(x), as_sign(k), as_tensor(i), as_tensor(fraction)
    u = draw(x, round_mode, seed) if u is None else u
    outputs: tuple[Tensor, Tensor, Tensor] = _Quantize.apply(
        x, k, i, fraction, round_mode, overflow_mode, training, by_width, offset, regularizers, gradient_scale, u
    )
    return outputs
