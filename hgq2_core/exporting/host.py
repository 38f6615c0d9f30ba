"""The host's part of an export: raw inputs quantized into the formats of the ports."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

from hgq2_core.exact import Integers
from hgq2_core.exact.integers import from_float, to_float
from hgq2_core.exporting.ports import Port

Floats = npt.NDArray[np.float64]


def quantize_inputs(ports: Sequence[Port], x: Sequence[Any]) -> Floats:
    """Return inputs quantized to the formats of the ports.

    Args:
        ports: the inputs of an export.
        x: one array per input of the model, samples first.

    Returns:
        Values on the ports' grids, one row per sample, ports concatenated.
    """
    return np.concatenate([_into_formats(values, port) for values, port in zip(x, ports, strict=True)], axis=1)


def _into_formats(x: Any, port: Port) -> Floats:
    values = np.asarray(x, dtype=np.float64).reshape(len(x), -1)
    result = np.zeros_like(values)
    modes = [(str(element.round_mode), str(element.overflow_mode)) for element in port.elements]
    for round_mode, overflow_mode in sorted(set(modes)):
        places = [n for n, mode in enumerate(modes) if mode == (round_mode, overflow_mode)]
        k, i, f = np.array([(e.k, e.i, e.f) for e in (port.elements[n] for n in places)]).T
        quantized = Integers().quantize(from_float(values[:, places]), k, i, f, round_mode, overflow_mode)
        result[:, places] = to_float(quantized)
    return result
