"""The host's part of an export: raw inputs as integers in the formats of the ports."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from hgq2_core.errors import DataError, listing
from hgq2_core.exporting.ports import Element, Port, Ports

Floats = npt.NDArray[np.float64]
Integers64 = npt.NDArray[np.int64]


def host_quantize(ports: str | Path | Ports, x: Any) -> dict[str, Integers64]:
    """Return the integers that a host gives to an export: what the model's first quantizers make of its inputs.

    Args:
        ports: `ports.json`, the directory of an export, or `Ports`.
        x: inputs as the model takes them (where `ports.json` has a standardization, after it): an array for the only
            input, or a dict by the names of the inputs; samples first. Rounded to the dtype of the input first, as
            Keras does.

    Returns:
        For each input port an int64 array (samples, elements): the numbers of `Port.elements`, in units of 2^-f.

    Raises:
        ConfigError: `ports.json` cannot be read.
        DataError: another shape, other names, or values that are NaN or infinite.

    Example:
        >>> host_quantize("rtl/ports.json", x)["pixels"].shape
        (450, 64)
    """
    described = ports if isinstance(ports, Ports) else Ports.read(ports)
    arrays = _by_name(described.inputs, x)
    return {port.name: quantized(port, _checked(port, arrays[port.name])) for port in described.inputs}


def quantize_inputs(ports: Sequence[Port], x: Sequence[Any]) -> Floats:
    """Return inputs quantized to the formats of the ports.

    Args:
        ports: the inputs of an export.
        x: one array per input of the model, samples first.

    Returns:
        Values on the ports' grids, one row per sample, ports concatenated.
    """
    rows = [np.asarray(each, dtype=np.float64).reshape(len(each), -1) for each in x]
    parts = [
        np.ldexp(quantized(port, row).astype(np.float64), [-element.f for element in port.elements])
        for port, row in zip(ports, rows, strict=True)
    ]
    return np.concatenate(parts, axis=1)


def quantized(port: Port, x: Floats) -> Integers64:
    """Return the numbers of a port, (samples, elements), in units of 2^-f of each.

    Args:
        port: of an input.
        x: finite values, (samples, numbers).
    """
    result = np.zeros((len(x), len(port.elements)), dtype=np.int64)
    groups: dict[tuple[Any, ...], list[int]] = {}
    for column, element in enumerate(port.elements):
        if element.width:
            key = (element.steps, element.round_mode, element.overflow_mode)
            groups.setdefault(key, []).append(column)
    for (steps, _, _), columns in groups.items():
        elements = [port.elements[column] for column in columns]
        values = x[:, [element.place for element in elements]]
        if steps is None:
            result[:, columns] = _fixed_point(values, elements)
        else:
            function = port.steps[steps]
            where = np.searchsorted(function.thresholds, values, side="right")
            result[:, columns] = np.array(function.values, dtype=np.int64)[where]
    return result


def _fixed_point(x: Floats, elements: Sequence[Element]) -> Integers64:
    """Round and overflow in float64, whose every operation here is exact."""
    k, i, f = (np.array([getattr(element, name) for element in elements], dtype=np.int32) for name in "kif")
    round_mode, overflow_mode = str(elements[0].round_mode), str(elements[0].overflow_mode)
    # Values far outside give what they give within a few times the range, where 2^f scales them exactly.
    if overflow_mode.startswith("WRAP"):
        near = np.fmod(x, np.ldexp(1.0, k + i + 1))
    else:
        near = np.clip(x, -np.ldexp(1.0, i + 1), np.ldexp(1.0, i + 1))
    same = near == x
    tiny = np.ldexp(1.0, -f - 3)  # rounds alike, and does not underflow
    near = np.where((near != 0) & (np.abs(near) < tiny), np.copysign(tiny, near), near)
    scaled = np.ldexp(near, f)
    floor = np.floor(scaled)
    rounded = floor + ROUND_UP[round_mode](floor, scaled - floor)
    lost = np.where((rounded == 0) & same, 0, _bit(floor, i + f + 1))
    return OVERFLOW[overflow_mode](rounded, k, i + f, lost)


ROUND_UP: Mapping[str, Callable[[Floats, Floats], Any]] = {
    "TRN": lambda floor, rest: 0,
    "TRN_ZERO": lambda floor, rest: (rest > 0) & (floor < 0),
    "RND": lambda floor, rest: rest >= 0.5,
    "RND_ZERO": lambda floor, rest: (rest > 0.5) | ((rest == 0.5) & (floor < 0)),
    "RND_INF": lambda floor, rest: (rest > 0.5) | ((rest == 0.5) & (floor >= 0)),
    "RND_MIN_INF": lambda floor, rest: rest > 0.5,
    "RND_CONV": lambda floor, rest: (rest > 0.5) | ((rest == 0.5) & (np.fmod(floor, 2) != 0)),
}
"""For each rounding mode, whether a value between two integers rounds up, by the lower one and the rest."""


def _bit(floor: Floats, place: npt.NDArray[np.int32]) -> npt.NDArray[np.bool_]:
    """Return whether a bit of the two's complement is 1."""
    return np.asarray(np.fmod(np.floor(np.ldexp(floor, -place)), 2) != 0)


