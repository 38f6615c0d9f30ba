"""Quantization to a given format: one fused forward, one hand-written backward."""

from __future__ import annotations

import functools
from typing import Any

import torch
from torch import Tensor

from hgq2_core.ops.torch import ONE, as_tensor, as_values, in_blocks, ln2, plus_, plus_everywhere_, recomputable, sum_to
from hgq2_fixed_point.ops.options import Options
from hgq2_fixed_point.ops.torch.arithmetic import (
    Format,
    all_signed,
    as_sign,
    make_format,
    max_integer,
    on_grid,
    rounded,
    step_and_width,
)
from hgq2_fixed_point.ops.torch.bits import counted_bits, effective_bits_gradient, penalty
from hgq2_fixed_point.ops.torch.gradients import split_at_range
from hgq2_fixed_point.ops.torch.wrapping import wrap, wrap_sign_magnitude
from hgq2_fixed_point.stochastic import Seed, draw

WRAPPING = ("WRAP", "WRAP_SM")

LARGE = 2**18
"""Elements of a variable from which its quantized values are computed again in the backward pass."""


def _negated(bound: Tensor, k: Tensor | float) -> Tensor:
    return bound.neg() if all_signed(k) else bound * -k


def _saturated(x: Tensor, fmt: Format, options: Options, u: Tensor | None) -> Tensor:
    """Return the quantized values of a format that saturates, which is overwritten."""
    full = None if options.overflow_mode == "SAT_SYM" else fmt.width.floor()
    maximum = max_integer(fmt.width, out=fmt.width)
    minimum = _negated(maximum if full is None else full, fmt.k)
    q, step = on_grid(x, fmt.scale, options.round_mode, u)
    if options.overflow_mode == "SAT_ZERO":
        q.masked_fill_((q < minimum) | (q > maximum), 0.0)
    else:
        q.clamp_(minimum, maximum)
    return q.mul_(step)


def _values_and_bits(
    x: Tensor, k: Tensor | float, i: Tensor, precision: Tensor, u: Tensor | None, options: Options, training: bool
) -> tuple[Tensor, Tensor]:
    """Return the quantized values, and the bits that EBOPs count."""
    whole = rounded(i, x.dtype), rounded(precision, x.dtype)
    bits = torch.relu(counted_bits(*whole, options)).to(precision.dtype)
    fmt = make_format(k, *whole, options.fixed_width)
    if options.overflow_mode not in WRAPPING:
        return _saturated(x, fmt, options, u), bits
    if training:
        q, step = on_grid(x, fmt.scale, options.round_mode, u)
        return q.mul_(step * fmt.nonempty), bits
    if options.overflow_mode == "WRAP":
        return wrap(x, fmt, options.round_mode, options.axes), bits
    return wrap_sign_magnitude(x, fmt, options.round_mode), bits


def _saturated_again(x: Tensor, k: Tensor | float, i: Tensor, precision: Tensor, options: Options) -> tuple[Tensor]:
    """Return the quantized values of a format that saturates, in a tuple."""
    fmt = make_format(k, rounded(i, x.dtype), rounded(precision, x.dtype), options.fixed_width)
    return (_saturated(x, fmt, options, None),)


def _recomputed(node: Any) -> Tensor:
    """Return the quantized values that a node of the graph has not saved; computed at the first use."""
    if node.recomputed is None:
        x, _, i, precision = node.saved_tensors
        with torch.no_grad():
            again = functools.partial(_saturated_again, options=node.options)
            (node.recomputed,) = in_blocks(again, x, node.k, i, precision)
    values: Tensor = node.recomputed
    return values


class _Quantize(torch.autograd.Function):
    """Both parameterizations. The gradients are the table of docs/numerics.md#2.

    The bits that EBOPs count, and the penalty, come out beside the values: nodes of their own would cost as much as all
    of this.
    """

    @staticmethod
    def forward(
        ctx: Any,
        x: Tensor,
        k: Tensor | float,
        i: Tensor,
        precision: Tensor,
        options: Options,
        training: bool,
        u: Tensor | None,
    ) -> tuple[Tensor, Tensor, Tensor]:
        ctx.set_materialize_grads(False)
        ctx.k, ctx.options, ctx.shape = k, options, x.shape
        ctx.recomputes, ctx.recomputed = False, None
        compute = functools.partial(_values_and_bits, options=options, training=training)
        q, bits = in_blocks(compute, x, k, i, precision, u)
        wraps = options.overflow_mode in WRAPPING
        if ctx.needs_input_grad[3] or (any(ctx.needs_input_grad) and not wraps):
            # Of the size of the values, q alone is new: x, i and the precision are saved by reference, and what else
            # the gradient needs is computed again from the bits. So is q, where it is as large as a large variable.
            ctx.recomputes = u is None and x.is_leaf and x.numel() >= LARGE and not wraps
            ctx.save_for_backward(x, None if ctx.recomputes else q, i, precision)
        return q, bits, penalty(i, precision, options)

    @staticmethod
    def backward(
        ctx: Any, grad: Tensor | None, grad_bits: Tensor | None, grad_penalty: Tensor | None
    ) -> tuple[Tensor | None, ...]:
        grad_x, grad_i, grad_precision = grad, None, None
        if ctx.saved_tensors:
            x, q, i, precision = ctx.saved_tensors
            compute = functools.partial(
                _gradients, options=ctx.options, needs=ctx.needs_input_grad, grad_penalty=grad_penalty
            )
            q = ctx.recomputed if q is None else q
            grad_x, grad_i, grad_precision = in_blocks(compute, x, ctx.k, i, precision, q, grad, grad_bits)
            ctx.recomputed = None
        grad_x = sum_to(grad_x, ctx.shape) if ctx.needs_input_grad[0] and grad_x is not None else None
        return grad_x, None, grad_i, grad_precision, None, None, None


