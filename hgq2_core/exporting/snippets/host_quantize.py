"""Give the integers of an export's input ports, as ports.json beside this file says. Needs Python alone.

A sample of each input is a flat list of numbers in C order, as the model takes them: where ports.json has a
standardization, after it. Each element of a port is an integer in units of 2^-f.

    import host_quantize

    ports = host_quantize.read_ports()
    host_quantize.quantize(ports, {"pixels": [0.0, 1.5, -0.25]})  # {"pixels": [0, 24, -4]}
"""

from __future__ import annotations

import json
import math
import pathlib
import struct
from bisect import bisect_right
from collections.abc import Callable
from typing import Any

HALF_UP: dict[str, Callable[[bool, bool], bool]] = {
    "TRN": lambda negative, odd: False,
    "TRN_ZERO": lambda negative, odd: negative,
    "RND": lambda negative, odd: True,
    "RND_ZERO": lambda negative, odd: negative,
    "RND_INF": lambda negative, odd: not negative,
    "RND_MIN_INF": lambda negative, odd: False,
    "RND_CONV": lambda negative, odd: odd,
}
"""Whether half a step rounds up; for TRN and TRN_ZERO, whether any part of a step does."""


def read_ports(path: str | pathlib.Path | None = None) -> dict[str, Any]:
    """Read ports.json, by default the one beside this file."""
    file = pathlib.Path(__file__).with_name("ports.json") if path is None else pathlib.Path(path)
    ports: dict[str, Any] = json.loads(file.read_text(encoding="utf-8"))
    return ports


def quantize(ports: dict[str, Any], x: dict[str, list[float]]) -> dict[str, list[int]]:
    """Return the integers of each input port for one sample of each input."""
    return {
        port["name"]: [_number(port, element, x[port["name"]][element["place"]]) for element in port["elements"]]
        for port in ports["inputs"]
    }


def _number(port: dict[str, Any], element: dict[str, Any], x: float) -> int:
    if not element["width"]:
        return 0
    value = _rounded_to(port["dtype"], x)
    if element["steps"] is not None:
        steps = port["steps"][element["steps"]]
        chosen: int = steps["values"][bisect_right(steps["thresholds"], value)]
        return chosen
    numerator, denominator = value.as_integer_ratio()
    numerator <<= max(element["f"], 0)
    denominator <<= max(-element["f"], 0)
    floor, rest = divmod(numerator, denominator)
    mode = element["round_mode"]
    truncates = mode.startswith("TRN")
    decided = HALF_UP[mode](floor < 0, floor % 2 == 1)
    if truncates:
        q = floor + (decided and rest > 0)
    else:
        q = floor + (2 * rest > denominator or (2 * rest == denominator and decided))
    return _in_range(q, floor, element["k"], 1 << (element["i"] + element["f"]), element["overflow_mode"])


def _in_range(q: int, floor: int, k: int, size: int, overflow_mode: str) -> int:
    low, high = -k * size, size - 1
    if overflow_mode == "SAT_SYM":
        low = -k * high
    if overflow_mode in ("SAT", "SAT_SYM"):
        return min(max(q, low), high)
    if overflow_mode == "SAT_ZERO":
        return q if low <= q <= high else 0
    wrapped = low + (q - low) % (high - low + 1)
    lost_sign = 0 if q == 0 else floor // (2 * size)
    if overflow_mode == "WRAP_SM" and (lost_sign ^ q // size) & 1:
        return -1 - wrapped
    return wrapped


def _rounded_to(dtype: str, x: float) -> float:
    """Return a value as Keras holds it in the dtype of the input."""
    exact = dtype in ("float64", "bool") or "int" in dtype
    value = float(x) if exact else struct.unpack("f", struct.pack("f", x))[0]
    if not math.isfinite(value):
        raise ValueError(f"NaN and infinite values have no number. Received: {x}")
    return float(value)
