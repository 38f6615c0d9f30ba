"""Primitives of hand-written passes in torch. A trailing underscore means that an operand is overwritten in place."""

from __future__ import annotations

import functools
import math
from collections.abc import Callable, Iterable, Iterator
from contextlib import AbstractContextManager, contextmanager, nullcontext
from typing import Any, NamedTuple

import keras
import torch
from torch import Tensor
from torch.fx.experimental.proxy_tensor import get_proxy_mode
from torch.nn import Parameter
from torch.utils._python_dispatch import _get_current_dispatch_mode
from typing_extensions import override

from hgq2_core.ops.layout import LAYOUTS as FLOAT_LAYOUTS
from hgq2_core.ops.step import StepOperations

# Constants as tensors: on small tensors, a Python number costs three times as much as the operation.
ZERO, HALF, ONE, TWO = (torch.tensor(value) for value in (0.0, 0.5, 1.0, 2.0))
_LN2 = torch.tensor(math.log(2.0))


class Layout(NamedTuple):
    """A `FloatLayout` as tensors.

    Args:
        integer: the integer dtype of the same size.
        mantissa_bits: explicit bits of the mantissa, the low bits.
        exponent_mask: mask of the exponent field.
        half_exponent: the exponent field of 1/2 <= x < 1.
        magic: the float whose sum with an integer n has n + bias in its low bits.
        below_one: the largest number below 1.
        emax: the exponent of the largest numbers.
    """

    integer: torch.dtype
    mantissa_bits: Tensor
    exponent_mask: Tensor
    half_exponent: Tensor
    magic: Tensor
    below_one: Tensor
    emax: Tensor


def _layout(name: str) -> Layout:
    dtype, layout = getattr(torch, name), FLOAT_LAYOUTS[name]
    integer = getattr(torch, layout.integer)
    as_integers = (layout.mantissa_bits, layout.exponent_mask, layout.bias - 1)
    as_floats = (layout.magic, layout.below_one, layout.emax)
    return Layout(
        integer,
        *(torch.tensor(n, dtype=integer) for n in as_integers),
        *(torch.tensor(value, dtype=dtype) for value in as_floats),
    )


LAYOUTS = {getattr(torch, name): _layout(name) for name in FLOAT_LAYOUTS}


@functools.cache
def number(value: float) -> Tensor:
    """Return a Python number as a tensor, from a cache."""
    return torch.tensor(value)


def as_tensor(v: Any) -> Tensor:
    """Return bits as a tensor; takes a variable, a tensor or numbers."""
    if isinstance(v, keras.Variable):
        return v.value
    return v if isinstance(v, Tensor) else keras.ops.convert_to_tensor(v, "float32")


def as_values(x: Any) -> Tensor:
    """Return values as a tensor; takes a variable, a tensor or numbers, and turns narrower floats into float32."""
    x = x.value if isinstance(x, keras.Variable) else x if isinstance(x, Tensor) else keras.ops.convert_to_tensor(x)
    return x if x.dtype in LAYOUTS else x.to(torch.float32)


def exp2_(n: Tensor) -> Tensor:
    """Return 2^n, in place, for integers n from emin to emax.

    The integer is moved into the low bits, and a shift moves it into the exponent field.
    """
    layout = LAYOUTS[n.dtype]
    n.add_(layout.magic).view(layout.integer).bitwise_left_shift_(layout.mantissa_bits)
    return n


def exp2(n: Tensor, dtype: torch.dtype) -> Tensor:
    """Return 2^n, newly allocated, for integers n from emin to emax."""
    layout = LAYOUTS[dtype]
    power = n.to(dtype) + layout.magic
    power.view(layout.integer).bitwise_left_shift_(layout.mantissa_bits)
    return power


def binade(x: Tensor) -> Tensor:
    """Return the largest power of two up to |x|; 0 for subnormal x, infinity for NaN and infinite x."""
    layout = LAYOUTS[x.dtype]
    return x.view(layout.integer).bitwise_and(layout.exponent_mask).view(x.dtype)


def frexp_exponent(x: Tensor) -> Tensor:
    """Return the integer e of x = m 2^e with 1/2 <= m < 1, for x >= 0; below emin for 0 and subnormal x."""
    layout = LAYOUTS[x.dtype]
    return x.view(layout.integer).bitwise_right_shift(layout.mantissa_bits).sub_(layout.half_exponent)


def ln2(scale: float = 1.0) -> Tensor:
    """Return log(2) times a scale, the factor in gradients with respect to bits."""
    return _LN2 if scale == 1.0 else number(scale * math.log(2.0))


def sum_to(tensor: Tensor, shape: torch.Size) -> Tensor:
    """Return the sum over the axes along which a tensor of this shape was broadcast."""
    return tensor if tensor.shape == shape else tensor.sum_to_size(shape)


def plus_(a: Tensor | None, b: Tensor) -> Tensor:
    """Return a gradient plus b, added in place; b if there is no gradient yet."""
    return b if a is None else a.add_(b)


