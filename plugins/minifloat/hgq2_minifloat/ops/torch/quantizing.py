"""Minifloat quantization for torch: one fused forward and one hand-written backward."""

from __future__ import annotations

import math
from typing import Any

import torch
from torch import Tensor

from hgq2_core.ops.torch import ONE, ZERO, as_values, number
from hgq2_minifloat.ops.options import Options
from hgq2_minifloat.ops.torch.arithmetic import make_format, to_format

LN2 = math.log(2.0)


class _Quantize(torch.autograd.Function):
    """The gradients are the table of docs/numerics.md#5.

    The bits that EBOPs count, and the penalty, come out beside the values: nodes of their own would cost as much as all
    of this.
    """

    @staticmethod
    def forward(
        ctx: Any,
        x: Tensor,
        m: Tensor,
        e: Tensor,
        e0: Tensor,
        options: Options,
        uniform: Tensor | None,
    ) -> tuple[Tensor, Tensor, Tensor]:
        ctx.set_materialize_grads(False)
        ctx.options = options
        penalty = x.new_zeros((), dtype=torch.float32)
        for coefficient, variable in zip(options.regularizers, (m, e, e0), strict=True):
            penalty = penalty + variable.sum() * coefficient if coefficient else penalty
        m, e, e0 = m.round(), e.round(), e0.round()
        q = to_format(x, make_format(m, e, e0, options.max_value, x.dtype), uniform)
        bits = (m + e).add_(ONE).mul_(m >= ZERO)
        if any(ctx.needs_input_grad):
            ctx.save_for_backward(x, q, m, e, e0)
        return q, bits, penalty

    @staticmethod
    def backward(
        ctx: Any, grad: Tensor | None, grad_bits: Tensor | None, grad_penalty: Tensor | None
    ) -> tuple[Tensor | None, ...]:
        variables = ctx.saved_tensors[2:]
        needs_grad = ctx.needs_input_grad[1:4]
        grads: list[Tensor | None] = [None, None, None]
        grad_x = None
        if grad is not None:
            grad_x, grads = _of_values(ctx, grad, needs_grad)
        if grad_bits is not None:
            counted = grad_bits * (variables[0] >= ZERO)
            for n in (0, 1):
                grads[n] = _plus(grads[n], counted.sum_to_size(variables[n].shape)) if needs_grad[n] else None
        if grad_penalty is not None:
            for n, coefficient in enumerate(ctx.options.regularizers):
                if needs_grad[n] and coefficient:
                    grads[n] = _plus(grads[n], (grad_penalty * number(coefficient)).expand(variables[n].shape))
        return grad_x, *grads, None, None


def _of_values(ctx: Any, grad: Tensor, needs_grad: tuple[bool, ...]) -> tuple[Tensor | None, list[Tensor | None]]:
    """Return the gradient for x, and those for m, e and e0 that `needs_grad` asks for."""
    x, q, m, e, e0 = ctx.saved_tensors
    options = ctx.options
    # Pruned formats keep the range of m = 0, and so a gradient.
    fmt = make_format(m.clamp(min=0.0), e, e0, options.max_value, x.dtype)
    size = x.abs()
    beyond = size > fmt.largest
    grad_x = None
    if ctx.needs_input_grad[0]:
        grad_x = (grad if options.overflow_gradient else grad.masked_fill(beyond, 0.0)).sum_to_size(x.shape)
    grads: list[Tensor | None] = [None, None, None]
    if not any(needs_grad):
        return grad_x, grads
    ln2 = number(LN2 * options.gradient_scale)
    below = x - q
    if needs_grad[0]:
        slope = torch.where(beyond, x.sign() * fmt.max_binade * fmt.ulp, below)
        grads[0] = slope.mul_(grad).sum_to_size(m.shape).mul(ln2)
    if needs_grad[1] or needs_grad[2]:
        subnormal = below.mul_(size < fmt.min_normal).mul_(grad)
        saturated = q * grad
        if needs_grad[1]:
            slope = torch.where(beyond, saturated, subnormal)
            grads[1] = slope.sum_to_size(e.shape).mul(fmt.half_range).mul(ln2 * number(LN2))
        if needs_grad[2]:
            grads[2] = torch.where(beyond, saturated, -subnormal).sum_to_size(e0.shape).mul(ln2)
    return grad_x, grads


def _plus(a: Tensor | None, b: Tensor) -> Tensor:
    return b if a is None else a + b


def quantize(
    x: Any, m: Any, e: Any, e0: Any, options: Options, uniform: Tensor | None = None
) -> tuple[Tensor, Tensor, Tensor]:
    """See `Backend.quantize`."""
    outputs: tuple[Tensor, Tensor, Tensor] = _Quantize.apply(*map(as_values, (x, m, e, e0)), options, uniform)
    return outputs