def _wrap(q: Floats, k: Any, bits: Any, lost: Any) -> Integers64:
    size = np.ldexp(1.0, k + bits).astype(np.int64)
    near = np.fmod(q, size).astype(np.int64)
    low, high = -k * (size // 2), size - k * (size // 2)
    return np.asarray(np.where(near < low, near + size, np.where(near >= high, near - size, near)))


def _wrap_sign_magnitude(q: Floats, k: Any, bits: Any, lost: Any) -> Integers64:
    wrapped = _wrap(q, k, bits, lost)
    return np.asarray(np.where(lost != _bit(q, bits), -1 - wrapped, wrapped))


def _saturate(q: Floats, low: Any, bits: Any) -> Integers64:
    size = np.ldexp(1.0, bits)
    inside = np.where(np.abs(q) < size, q, 0).astype(np.int64)  # -size is no number of SAT_SYM, and is `low` of SAT
    clipped = np.where(q >= size, size.astype(np.int64) - 1, np.where(q <= -size, low, inside))
    return np.asarray(np.maximum(clipped, low))


def _zero(q: Floats, k: Any, bits: Any, lost: Any) -> Integers64:
    size = np.ldexp(1.0, bits)
    inside = (q >= -k * size) & (q < size)
    return np.asarray(np.where(inside, q, 0).astype(np.int64))


OVERFLOW: Mapping[str, Callable[[Floats, Any, Any, Any], Integers64]] = {
    "WRAP": _wrap,
    "WRAP_SM": _wrap_sign_magnitude,
    "SAT": lambda q, k, bits, lost: _saturate(q, -k * np.ldexp(1.0, bits).astype(np.int64), bits),
    "SAT_SYM": lambda q, k, bits, lost: _saturate(q, k * (1 - np.ldexp(1.0, bits).astype(np.int64)), bits),
    "SAT_ZERO": _zero,
}
"""For each overflow mode, the function of rounded values, k, i + f, and of the lost sign bit."""


def _by_name(ports: Sequence[Port], x: Any) -> Mapping[str, Any]:
    names = [port.name for port in ports]
    given = x if isinstance(x, Mapping) else None
    if given is None and len(ports) == 1:
        return {names[0]: x}
    if given is None or set(given) != set(names):
        received = "one array" if given is None else listing(given)
        raise DataError(f"host_quantize: needs an array for each of {listing(names)}. Received: {received}.")
    return given


def _checked(port: Port, x: Any) -> Floats:
    """Return values in the dtype of the input, (samples, numbers), as float64."""
    array = np.asarray(x)
    if array.ndim < 1 or math.prod(array.shape[1:]) != math.prod(port.shape):
        raise DataError(
            f"host_quantize: input {port.name!r} takes samples of shape {list(port.shape)}. "
            f"Received: shape {list(array.shape[1:])}."
        )
    if array.dtype.kind not in "biuf":
        raise DataError(f"host_quantize: input {port.name!r} takes numbers. Received: dtype={array.dtype}.")
    with np.errstate(over="ignore"):
        # numpy has no bfloat16, whose values are rounded by who makes them
        values = array.astype(port.dtype if port.dtype != "bfloat16" else "float32").astype(np.float64)
    if not np.isfinite(values).all():
        raise DataError(f"host_quantize: input {port.name!r} holds values that are NaN or infinite as {port.dtype}.")
    return values.reshape(len(array), math.prod(port.shape))