def plus_everywhere_(grad: Tensor | None, scale: Tensor, factor: float, shape: torch.Size) -> Tensor | None:
    """Return a gradient of this shape plus scale * factor in all elements, added in place."""
    if not factor:
        return grad
    share = scale * number(factor)
    return share.expand(shape) if grad is None else grad.add_(share)


def recomputable(tensor: Tensor, compute: Callable[[], Tensor]) -> None:
    """Let `StepOperations.sparing` compute a tensor once more for the backward pass, in place of keeping it."""
    tensor.recompute = compute


@contextmanager
def _recomputing(tensors: Iterable[Tensor]) -> Iterator[None]:
    sources = {tensor.untyped_storage().data_ptr(): tensor.recompute for tensor in tensors}

    def pack(tensor: Tensor) -> Any:
        compute = sources.get(tensor.untyped_storage().data_ptr())
        return tensor if compute is None else (compute, tensor.size(), tensor.stride(), tensor.storage_offset())

    def unpack(packed: Any) -> Tensor:
        if isinstance(packed, Tensor):
            return packed
        compute, size, stride, offset = packed
        values: Tensor = compute().as_strided(size, stride, offset)
        return values

    with torch.autograd.graph.saved_tensors_hooks(pack, unpack):
        yield


def may_read(x: Tensor) -> bool:
    """Return True if what is computed next may depend on numbers read from x.

    Not while a graph is recorded, for which they would be constants; nor where reading waits for another device.
    """
    return (
        type(x) in (Tensor, Parameter)
        and x.device.type == "cpu"
        and x.numel() > 0
        and get_proxy_mode() is None
        and not torch.compiler.is_compiling()
        and not torch.jit.is_tracing()
    )


UNCACHED = 2**20
"""Elements of tensors from which passes over several of them go to the memory, not to a cache."""
BLOCK = 2**16
"""Elements of a block; the few tensors that a quantizer computes with then stay in the cache of a core."""


def in_blocks(compute: Callable[..., tuple[Any, ...]], x: Tensor, *arguments: Any) -> tuple[Any, ...]:
    """Return what a function of tensors computes; if they are large and of one shape, some rows at a time.

    Args:
        compute: of `x` and the arguments; where these have one shape, it must compute each element by itself. It
            returns new tensors of that shape, or None in their place. At the end of a block, as at the end of the
            whole, torch computes without vectors: signs of 0 and of NaN may differ there, but no numbers.
        x: a tensor.
        arguments: tensors and anything else.
    """
    shapes = {each.shape for each in arguments if isinstance(each, Tensor)} | {x.shape}
    watched = _get_current_dispatch_mode() is not None  # what records or counts operations gets each once
    if x.numel() < UNCACHED or len(shapes) > 1 or watched or not may_read(x):
        return compute(x, *arguments)
    rows = max(1, BLOCK * len(x) // x.numel())
    whole: list[Any] = []
    for start in range(0, len(x), rows):
        part = slice(start, start + rows)
        results = compute(x[part], *(each[part] if isinstance(each, Tensor) else each for each in arguments))
        whole = whole or [None if each is None else each.new_empty(x.shape) for each in results]
        for to, result in zip(whole, results, strict=True):
            if result is not None:
                to[part] = result
    return tuple(whole)


class _Step(StepOperations):
    @override
    def total(self, x: Tensor, axis: int | tuple[int, ...] | None) -> Tensor:
        return self.value(x).sum() if axis is None else self.value(x).sum(axis)

    @override
    def dot(self, a: Tensor, b: Tensor) -> Tensor:
        return self.value(a).dot(self.value(b))

    @override
    def affine(self, x: Tensor, kernel: Tensor, bias: Tensor) -> Tensor:
        # One node instead of two, and one pass less over the outputs.
        return self.value(bias).addmm(x, self.value(kernel)) if x.ndim == 2 else super().affine(x, kernel, bias)

    @override
    def clip(self, x: Tensor, lower: float, upper: float) -> Tensor:
        return self.value(x).detach().clamp_(lower, upper)

    @override
    def reshape(self, x: Tensor, shape: tuple[int, ...]) -> Tensor:
        return self.value(x).reshape(shape)

    @override
    def assign(self, variable: keras.Variable, values: Tensor) -> None:
        target = variable.value
        (target.detach() if target.requires_grad else target).copy_(values)

    @override
    def sparing(self, tensors: Iterable[Any]) -> AbstractContextManager[None]:
        spared = [tensor for tensor in tensors if hasattr(tensor, "recompute")]
        return _recomputing(spared) if spared else nullcontext()

    @override
    def table_index(self, x: Tensor, last: int) -> Tensor:
        return x.clamp(0, last).nan_to_num_(nan=last + 1).to(torch.int32)

    @override
    def take_rows(self, table: Tensor, index: Tensor) -> Tensor:
        return table.index_select(0, index.reshape(-1)).view(*index.shape, *table.shape[1:])


STEP = _Step()
