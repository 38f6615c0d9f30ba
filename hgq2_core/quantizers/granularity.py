"""From granularity to the shape of the bit variables: size 1 on shared axes."""

from __future__ import annotations

from hgq2_core.errors import ConfigError
from hgq2_core.quantizers.config import Granularity, Slot


def bit_shape(granularity: Granularity, shape: tuple[int | None, ...], slot: Slot) -> tuple[int, ...]:
    """Return the shape of the bit variables, which broadcast against the values.

    Args:
        granularity: which elements have bits of their own.
        shape: of the values, the batch axis of an activation counted.
        slot: where the quantizer sits.

    Raises:
        ConfigError: an axis that does not exist, is the batch, or has no static size.
    """
    unshared = {_axis(axis, len(shape), slot, shape) for axis in _own_axes(granularity, len(shape), slot)}
    if slot.batched and 0 in unshared:
        raise ConfigError(
            f"{slot}: the batch axis cannot have bits of its own. "
            f"Received: granularity={granularity!r} for shape {shape}."
        )
    for axis in sorted(unshared):
        if shape[axis] is None:
            raise ConfigError(
                f"{slot}: axis {axis} of shape {shape} has bits of its own and needs a static size. "
                f"Received: granularity={granularity!r}. Give the size, or share the bits along this axis."
            )
    return tuple(size if axis in unshared and size is not None else 1 for axis, size in enumerate(shape))


def _own_axes(granularity: Granularity, rank: int, slot: Slot) -> tuple[int, ...]:
    named = {
        "tensor": (),
        "channel": slot.channel_axes if rank > slot.batched else (),
        "element": tuple(range(int(slot.batched), rank)),
    }
    return named[granularity] if isinstance(granularity, str) else granularity


def _axis(axis: int, rank: int, slot: Slot, shape: tuple[int | None, ...]) -> int:
    if not -rank <= axis < rank:
        raise ConfigError(
            f"{slot}: no such axis. Received: axis {axis}. Allowed: {-rank} to {rank - 1} for shape {shape}."
        )
    return axis % rank
