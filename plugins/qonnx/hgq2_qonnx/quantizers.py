"""Fixed-point quantizers as `Quant` nodes, with `Max` and `Min` where its one width is not that of every number.

`Quant` saturates. Wrapping, and 0 for what is out of range, are plain operations behind a `Quant` that only rounds.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np
import numpy.typing as npt

from hgq2_core.exact.integer_array import NO_BITS, fraction_bits
from hgq2_core.exact.integers import to_float
from hgq2_core.exact.rounding import limits, rounded
from hgq2_core.exporting.errors import Unsupported
from hgq2_qonnx.operand import FAR, PRECISION, Operand, ends

if TYPE_CHECKING:
    from hgq2_qonnx.arrays import QonnxArrays

Floats = npt.NDArray[np.float64]
Ints = npt.NDArray[np.int64]


class Rounding(NamedTuple):
    """A rounding mode in QONNX.

    Args:
        mode: of `Quant`.
        added: steps that are added before.
        cut: mode of a `Quant` to half steps that comes before where float32 could round the sum with half a step, which
            changes no result; empty where there is no such sum.
    """

    mode: str
    added: float = 0.0
    cut: str = ""


ROUNDING: Mapping[str, Rounding] = {
    "TRN": Rounding("FLOOR"),
    "TRN_ZERO": Rounding("DOWN"),
    "RND": Rounding("FLOOR", 0.5, "FLOOR"),
    "RND_ZERO": Rounding("HALF_DOWN", 0.0, "UP"),
    "RND_INF": Rounding("HALF_UP", 0.0, "DOWN"),
    "RND_MIN_INF": Rounding("CEIL", -0.5, "CEIL"),
    "RND_CONV": Rounding("ROUND"),
}


class Formats(NamedTuple):
    """The formats of numbers, all without bits having the step of another, and the ends of their ranges."""

    k: Ints
    i: Ints
    f: Ints
    low: Floats
    high: Floats

    @property
    def step(self) -> Floats:
        """The step of each."""
        return np.asarray(np.ldexp(1.0, -self.f))


def quantized(arrays: QonnxArrays, a: Operand, k: Ints, i: Ints, f: Ints, round_mode: str, overflow_mode: str) -> str:
    """Record the quantization of numbers, and return its tensor.

    Args:
        arrays: which record.
        a: the numbers; of an input, where nothing is known of their size.
        k: 1 with a sign, else 0; of each number, as are
        i: integer bits, and
        f: fraction bits.
        round_mode: see `Arrays.quantize`.
        overflow_mode: see `Arrays.quantize`.

    Raises:
        Unsupported: it takes plain operations, and these are not allowed.
    """
    live = k + i + f > 0
    low, high = (to_float(end) for end in limits(k, i, f, overflow_mode)[:2])
    to = Formats(k, i, np.where(live, f, f[live].min()), low, high)
    if overflow_mode in ("SAT", "SAT_SYM") or not _overflows(a, to, round_mode):
        return _saturated(arrays, a, to, round_mode)
    if not arrays.allow_plain:
        raise Unsupported(
            f"its quantizer has overflow_mode {overflow_mode}, and QONNX's Quant saturates. Say allow_plain=true "
            "(--option allow_plain=true), with which plain operations compute the same, or train with SAT or SAT_SYM."
        )
    with _plain(arrays, overflow_mode):
        return OVERFLOW[overflow_mode](arrays, a, to, round_mode).name


def weights(arrays: QonnxArrays, constants: Operand) -> str:
    """Return the tensor of a kernel: a `Quant` of its values, which it leaves as they are, as other tools look for it.

    Args:
        arrays: which record.
        constants: the kernel.
    """
    name = arrays.graph.constant(constants.values)
    f = int(fraction_bits(constants.bounds.lo).max())
    if f <= NO_BITS // 2:
        return name
    low, high = (np.ldexp(end, f) for end in (constants.values.min(), constants.values.max()))
    signed = int(low < 0)
    width = max(int(max(high, -low - 1)).bit_length() + signed, 1 + signed)
    if width > PRECISION:
        return name
    return _quant(arrays, name, constants.shape, np.array(2.0**-f), width, signed, "ROUND")


def _overflows(a: Operand, to: Formats, round_mode: str) -> bool:
    if a.raw is not None:
        return True
    low, high = (to_float(rounded(end, to.f, round_mode)[1]) for end in (a.bounds.lo, a.bounds.hi))
    return bool(((low < to.low) | (high > to.high)).any())


def _saturated(arrays: QonnxArrays, a: Operand, to: Formats, round_mode: str) -> str:
    """Record rounding and saturation."""
    signed = int(to.k.max())
    live = to.high > to.low
    width = max(int((signed + to.i + to.f)[live].max()), 1 + signed)  # of 1 bit with a sign, QONNX makes -1 and 1
    narrow = int(signed and (to.low == -to.high)[live].all())
    least, most = -signed * (2.0 ** (width - 1) - narrow), 2.0 ** (width - signed) - 1
    name = _rounded(arrays, a, to, round_mode, width, signed, narrow)
    below, above = (True, True) if a.raw is not None else _outside(a, to, round_mode)
    if (below & (to.low != least * to.step)).any():
        name = arrays.graph.add("Max", [name, _compact(arrays, to.low)], a.shape)
    if (above & (to.high != most * to.step)).any():
        name = arrays.graph.add("Min", [name, _compact(arrays, to.high)], a.shape)
    return name


def _outside(a: Operand, to: Formats, round_mode: str) -> tuple[Any, Any]:
    low, high = (to_float(rounded(end, to.f, round_mode)[1]) for end in (a.bounds.lo, a.bounds.hi))
    return low < to.low, high > to.high


def _rounded(
    arrays: QonnxArrays, a: Operand, to: Formats, round_mode: str, width: int, signed: int, narrow: int = 0
) -> str:
    """Record rounding by a `Quant`, whose width must hold what is not to saturate."""
    name, rounding = a.name, ROUNDING[round_mode]
    if a.raw is None:
        if (a.bounds.step <= to.f).all():
            return _quant(arrays, name, a.shape, to.step, width, signed, "ROUND", narrow)
        if round_mode == "RND" and not (a.bounds.lo.data < 0).any():
            rounding = ROUNDING["RND_INF"]  # the same of numbers without a sign
    if rounding.cut and not _holds_half_steps(a, to):
        name = _quant(arrays, name, a.shape, to.step / 2, width + 2 - signed, 1, rounding.cut)
    if rounding.added:
        name = arrays.graph.add("Add", [name, _compact(arrays, rounding.added * to.step)], a.shape)
    return _quant(arrays, name, a.shape, to.step, width, signed, rounding.mode, narrow)


def _holds_half_steps(a: Operand, to: Formats) -> bool:
    """Return whether float32 holds the sum of every number and half a step."""
    if a.raw is not None:
        return False
    size = np.maximum(*map(np.abs, ends(a.bounds))) + to.step / 2
    finest = np.maximum(np.where(a.bounds.step <= NO_BITS // 2, 0, a.bounds.step), to.f + 1)
    return bool((np.ldexp(size, finest.astype(np.int32)) <= 2**PRECISION).all())


def _near(arrays: QonnxArrays, a: Operand, to: Formats) -> Operand:
    """Return numbers, those of an input less whole ranges, which no wrapping tells apart from them."""
    if a.raw is None:
        return a
    span = np.ldexp(1.0, to.k + to.i + 1)
    return Operand(arrays.graph.add("Mod", [a.name, _compact(arrays, span)], a.shape, fmod=1), a.bounds, a.raw)


def _whole(arrays: QonnxArrays, a: Operand, to: Formats, round_mode: str) -> Operand:
    """Return rounded numbers, none of which saturates."""
    if a.raw is not None:
        span = np.ldexp(1.0, to.k + to.i + 1)
        bounds = arrays.intervals.between(-span, span, to.f)
    else:
        bounds = arrays.intervals.quantize(a.bounds, 1, FAR, to.f, round_mode, "SAT")
    low, high = ends(bounds)
    width = int(np.frexp(np.maximum(-low, high) / to.step)[1].max()) + 1
    return Operand(_rounded(arrays, a, to, round_mode, width, 1), bounds)


def _wrapped(arrays: QonnxArrays, q: Operand, to: Formats) -> Operand:
    span = np.where(to.high > to.low, to.high - to.low + to.step, 0.0)
    laps = arrays.subtract(q, arrays.constant(to.low))
    laps = arrays.floor(arrays.multiply(laps, arrays.constant(1.0 / np.where(span == 0, to.step, span))))
    wrapped = arrays.subtract(q, arrays.multiply(laps, arrays.constant(np.where(span == 0, to.step, span))))
    low, high, f = to.low, to.high, to.f
    return Operand(wrapped.name, arrays.intervals.between(np.where(span == 0, 0, low), high, f))


def _wrap(arrays: QonnxArrays, a: Operand, to: Formats, round_mode: str) -> Operand:
    return _wrapped(arrays, _whole(arrays, _near(arrays, a, to), to, round_mode), to)


def _wrap_sign_magnitude(arrays: QonnxArrays, a: Operand, to: Formats, round_mode: str) -> Operand:
    """Wrap, and turn the range around where the bit above it differs from the sign before rounding."""
    near = _near(arrays, a, to)
    q, cut = _whole(arrays, near, to, round_mode), _whole(arrays, near, to, "TRN")
    zero, half = arrays.constant(0.0), to.high + to.step
    present = arrays.add(arrays.less(q, zero), arrays.less(zero, q))
    sign = arrays.floor(arrays.multiply(arrays.multiply(cut, present), arrays.constant(0.5 / half)))
    both = arrays.add(sign, arrays.floor(arrays.multiply(q, arrays.constant(1.0 / half))))
    even = arrays.multiply(arrays.floor(arrays.multiply(both, arrays.constant(0.5))), arrays.constant(2.0))
    wrapped = _wrapped(arrays, q, to)
    turned = arrays.subtract(arrays.constant(to.low + to.high), wrapped)
    return arrays.select(arrays.subtract(both, even), turned, wrapped)


def _zeroed(arrays: QonnxArrays, a: Operand, to: Formats, round_mode: str) -> Operand:
    """Give 0 for what is out of range; of an input, what is far out saturates first, to just beyond it."""
    if a.raw is None:
        q = _whole(arrays, a, to, round_mode)
    else:
        width = int((1 + to.i + to.f).max()) + 1
        most = np.ldexp(1.0, width - 1) * to.step
        q = Operand(
            _rounded(arrays, a, to, round_mode, width, 1), arrays.intervals.between(-most, most - to.step, to.f)
        )
    zero = arrays.constant(0.0)
    inside = arrays.select(arrays.less(q, arrays.constant(to.low)), zero, q)
    return arrays.select(arrays.less(arrays.constant(to.high), q), zero, inside)


OVERFLOW: Mapping[str, Callable[[QonnxArrays, Operand, Formats, str], Operand]] = {
    "WRAP": _wrap,
    "WRAP_SM": _wrap_sign_magnitude,
    "SAT_ZERO": _zeroed,
}
"""For each overflow mode that `Quant` does not have, its plain operations."""


def _quant(
    arrays: QonnxArrays,
    name: str,
    shape: tuple[int, ...],
    step: Floats,
    width: int,
    signed: int,
    mode: str,
    narrow: int = 0,
) -> str:
    numbers = (_compact(arrays, step), arrays.graph.constant(0.0), arrays.graph.constant(float(width)))
    return arrays.graph.add("Quant", [name, *numbers], shape, signed=signed, narrow=narrow, rounding_mode=mode)


def _compact(arrays: QonnxArrays, values: Floats) -> str:
    """Return a constant, one number where all are the same."""
    same = (values == values.flat[0]).all()
    return arrays.graph.constant(values.flat[0] if same else values)


@contextmanager
def _plain(arrays: QonnxArrays, overflow_mode: str) -> Iterator[None]:
    arrays.graph.plain = overflow_mode
    try:
        yield
    finally:
        arrays.graph.plain = None
