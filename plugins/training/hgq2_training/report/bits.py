"""The bit-widths of a model's quantizers, and the values of its weights."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import keras
import numpy as np
from numpy.typing import NDArray

from hgq2_core.keras_graph.traversal import applications
from hgq2_core.layers.base import QLayer
from hgq2_training.report.regression import BINS

Array = NDArray[Any]

MAP_SIDE = 64
"""Rows and columns of a map, at most; larger ones are averaged over blocks."""
MAPS = 12
"""Maps of a model, at most."""


def slots_of(model: keras.Model) -> list[dict[str, Any]]:
    """Return for each quantizer of a model how many elements have which bit-width, and for weights their values.

    Of the first weights whose bits differ there is also a map of the bits, the last axis across.

    Args:
        model: a built model.
    """
    found, maps = [], 0
    for row, bits in _slots(model):
        if row["role"] == "weight" and bits.size > 1 and len(row["bits"]) > 1 and maps < MAPS:
            row["map"], maps = bit_map(bits), maps + 1
        found.append(row)
    return found


def _slots(model: keras.Model) -> Iterator[tuple[dict[str, Any], Array]]:
    seen: set[int] = set()
    for item in applications(model):
        layer = item.layer
        if not isinstance(layer, QLayer) or not layer.built or id(layer) in seen:
            continue
        seen.add(id(layer))
        values = {layer.slot_quantizer(name): value for name, value in layer.inputs_of_quantizers().items()}
        constants = {layer.slot_quantizer(name): value for name, value in layer.constants().items()}
        for quantizer in layer.quantizers:
            bits = np.rint(np.asarray(keras.ops.convert_to_numpy(quantizer.bits(values.get(quantizer))), np.float64))
            widths, counts = np.unique(bits, return_counts=True)
            row = {
                "layer": item.path,
                "slot": quantizer.slot.name,
                "role": quantizer.slot.role,
                "bits": {str(int(width)): int(count) for width, count in zip(widths, counts, strict=True)},
            }
            if quantizer in constants:
                row["weights"] = weights(np.asarray(keras.ops.convert_to_numpy(constants[quantizer])))
            yield row, bits


def bit_map(bits: Array) -> list[list[int]]:
    """Return bits in rows, the last axis across; a map that is too large is averaged over blocks.

    Args:
        bits: at least one axis.
    """
    while bits.ndim > 1 and bits.shape[-1] == 1:
        bits = bits[..., 0]
    rows = bits.reshape(-1, bits.shape[-1])
    for axis in (0, 1):
        size = rows.shape[axis]
        if size > MAP_SIDE:
            parts = np.array_split(rows, MAP_SIDE, axis=axis)
            rows = np.stack([part.mean(axis=axis) for part in parts], axis=axis)
    found: list[list[int]] = np.rint(rows).astype(int).tolist()
    return found


def weights(values: Array) -> dict[str, Any]:
    """Return the distribution of weights: counts between the smallest and the largest, without the zeros."""
    other = values[values != 0].astype(np.float64)
    empty = {"edges": [], "counts": [], "zeros": int(values.size - other.size), "size": int(values.size)}
    other = other[np.isfinite(other)]
    if not other.size:
        return empty
    bound = float(np.abs(other).max())
    low = -bound if (other < 0).any() else 0.0
    high = bound if (other > 0).any() else 0.0
    counts, _ = np.histogram(other, bins=BINS, range=(low, high))
    return {**empty, "edges": [low, high], "counts": counts.tolist()}
