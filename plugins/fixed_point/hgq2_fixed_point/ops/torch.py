"""Fixed-point quantization for torch: one fused forward and one hand-written backward."""

from __future__ import annotations

import math
from typing import Any

import keras
import torch
from torch import Tensor

from ..modes import OverflowMode, RoundMode, check_modes
from ..stochastic import Seed, draw, training_seed
from ..torch_arithmetic import (
    LAYOUTS,
    NOTHING,
    ONE,
    highest_integer,
    make_format,
    number,
    power,
    to_integers,
    wrap,
)

LN2, NONE = torch.tensor(math.log(2.0)), torch.tensor(-math.inf)


def _ln2(scale: float) -> Tensor:
    return LN2 if scale == 1.0 else number(scale * math.log(2.0))


def _sum_to(tensor: Tensor, shape: torch.Size) -> Tensor:
    return tensor if tensor.shape == shape else tensor.sum_to_size(shape)


SIGNED = 1.0
"""What k is for formats that are all signed, told by identity to spare a multiplication."""


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
        ctx.regularizers, ctx.ln2 = regularizers, _ln2(gradient_scale)
        ctx.k, ctx.by_width, ctx.symmetric = k, by_width, overflow_mode == "SAT_SYM"
        ctx.wraps = overflow_mode in ("WRAP", "WRAP_SM")
        ctx.shapes = x.shape, i.shape, fraction.shape
        bits = fraction.round() if by_width else fraction.round() + i.round()
        bits = (bits.add_(offset) if offset else bits).relu_()
        paid = _paid(i, fraction, regularizers)
        fmt = make_format(k, i, fraction, by_width, x.dtype)
        if ctx.wraps:
            if training:
                q = to_integers(x, fmt.scale, round_mode, u).mul_(fmt.step * fmt.alive)
            else:
                q = wrap(x, fmt, round_mode, overflow_mode)
            if ctx.needs_input_grad[3]:
                ctx.save_for_backward(x, q, bits)
            return q, bits, paid
        highest = highest_integer(fmt.width)
        lowest = _negated(highest if ctx.symmetric else fmt.width.floor(), k)
        q = to_integers(x, fmt.scale, round_mode, u)
        if overflow_mode == "SAT_ZERO":
            q.masked_fill_((q < lowest) | (q > highest), 0.0)
        else:
            q.clamp_(lowest, highest)
        q.mul_(fmt.step)
        if any(ctx.needs_input_grad):
            ctx.save_for_backward(x, q, bits, fmt.step, fmt.width)
        return q, bits, paid

    @staticmethod
    def backward(
        ctx: Any, grad: Tensor | None, grad_bits: Tensor | None, grad_paid: Tensor | None
    ) -> tuple[Tensor | None, ...]:
        x_shape, i_shape, fraction_shape = ctx.shapes
        needs_x, _, needs_i, needs_fraction, *_ = ctx.needs_input_grad
        grad_x = grad_i = grad_fraction = None
        if grad is None:
            pass
        elif ctx.wraps:
            grad_x = grad
            if needs_fraction:
                x, q, _ = ctx.saved_tensors
                grad_fraction = _sum_to((x - q).mul_(grad), fraction_shape).mul_(ctx.ln2)
        else:
            grad_x, d_i, d_f = _saturating_gradients(ctx, grad, needs_i or needs_fraction)
            if needs_i:
                grad_i = _sum_to(d_i.sub_(d_f) if ctx.by_width else d_i, i_shape).mul_(ctx.ln2)
            if needs_fraction:
                grad_fraction = _sum_to(d_f, fraction_shape).mul_(ctx.ln2)
        if grad_bits is not None and needs_fraction:
            counted = grad_bits * (ctx.saved_tensors[2] > NOTHING)
            grad_fraction = _plus(grad_fraction, _sum_to(counted, fraction_shape))
            if needs_i and not (ctx.by_width or ctx.wraps):
                grad_i = _plus(grad_i, _sum_to(counted, i_shape))
        if grad_paid is not None:
            for_i, for_fraction = ctx.regularizers
            grad_i = _plus_everywhere(grad_i, grad_paid, for_i, i_shape) if needs_i else None
            grad_fraction = _plus_everywhere(grad_fraction, grad_paid, for_fraction, fraction_shape)
        grad_x = _sum_to(grad_x, x_shape) if needs_x and grad_x is not None else None
        return grad_x, None, grad_i, grad_fraction, None, None, None, None, None, None, None, None


