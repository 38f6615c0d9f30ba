"""Which trained number is added to the score of a query and a key, by their positions."""

from __future__ import annotations

import math
from typing import Literal

import numpy as np
import numpy.typing as npt

from hgq2_core import ConfigError

PositionBias = Literal["full", "relative", "bucketed"]
Pairs = npt.NDArray[np.int32]


def table_of(
    form: PositionBias, where: str, positions: tuple[int, ...], buckets: int, max_distance: int
) -> tuple[tuple[int, ...], Pairs | None]:
    """Return the shape of one head's numbers, and for each query and key the place of theirs.

    Args:
        form: one for each pair, for each distance, or for each bucket of distances.
        where: the layer, for messages.
        positions: of the queries, then of the keys.
        buckets: how many, for `bucketed`.
        max_distance: from which on all distances are in the last bucket.

    Returns:
        The shape; and the places (queries, keys), None where each pair has its own number.

    Raises:
        ConfigError: distances along several axes, or buckets that cannot be halved.
    """
    if form == "full":
        return positions, None
    if len(positions) != 2:
        raise ConfigError(
            f"{where}: distances are along one attention axis. Received: position_bias={form!r} along "
            f"{len(positions) // 2} axes. Allowed: 'full'."
        )
    queries, keys = positions
    distance = np.arange(keys) - np.arange(queries)[:, np.newaxis]
    if form == "relative":
        return (queries + keys - 1,), (distance + queries - 1).astype(np.int32)
    if buckets < 4 or buckets % 2 or max_distance <= buckets // 4:
        raise ConfigError(
            f"{where}: position_buckets is an even number from 4 on, and max_distance more than a quarter of it. "
            f"Received: position_buckets={buckets}, max_distance={max_distance}."
        )
    return (buckets,), _bucket(distance, buckets // 2, max_distance)


def _bucket(distance: npt.NDArray[np.int64], half: int, max_distance: int) -> Pairs:
    """Return T5's buckets: small distances have one each, larger ones share them by their logarithm."""
    size, single = np.abs(distance), half // 2
    growth = np.log(np.maximum(size, 1) / single) / math.log(max_distance / single)
    shared = np.minimum(single + (growth * (half - single)).astype(np.int64), half - 1)
    return (np.where(size < single, size, shared) + np.where(distance > 0, half, 0)).astype(np.int32)
