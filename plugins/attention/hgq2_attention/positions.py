"""The positions of an attention layer: the axes along which they attend, and the share that is computed at once."""

from __future__ import annotations

import math
from collections.abc import Sequence

from hgq2_attention.call_forms import Shape
from hgq2_core import ConfigError


def attention_axes(
    name: str, axes: int | Sequence[int] | None, query: Shape, value: Shape, key: Shape
) -> tuple[int, ...]:
    """Return the axes along which positions attend, all counted from the front.

    Args:
        name: of the layer.
        axes: its argument; None for all between batch and features.
        query, value, key: shapes, batch axis included.

    Raises:
        ConfigError: axes that there are not, or shapes that do not go together.
    """
    rank = len(query)
    requested = range(1, rank - 1) if axes is None else (axes,) if isinstance(axes, int) else axes
    chosen = tuple(axis if axis >= 0 else rank + axis for axis in requested)
    if not chosen or len(set(chosen)) < len(chosen) or any(not 0 < axis < rank - 1 for axis in chosen):
        raise ConfigError(
            f"{name}: attention_axes must name different axes of a query of rank {rank}, neither the batch "
            f"nor the features. Received: attention_axes={axes}."
        )
    fit = len(value) == len(key) == rank and value[1:-1] == key[1:-1]
    if not fit or any(query[n] != key[n] for n in range(1, rank - 1) if n not in chosen):
        raise ConfigError(
            f"{name}: value and key have the same axes but the last; the query too, but along "
            f"attention_axes={list(chosen)}. Received: query {query}, value {value}, key {key}."
        )
    return chosen


def require_factor(name: str, parallel: int | None, query: Shape) -> None:
    """Refuse a parallelization factor beyond the positions of the query.

    Raises:
        ConfigError: such a factor.
    """
    positions = math.prod(query[1:-1])  # type: ignore[arg-type]
    if parallel is not None and parallel > positions:
        raise ConfigError(
            f"{name}: parallelization_factor must be at most the {positions} positions of the query. "
            f"Received: {parallel}."
        )


def share(input_shape: Shape, features: int, parallel: int | None) -> float:
    """Return the share of positions that the hardware computes at once.

    Args:
        input_shape: batch axis included, the others of static size.
        features: how many of the last axes are no positions.
        parallel: positions computed at once; None for all.
    """
    positions = math.prod(input_shape[1 : len(input_shape) - features])  # type: ignore[arg-type]
    return 1.0 if parallel is None else min(1.0, parallel / positions)