def _gradients(
    x: Tensor,
    k: Tensor | float,
    i: Tensor,
    precision: Tensor,
    q: Tensor | None,
    grad: Tensor | None,
    grad_bits: Tensor | None,
    options: Options,
    needs: tuple[bool, ...],
    grad_penalty: Tensor | None,
) -> tuple[Tensor | None, Tensor | None, Tensor | None]:
    """Return the gradients for x, before it is summed to the shape of x, for i and for the precision."""
    _, _, needs_i, needs_precision, *_ = needs
    wraps, factor = options.overflow_mode in WRAPPING, ln2(options.gradient_scale)
    grad_x, grad_i, grad_precision, from_cost = grad, None, None, None
    counts = grad_bits is not None and needs_precision
    if counts or not (grad is None or wraps):
        whole = rounded(i, x.dtype), rounded(precision, x.dtype)
    if counts:
        from_cost = effective_bits_gradient(grad_bits, counted_bits(*whole, options))
    if grad is not None and wraps:
        if needs_precision:
            grad_precision = sum_to((x - q).mul_(grad), precision.shape).mul_(factor)
    elif grad is not None:
        q = _saturated_again(x, k, i, precision, options)[0] if q is None else q
        grad_x, d_i, d_f = _saturating_gradients(grad, x, q, k, whole, options, needs_i or needs_precision)
        if needs_i:
            grad_i = sum_to(d_i.sub_(d_f) if options.fixed_width else d_i, i.shape).mul_(factor)
        if needs_precision:
            grad_precision = sum_to(d_f, precision.shape).mul_(factor)
    if from_cost is not None:
        grad_precision = plus_(grad_precision, sum_to(from_cost, precision.shape))
        if needs_i and not (options.fixed_width or wraps):
            grad_i = plus_(grad_i, sum_to(from_cost, i.shape))
    if grad_penalty is not None:
        for_i, for_precision = options.regularizers
        grad_i = plus_everywhere_(grad_i, grad_penalty, for_i, i.shape) if needs_i else None
        grad_precision = plus_everywhere_(grad_precision, grad_penalty, for_precision, precision.shape)
    return grad_x, grad_i, grad_precision


def _saturating_gradients(
    grad: Tensor,
    x: Tensor,
    q: Tensor,
    k: Tensor | float,
    whole: tuple[Tensor, Tensor],
    options: Options,
    needs_bits: bool,
) -> tuple[Tensor, Any, Any]:
    """Return the gradients for x, i and f, the latter two in units of ln 2 and of the shape of the bits.

    Overwrites the whole bits.
    """
    signed, symmetric = all_signed(k), options.overflow_mode == "SAT_SYM"
    step, width = step_and_width(*whole, options.fixed_width)
    maximum = max_integer(width).mul_(step)
    # Pruned formats take max(i, -f) for i, so that they keep a gradient.
    top = torch.maximum(width, ONE, out=width).mul_(step)
    minimum = _negated(maximum if symmetric else top, k)
    grad_x, outside, side = split_at_range(grad, x, minimum, maximum)
    if not needs_bits:
        return grad_x, None, None
    # Sums first, so that what remains is done on the few elements of the bits.
    beyond = sum_to(outside, top.shape)
    if symmetric and signed:
        limited, free = beyond, side
    else:
        above, free = sum_to(side.clamp_(min=0.0).mul_(outside), top.shape), None
        beyond = beyond if signed else above - (above - beyond) * k
        limited = beyond if symmetric else above
    d_f = sum_to(torch.sub(x, q, out=free).mul_(grad_x), top.shape).addcmul_(limited, step)
    return grad_x, top.mul_(beyond), d_f


def quantize(
    x: Any, k: Any, i: Any, precision: Any, options: Options, *, training: bool = False, seed: Seed | None = None
) -> tuple[Tensor, Tensor, Tensor]:
    """See `Backend.quantize`."""
    x = as_values(x)
    return apply(x, k, i, precision, options, training=training, u=draw(x, options.round_mode, seed))


def apply(
    x: Tensor, k: Any, i: Any, precision: Any, options: Options, *, training: bool, u: Tensor | None
) -> tuple[Tensor, Tensor, Tensor]:
    """Quantize to a given format with the numbers that stochastic rounding has drawn, or None."""
    outputs: tuple[Tensor, Tensor, Tensor] = _Quantize.apply(
        x, as_sign(k), as_tensor(i), as_tensor(precision), options, training, u
    )
    node = outputs[0].grad_fn
    if node is not None and node.recomputes:
        recomputable(outputs[0], functools.partial(_recomputed, node))
    return outputs
