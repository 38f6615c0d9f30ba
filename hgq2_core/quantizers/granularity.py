"""From granularity to the shape of the bit variables: size 1 on shared axes."""

from __future__ import annotations

from dataclasses import dataclass
from math import prod
from typing import Any

import numpy as np
import numpy.typing as npt
from keras import ops

from hgq2_core.errors import ConfigError
from hgq2_core.quantizers.config import AxisBlocks, BlockGranularity, Slot

Shape = tuple[int | None, ...]


@dataclass(frozen=True)
class Sharing:
    """Which elements share their bits: the shapes of values and of bit variables that broadcast against each other.

    An axis that is cut into blocks becomes two, the blocks and the elements of each, of which the second is shared.

    Args:
        shape: of the values, the batch axis of an activation counted.
        bits: of the bit variables, which broadcast against the values once these are cut.
        blocks: for each axis that is cut, the elements of a block.
    """

    shape: Shape
    bits: tuple[int, ...]
    blocks: dict[int, int]

    @classmethod
    def of(cls, granularity: BlockGranularity, shape: Shape, slot: Slot) -> Sharing:
        """Read a granularity.

        Args:
            granularity: which elements have bits of their own.
            shape: of the values, the batch axis of an activation counted.
            slot: where the quantizer sits.

        Raises:
            ConfigError: an axis that does not exist, is the batch, is named twice, or has no static size; a block
                that does not divide its axis.
        """
        own = _own_axes(granularity, len(shape), slot)
        cut = [(_axis(each.axis, len(shape), slot, shape), each.block) for each in own if isinstance(each, AxisBlocks)]
        blocks = dict(cut)
        single = {_axis(each, len(shape), slot, shape) for each in own if not isinstance(each, AxisBlocks)}
        received = f"Received: granularity={_as_text(granularity)}"
        if slot.batched and 0 in single | blocks.keys():
            raise ConfigError(f"{slot}: the batch axis cannot have bits of its own. {received} for shape {shape}.")
        for axis in sorted(single | blocks.keys()):
            size = shape[axis]
            if size is None:
                raise ConfigError(
                    f"{slot}: axis {axis} of shape {shape} has bits of its own and needs a static size. "
                    f"{received}. Give the size, or share the bits along this axis."
                )
            named = sum(axis == each for each, _ in cut) + (axis in single)
            if named > 1 or size % blocks.get(axis, 1):
                raise ConfigError(
                    f"{slot}: an axis is cut into blocks of one size, which divides that of the axis, {size}. "
                    f"{received} for shape {shape}."
                )
        bits: list[int] = []
        for axis, size in enumerate(shape):
            count = (size or 0) // blocks.get(axis, 1) if axis in single | blocks.keys() else 1
            bits += [count, 1] if axis in blocks else [count]
        return cls(shape, tuple(bits), blocks)

    @property
    def compact_bits(self) -> tuple[int, ...]:
        """The shape of the bit variables without the axes of elements within a block: how arrays of bits are given."""
        sizes = iter(self.bits)
        return tuple(next(sizes) * (next(sizes) if axis in self.blocks else 1) for axis in range(len(self.shape)))

    @property
    def per_axis(self) -> tuple[int, ...]:
        """The shape of the values with 1 for each axis on which all elements share their bits."""
        return tuple(count * self.blocks.get(axis, 1) for axis, count in enumerate(self.compact_bits))

    @property
    def shared_axes(self) -> tuple[int, ...]:
        """The axes of cut values on which the bit variables have size 1 and the values do not."""
        sizes = self._cut_sizes(self.shape)
        return tuple(
            axis for axis, (count, size) in enumerate(zip(self.bits, sizes, strict=True)) if count == 1 != size
        )

    def cut(self, x: Any) -> Any:
        """Return values, a tensor, in the shape against which the bit variables broadcast."""
        if not self.blocks:
            return x
        return ops.reshape(x, self._cut_sizes(ops.shape(x)))

    def joined(self, values: Any, like: Any) -> Any:
        """Undo `cut`.

        Args:
            values: a tensor of the cut shape.
            like: the values before they were cut.
        """
        if not self.blocks:
            return values
        return ops.reshape(values, ops.shape(like))

    def spread(self, bits: npt.NDArray[Any]) -> npt.NDArray[Any]:
        """Return bits, of the shape of the variables, so that they broadcast against values that are not cut."""
        if not self.blocks:
            return bits
        return np.broadcast_to(bits, self._cut_sizes(self.per_axis)).reshape(self.per_axis)

    def per_element(self, bits: Any, sample: Shape) -> Any:
        """Return a bit tensor spread over the elements of one sample.

        Args:
            bits: of the shape of the variables.
            sample: the shape of one sample; without the batch axis, where the values have one.
        """
        whole = tuple(size or 1 for size in sample)
        lead = len(self.shape) - len(whole)
        bits = ops.reshape(bits, self.bits[lead:]) if lead else bits
        if not self.blocks:
            return bits if tuple(bits.shape) == whole else ops.broadcast_to(bits, whole)
        return ops.reshape(ops.broadcast_to(bits, self._cut_sizes((1,) * lead + whole)[lead:]), whole)

    def elements_per_bit(self, sample: Shape) -> int:
        """Return how many elements of one sample share a bit variable."""
        return prod(size or 1 for size in sample) // prod(self.bits)

    def _cut_sizes(self, shape: Any) -> tuple[Any, ...]:
        sizes: list[Any] = []
        for axis, size in enumerate(shape):
            sizes += [size // self.blocks[axis], self.blocks[axis]] if axis in self.blocks else [size]
        return tuple(sizes)


def bit_shape(granularity: BlockGranularity, shape: Shape, slot: Slot) -> tuple[int, ...]:
    """Return the shape of the bit variables, which broadcast against the values; see `Sharing.of`."""
    return Sharing.of(granularity, shape, slot).bits


def _own_axes(granularity: BlockGranularity, rank: int, slot: Slot) -> tuple[int | AxisBlocks, ...]:
    named = {
        "tensor": (),
        "channel": slot.channel_axes if rank > slot.batched else (),
        "element": tuple(range(int(slot.batched), rank)),
    }
    if isinstance(granularity, str):
        return named[granularity]
    return (granularity,) if isinstance(granularity, AxisBlocks) else granularity


def _as_text(granularity: BlockGranularity) -> str:
    if isinstance(granularity, AxisBlocks):
        return f"{{axis: {granularity.axis}, block: {granularity.block}}}"
    if isinstance(granularity, tuple) and any(isinstance(each, AxisBlocks) for each in granularity):
        return f"[{', '.join(_as_text(each) if isinstance(each, AxisBlocks) else str(each) for each in granularity)}]"
    return repr(granularity)


def _axis(axis: int, rank: int, slot: Slot, shape: Shape) -> int:
    if not -rank <= axis < rank:
        raise ConfigError(
            f"{slot}: no such axis. Received: axis {axis}. Allowed: {-rank} to {rank - 1} for shape {shape}."
        )
    return axis % rank
