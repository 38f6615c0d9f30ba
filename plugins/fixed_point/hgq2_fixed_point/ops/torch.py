"""Fixed-point quantization for torch: one fused forward and one hand-written backward."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any, NamedTuple

import keras
import torch
from torch import Tensor

from ..modes import OverflowMode, RoundMode, check_modes, check_round_mode

LN2 = math.log(2.0)


class _Layout(NamedTuple):
    """Where a float keeps its exponent."""

    integer: torch.dtype
    mantissa_bits: int
    bias: int


_LAYOUTS = {torch.float32: _Layout(torch.int32, 23, 127), torch.float64: _Layout(torch.int64, 52, 1023)}


def _power(n: Tensor) -> Tensor:
    """2^n for integer values n, within the normal range, as a fresh tensor.

    Adding 1.5 * 2^mantissa_bits leaves the integer in the low bits; a shift moves it into the exponent field.
    """
    integer, mantissa_bits, bias = _LAYOUTS[n.dtype]
    power = n.clamp(1 - bias, bias).add_(1.5 * 2.0**mantissa_bits + bias)
    power.view(integer).bitwise_left_shift_(mantissa_bits)
    return power


# From x and the scale 2^f to integers. `doubled` modes receive 2^(f+1): on 2z, halves are decided exactly.
def _floor(x: Tensor, scale: Tensor) -> Tensor:
    z = x * scale
    # x 2^f may underflow, and its sign must still be seen; the scale of a pruned format is 0.
    return torch.where((z == 0) & (x < 0), -scale.sign(), z).floor_()


def _half_up(x: Tensor, scale: Tensor) -> Tensor:
    return torch.mul(x, scale).floor_().mul_(0.5).ceil_()


def _half_down(x: Tensor, scale: Tensor) -> Tensor:
    return torch.mul(x, scale).ceil_().mul_(0.5).floor_()


def _half_away(x: Tensor, scale: Tensor) -> Tensor:
    return torch.mul(x, scale).abs_().floor_().mul_(0.5).ceil_().copysign_(x)


def _half_to_zero(x: Tensor, scale: Tensor) -> Tensor:
    return torch.mul(x, scale).abs_().ceil_().mul_(0.5).floor_().copysign_(x)


def _toward_zero(x: Tensor, scale: Tensor) -> Tensor:
    return torch.mul(x, scale).trunc_()


def _half_even(x: Tensor, scale: Tensor) -> Tensor:
    return torch.mul(x, scale).round_()


class _Rounding(NamedTuple):
    to_integer: Callable[[Tensor, Tensor], Tensor]
    doubled: bool


_ROUNDING: dict[str, _Rounding] = {
    "TRN": _Rounding(_floor, doubled=False),
    "TRN_ZERO": _Rounding(_toward_zero, doubled=False),
    "RND": _Rounding(_half_up, doubled=True),
    "RND_MIN_INF": _Rounding(_half_down, doubled=True),
    "RND_INF": _Rounding(_half_away, doubled=True),
    "RND_ZERO": _Rounding(_half_to_zero, doubled=True),
    "RND_CONV": _Rounding(_half_even, doubled=False),
}


class _Format(NamedTuple):
    """A format in the dtype of the values: integer-valued k and i, the step 2^-f, and where any bits are left."""

    k: Tensor
    i: Tensor
    scale: Tensor
    step: Tensor
    alive: Tensor


def _format(k: Tensor, i: Tensor, fraction: Tensor, kbi: bool, dtype: torch.dtype) -> _Format:
    k, i, fraction = k.to(dtype), i.to(dtype).round(), fraction.to(dtype).round()
    f, width = (fraction - i, fraction) if kbi else (fraction, i + fraction)
    scale = _power(f)
    return _Format(k, i, scale, scale.reciprocal(), width + k > 0)


def _round(x: Tensor, scale: Tensor, step: Tensor, round_mode: str) -> Tensor:
    to_integer, doubled = _ROUNDING[round_mode]
    return to_integer(x, scale * 2.0 if doubled else scale).mul_(step)


def _bounds(fmt: _Format, overflow_mode: str) -> tuple[Tensor, Tensor, Tensor]:
    """2^i, the lowest and the highest value, with max(i, -f) for i: pruned formats keep a gradient."""
    top = _power(fmt.i)
    torch.maximum(top, fmt.step, out=top) if top.shape == fmt.alive.shape else None
    return top, top, top


def _wrap(x: Tensor, fmt: _Format, round_mode: str, overflow_mode: str) -> Tensor:
    """Round and wrap; every step but the rounding is exact."""
    modulus = _power(fmt.i + fmt.k)
    turns = (x / (2.0 * modulus)).trunc_()
    # Where the quotient overflows, x is a multiple of the modulus; infinities have become NaN.
    near = torch.addcmul(x, turns, 2.0 * modulus, value=-1.0).nan_to_num_(nan=math.nan, posinf=0.0, neginf=0.0)
    q = _round(near, fmt.scale * fmt.alive, fmt.step, round_mode)
    quotient = q / modulus
    turns = quotient.floor()
    turns += fmt.k * (quotient.sub_(turns) >= 0.5)
    wrapped = torch.addcmul(q, turns, modulus, value=-1.0)
    if overflow_mode == "WRAP":
        return wrapped
    # Beyond the range ap_fixed inverts all bits (n becomes -1 - n) if the lowest bit it drops is not the sign it keeps,
    # and reads that dropped bit before rounding.
    dropped = (near / modulus).floor_().remainder_(2.0) == 1.0
    inverted = ((wrapped != q) | (near != x)) & (dropped != (wrapped < 0)) & fmt.alive
    return torch.where(inverted, -fmt.step - wrapped, wrapped)


def _sum_to(tensor: Tensor, shape: torch.Size) -> Tensor:
    return tensor if tensor.shape == shape else tensor.sum_to_size(shape)


class _Quantize(torch.autograd.Function):
    """Both parameterizations: `fraction` is f, or b with `kbi`. The gradients are the table of NUMERICS.md §2."""

    @staticmethod
    def forward(
        ctx: Any,
        x: Tensor,
        k: Tensor,
        i: Tensor,
        fraction: Tensor,
        round_mode: str,
        overflow_mode: str,
        training: bool,
        kbi: bool,
    ) -> Tensor:
        fmt = _format(k, i, fraction, kbi, x.dtype)
        ctx.kbi, ctx.symmetric = kbi, overflow_mode == "SAT_SYM"
        ctx.wraps = overflow_mode in ("WRAP", "WRAP_SM")
        ctx.shapes = x.shape, i.shape, fraction.shape
        if ctx.wraps:
            if training:
                q = _round(x, fmt.scale.mul_(fmt.alive), fmt.step, round_mode)
            else:
                q = _wrap(x, fmt, round_mode, overflow_mode)
            if ctx.needs_input_grad[3]:
                ctx.save_for_backward(x, q)
            return q
        # Pruned formats take max(i, -f) for i, so that they keep a gradient.
        top = torch.maximum(_power(fmt.i), fmt.step)
        # Of a format wider than the dtype, the bound is rounded toward zero.
        highest = torch.minimum(top - fmt.step, top * (1.0 - torch.finfo(x.dtype).eps / 2))
        lowest = -fmt.k * (highest if ctx.symmetric else top)
        q = _round(x, fmt.scale, fmt.step, round_mode)
        within = lowest if ctx.symmetric else lowest * fmt.alive
        if overflow_mode == "SAT_ZERO":
            q.masked_fill_((q < within) | (q > highest), 0.0)
        else:
            q.clamp_(within, highest)
        if any(ctx.needs_input_grad):
            ctx.save_for_backward(x, q, fmt.k, fmt.step, top, lowest, highest)
        return q

    @staticmethod
    def backward(ctx: Any, grad: Tensor) -> tuple[Tensor | None, ...]:
        x_shape, i_shape, fraction_shape = ctx.shapes
        needs_x, _, needs_i, needs_fraction, *_ = ctx.needs_input_grad
        grad_i = grad_fraction = None
        if ctx.wraps:
            if needs_fraction:
                x, q = ctx.saved_tensors
                grad_fraction = _sum_to((x - q).mul_(grad), fraction_shape).mul_(LN2)
            return _sum_to(grad, x_shape) if needs_x else None, None, None, grad_fraction, None, None, None, None
        x, q, k, step, top, lowest, highest = ctx.saved_tensors
        above, below = grad * (x > highest), grad * (x < lowest)
        grad_x = (grad - above).sub_(below)
        if needs_i or needs_fraction:
            shape = lowest.shape
            inner = _sum_to((x - q).mul_(grad_x), shape)
            above = _sum_to(above, shape)
            outer = torch.addcmul(above, _sum_to(below, shape), k, value=-1.0)
            d_f = inner.addcmul_(outer if ctx.symmetric else above, step).mul_(LN2)
            if needs_fraction:
                grad_fraction = _sum_to(d_f, fraction_shape)
            if needs_i:
                d_i = outer.mul_(top).mul_(LN2)
                grad_i = _sum_to(d_i.sub_(d_f) if ctx.kbi else d_i, i_shape)
        return _sum_to(grad_x, x_shape) if needs_x else None, None, grad_i, grad_fraction, None, None, None, None


class _RoundBits(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, v: Tensor) -> Tensor:
        return v.round()

    @staticmethod
    def backward(ctx: Any, grad: Tensor) -> Tensor:
        return grad


class _ClippedBits(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, v: Tensor, offset: Tensor | float) -> Tensor:
        bits = (v.round() + offset).clamp_(min=0.0)
        ctx.shape = v.shape
        ctx.save_for_backward(bits)
        return bits

    @staticmethod
    def backward(ctx: Any, grad: Tensor) -> tuple[Tensor, None]:
        (bits,) = ctx.saved_tensors
        return _sum_to(grad * (bits > 0), ctx.shape), None


def _tensor(v: Any) -> Tensor:
    return v if isinstance(v, Tensor) else keras.ops.convert_to_tensor(v, "float32")


def _values(x: Any) -> Tensor:
    x = x if isinstance(x, Tensor) else keras.ops.convert_to_tensor(x)
    return x if x.dtype in _LAYOUTS else x.to(torch.float32)


def quantize(
    x: Tensor,
    k: Tensor,
    i: Tensor,
    f: Tensor,
    round_mode: RoundMode = "RND",
    overflow_mode: OverflowMode = "WRAP",
    *,
    training: bool = False,
) -> Tensor:
    """See `hgq2_fixed_point.ops.quantize`."""
    check_modes(round_mode, overflow_mode)
    return _Quantize.apply(_values(x), _tensor(k), _tensor(i), _tensor(f), round_mode, overflow_mode, training, False)


def quantize_kbi(
    x: Tensor,
    k: Tensor,
    b: Tensor,
    i: Tensor,
    round_mode: RoundMode = "RND",
    overflow_mode: OverflowMode = "WRAP",
    *,
    training: bool = False,
) -> Tensor:
    """See `hgq2_fixed_point.ops.quantize_kbi`."""
    check_modes(round_mode, overflow_mode)
    return _Quantize.apply(_values(x), _tensor(k), _tensor(i), _tensor(b), round_mode, overflow_mode, training, True)


@torch.no_grad()
def round_to_grid(x: Tensor, f: Tensor, round_mode: RoundMode = "RND") -> Tensor:
    """See `hgq2_fixed_point.ops.round_to_grid`."""
    check_round_mode(round_mode)
    x = _values(x)
    scale = _power(_tensor(f).to(x.dtype).round())
    return _round(x, scale, scale.reciprocal(), round_mode)


def round_bits(v: Tensor) -> Tensor:
    """See `hgq2_fixed_point.ops.round_bits`."""
    return _RoundBits.apply(_tensor(v))


def clipped_bits(v: Tensor, offset: Tensor | float = 0.0) -> Tensor:
    """See `hgq2_fixed_point.ops.clipped_bits`."""
    return _ClippedBits.apply(_tensor(v), offset)


@torch.no_grad()
def minimal_integer_bits(lo: Tensor, hi: Tensor, k: Tensor, f: Tensor) -> Tensor:
    """See `hgq2_fixed_point.ops.minimal_integer_bits`."""
    lo, hi, k, _ = torch.broadcast_tensors(_values(lo), _values(hi), _tensor(k), _tensor(f))
    mantissa, below = torch.frexp(lo)
    below = (below - (mantissa == -0.5).to(torch.int32)).to(torch.float32)  # -2^i itself is in range
    below = torch.where((k > 0) & (lo < 0), _infinite_or(lo, below), -math.inf)
    above = torch.where(hi > 0, _infinite_or(hi, torch.frexp(hi).exponent.to(torch.float32)), -math.inf)
    return torch.maximum(below, above)


@torch.no_grad()
def minimal_integer_bits_for_width(
    lo: Tensor, hi: Tensor, k: Tensor, b: Tensor, round_mode: RoundMode = "RND"
) -> Tensor:
    """See `hgq2_fixed_point.ops.minimal_integer_bits_for_width`."""
    check_round_mode(round_mode)
    lo, hi = _values(lo), _values(hi)
    k, b = _tensor(k).to(lo.dtype), _tensor(b).to(lo.dtype).round()
    lo, hi = torch.where(k > 0, lo.clamp(max=0.0), 0.0), hi.clamp(min=0.0)
    magnitude = torch.maximum(-lo, hi)
    e = torch.frexp(magnitude).exponent.to(lo.dtype)
    top = _power(b)

    def holds(i: Tensor) -> Tensor:
        scale = _power(b - i)
        lowest, highest = (_round(v, scale, torch.ones_like(scale), round_mode) for v in (lo, hi))
        return (lowest >= -k * top) & (highest <= top - 1.0)

    i = torch.where(holds(e - 1.0), e - 1.0, torch.where(holds(e), e, e + 1.0))
    return torch.where((magnitude == 0) | (b + k <= 0), -math.inf, _infinite_or(magnitude, i)).to(torch.float32)


def _infinite_or(magnitude: Tensor, bits: Tensor) -> Tensor:
    return torch.where(magnitude.isfinite(), bits, magnitude.abs().to(bits.dtype))
