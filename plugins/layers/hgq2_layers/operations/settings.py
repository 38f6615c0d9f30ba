"""What the statements of operations share: the settings of a Keras operation, and its axes beside the batch."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from hgq2_core import ExactnessError


def setting(operation: Any, name: str) -> Any:
    """Return an argument that a Keras operation keeps, such as `axis`."""
    return operation.get_config()[name]


def axes_beside_batch(operation: Any, axis: Any, rank: int) -> tuple[int, ...]:
    """Return axes counted from the front.

    Args:
        operation: the Keras operation.
        axis: one, several, or None for all.
        rank: of the operand, batch included.

    Raises:
        ExactnessError: the batch is among them.
    """
    given = [axis] if axis is None or isinstance(axis, int) else list(axis)
    axes = tuple(sorted(each % rank for each in given if each is not None))
    if None in given or 0 in axes:
        raise ExactnessError(
            f"{operation.name}: an operation within a sample names axes, and not that of the batch. "
            f"Received: axis={axis}. Allowed: 1 to {rank - 1}."
        )
    return axes


def axis_beside_batch(operation: Any, axis: Any, rank: int) -> int:
    """Return one axis, see `axes_beside_batch`."""
    return axes_beside_batch(operation, axis, rank)[0]


def check_order(operation: Any, axes: Sequence[int]) -> None:
    """Refuse an order of axes that does not begin with the batch.

    Raises:
        ExactnessError: the batch is moved.
    """
    if axes[0] != 0:
        raise ExactnessError(
            f"{operation.name}: the batch stays the first axis. Received: axes={list(axes)}. Allowed: those that begin "
            "with 0."
        )