def _saturating_gradients(ctx: Any, grad: Tensor, bits_too: bool) -> tuple[Tensor, Any, Any]:
    """The gradients for x, i and f, the latter two in units of ln 2, of the shape of the bits."""
    x, q, _, step, width = ctx.saved_tensors
    # Pruned formats take max(i, -f) for i, so that they keep a gradient.
    top = torch.maximum(width, ONE).mul_(step)
    highest = highest_integer(width).mul_(step)
    lowest = _negated(highest if ctx.symmetric else top, ctx.k)
    above, below = grad * (x > highest), grad * (x < lowest)
    grad_x = (grad - above).sub_(below)
    if not bits_too:
        return grad_x, None, None
    # Sums first, so that what remains is done on the few elements of the bits; all in place of our own tensors.
    shape = top.shape
    d_f = _sum_to((x - q).mul_(grad_x), shape)
    above, below = _sum_to(above, shape), _sum_to(below, shape)
    if ctx.k is not SIGNED:
        below = below.mul_(ctx.k)
    if ctx.symmetric:
        d_f.addcmul_(above.sub_(below), step)
    else:
        d_f.addcmul_(above, step)
        above.sub_(below)
    return grad_x, above.mul_(top), d_f


def _plus(a: Tensor | None, b: Tensor) -> Tensor:
    return b if a is None else a.add_(b)


def _paid(i: Tensor, fraction: Tensor, regularizers: tuple[float, float]) -> Tensor:
    """What the bits pay by themselves, whatever is computed with them."""
    for_i, for_fraction = regularizers
    paid = fraction.sum().mul_(number(for_fraction)) if for_fraction else fraction.new_zeros(())
    return paid.addcmul_(i.sum(), number(for_i)) if for_i else paid


def _plus_everywhere(grad: Tensor | None, scale: Tensor, factor: float, shape: torch.Size) -> Tensor | None:
    if not factor:
        return grad
    share = scale * number(factor)
    return share.expand(shape) if grad is None else grad.add_(share)


def _tensor(v: Any) -> Tensor:
    if isinstance(v, keras.Variable):
        return v.value
    return v if isinstance(v, Tensor) else keras.ops.convert_to_tensor(v, "float32")


def _sign(k: Any) -> Tensor | float:
    if isinstance(k, int | float):
        return SIGNED if k == 1 else float(k)
    return _tensor(k).detach()


def _values(x: Any) -> Tensor:
    x = x.value if isinstance(x, keras.Variable) else x if isinstance(x, Tensor) else keras.ops.convert_to_tensor(x)
    return x if x.dtype in LAYOUTS else x.to(torch.float32)


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
    return _quantize(x, k, i, f, round_mode, overflow_mode, training=training, by_width=False, seed=seed)[0]


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
    return _quantize(x, k, i, b, round_mode, overflow_mode, training=training, by_width=True, seed=seed)[0]


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
    return _quantize(
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


def _quantize(
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
    x, k, i, fraction = _values(x), _sign(k), _tensor(i), _tensor(fraction)
    u = draw(x, round_mode, seed) if u is None else u
    outputs: tuple[Tensor, Tensor, Tensor] = _Quantize.apply(
        x, k, i, fraction, round_mode, overflow_mode, training, by_width, offset, regularizers, gradient_scale, u
    )
    return outputs


def round_bits(v: Tensor) -> Tensor:
    """See `hgq2_fixed_point.ops.round_bits`."""
    v = _tensor(v)
    if not v.requires_grad:
        return v.round()
    # Exact, and cheaper than a Function of our own: the difference has fewer bits than v.
    with torch.no_grad():
        correction = v.round() - v
    return v + correction


def clipped_bits(v: Tensor, offset: Tensor | float = 0.0) -> Tensor:
    """See `hgq2_fixed_point.ops.clipped_bits`."""
    bits = round_bits(v)
    return torch.relu(bits if isinstance(offset, int | float) and offset == 0 else bits + offset)


def _extremes(x: Tensor, axes: tuple[int, ...]) -> tuple[Tensor, Tensor]:
    return (x.amin(axes, keepdim=True), x.amax(axes, keepdim=True)) if axes else (x, x)


def _least(x: Tensor, axes: tuple[int, ...]) -> Tensor:
    return x.amin(axes, keepdim=True) if axes else x


def _integer_bits(low: Tensor, high: Tensor, f: Tensor) -> Tensor:
    """The smallest i whose range holds integers n as n * 2^-f; -inf where none is nonzero."""
    # Of negative integers, -2^n itself is in range: an exponent is read a hair below the magnitude.
    largest = torch.maximum(high, low.neg().mul_(LAYOUTS[low.dtype].below_one))
    return torch.where(largest > NOTHING, torch.frexp(largest).exponent - f, NONE)


def _needed(
    x: Tensor, f: Tensor, signed: bool, round_mode: str, axes: tuple[int, ...], u: Tensor | None = None
) -> Tensor:
    """The smallest i that holds values rounded to 2^-f; -inf where none is nonzero."""
    f = f.round()
    scale = power(f, x.dtype)
    if u is None:
        low, high = _extremes(x, axes)
        high = to_integers(high, scale.clone(), round_mode)
        low = to_integers(low, scale, round_mode) if signed else low
    else:  # what is largest need not be so once it is rounded
        low, high = _extremes(to_integers(x, scale, round_mode, u), axes)
    return _integer_bits(low if signed else torch.zeros_like(high), high, f)


def _needed_for_width(
    x: Tensor, b: Tensor, signed: bool, round_mode: str, axes: tuple[int, ...], u: Tensor | None = None
) -> Tensor:
    """The smallest i that holds values rounded with f = b - i for that very i; -inf where none is nonzero.

    With 2^(e-1) <= |v| < 2^e, it is e; e + 1 where a positive value rounds up to 2^e; e - 1 where a negative one rounds
    to -2^(e-1) exactly with the finer step of that i.
    """
    b = b.to(x.dtype).round()
    # The extremes are enough, but not where each value draws for itself.
    v = torch.cat(_extremes(x, axes), axes[0]) if axes and u is None else x
    v = v if signed else v.clamp(min=0.0)
    mantissa, e = torch.frexp(v)
    # 0 is neither: it needs no bits, nor can a format without bits hold anything.
    sign = mantissa.sign_()
    negative = sign < 0
    reached = to_integers(v, power((b - e).add_(negative), v.dtype), round_mode, u) >= power(b, v.dtype) * sign
    empty = sign.bool().logical_not_().logical_or_(b <= -ONE if signed else b <= NOTHING)
    i = torch.where(empty, NONE, e + reached * sign)
    return i.amax(axes, keepdim=True) if axes else i


@torch.no_grad()
def follow(
    x: Tensor,
    fraction: Tensor,
    *,
    by_width: bool,
    signed: bool,
    round_mode: RoundMode,
    axes: tuple[int, ...],
    bounds: tuple[float, float],
    u: Tensor | None = None,
) -> Tensor:
    """See `hgq2_fixed_point.ops.follow`."""
    needed = _needed_for_width if by_width else _needed
    i = needed(_values(x), _tensor(fraction), signed, round_mode, axes, u)
    return i.clamp_(*bounds).to(torch.float32)


def _near_exponents(x: Tensor, b: Tensor) -> Tensor:
    """An i for each value that rounds it as the smallest one does.

    With 2^(e-1) <= |x| < 2^e it is e: a carry to 2^e, or a -2^(e-1) that a smaller i would hold, is the same number on
    either grid. Only where no bits are left beside the sign, -2^(e-1) must be on the grid, too.
    """
    e = torch.frexp(x).exponent
    return torch.where((x < NOTHING).logical_and_(b < ONE), e - 1, e)


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
        ctx.shape, ctx.regularizer, ctx.ln2 = fraction.shape, regularizer, _ln2(gradient_scale)
        paid = _paid(fraction, fraction, (0.0, regularizer))
        n = fraction.to(x.dtype).round()
        if by_width and not axes:
            i = _near_exponents(x, n).clamp_(*(round(bound) for bound in bounds))
        else:
            i = follow(x, n, by_width=by_width, signed=signed, round_mode=round_mode, axes=axes, bounds=bounds, u=u)
            i.round_()
        scale = power(n - i if by_width else n, x.dtype)
        step = scale.reciprocal()
        q = to_integers(x, scale, round_mode, u).mul_(step)
        # Smaller i hold what they round; at its upper bound, i holds what fits, and that is the range.
        upper = round(bounds[1])
        limit = number(2.0**upper)
        width = power(n if by_width else n + upper, x.dtype)
        finest = width.reciprocal().mul_(limit)
        highest = highest_integer(width).mul_(finest)
        q.clamp_(width.floor_().mul_(finest).neg_() if signed else NOTHING, highest)
        bits = (n if by_width else n + i).to(torch.float32).relu_()
        if any(ctx.needs_input_grad):
            # Without bits beside the sign nothing positive fits; half the limit is where i would reach its bound.
            above = x > highest.clamp_(min=2.0 ** (upper - 1))
            beyond = above | (x < (number(-(2.0**upper)) if signed else NOTHING))
            ctx.save_for_backward(torch.where(beyond, finest * above, x - q), beyond, bits)
        return q, bits, paid

    @staticmethod
    def backward(
        ctx: Any, grad: Tensor | None, grad_bits: Tensor | None, grad_paid: Tensor | None
    ) -> tuple[Tensor | None, ...]:
        slope, beyond, bits = ctx.saved_tensors
        grad_x = None if grad is None else grad.masked_fill(beyond, 0.0)
        grad_fraction = None
        if ctx.needs_input_grad[1]:
            if grad is not None:
                grad_fraction = _sum_to(slope.mul_(grad), ctx.shape).mul_(ctx.ln2)
            if grad_bits is not None:
                grad_fraction = _plus(grad_fraction, _sum_to(grad_bits * (bits > NOTHING), ctx.shape))
            if grad_paid is not None:
                grad_fraction = _plus_everywhere(grad_fraction, grad_paid, ctx.regularizer, ctx.shape)
        return grad_x, grad_fraction, None, None, None, None, None, None, None, None


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
    x, fraction = _values(x), _tensor(fraction)
    u = draw(x, round_mode, seed)
    outputs: tuple[Tensor, Tensor, Tensor] = _QuantizeFollowing.apply(
        x, fraction, signed, round_mode, by_width, axes, bounds, regularizer, gradient_scale, u
    )
    return outputs


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
        ctx.shape, ctx.regularizer, ctx.ln2 = f.shape, regularizer, _ln2(gradient_scale)
        paid = _paid(f, f, (0.0, regularizer))
        f = f.round()
        scale = power(f, x.dtype)
        step = scale.reciprocal()
        q = to_integers(x, scale, round_mode, u)
        low, high = _extremes(q, axes)
        i = torch.maximum(i - number(decay), _integer_bits(low, high, f)).clamp_(*bounds).to(torch.float32)
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
                grad_f = _sum_to((x - q).mul_(grad), ctx.shape).mul_(ctx.ln2)
            if grad_bits is not None:
                grad_f = _plus(grad_f, _sum_to(grad_bits * (bits > NOTHING), ctx.shape))
            if grad_paid is not None:
                grad_f = _plus_everywhere(grad_f, grad_paid, ctx.regularizer, ctx.shape)
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
    x, k, i, fraction = _values(x), _tensor(k), _tensor(i), _tensor(fraction)
    u = draw(x, round_mode, seed)
    if not by_width:
        return _QuantizeTracking.apply(
            x, k, i, fraction, round_mode, axes, decay, bounds, regularizer, gradient_scale, u
        )
    i, k = _tracked_by_width(x, k, i, fraction, round_mode, axes, decay, bounds, u)
    outputs = _quantize(
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
    needed = _needed_for_width(x, b, True, round_mode, axes, u)
    i = torch.maximum(i - decay, needed).clamp_(*bounds).to(torch.float32)
    # Each is rounded before the difference, as in the quantization itself: halves may round otherwise after it.
    scale = power(b.round() - i.round(), x.dtype)
    low = x if u is not None else _least(x, axes)
    negative = _least(to_integers(low, scale, round_mode, u), axes) < 0
    return i, torch.maximum(k, negative.to(torch.float32))
