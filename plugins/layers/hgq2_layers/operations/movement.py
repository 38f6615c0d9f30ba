"""Operations that move, cut, repeat and join values: wiring, which is free."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any, ClassVar, TypeVar

import numpy as np
from typing_extensions import override

from hgq2_core import ExactnessError
from hgq2_core.exact.arrays import Arrays
from hgq2_core.layers.operations import OperationAdapter
from hgq2_layers.operations.settings import axes_beside_batch, axis_beside_batch, check_order, setting

A = TypeVar("A")


class TransposeOperation(OperationAdapter):
    """The axes in another order."""

    @override
    def exact(self, arrays: Arrays[A], layer: Any, *inputs: A) -> A:
        (x,) = inputs
        rank = len(arrays.shape(x))
        axes = [axis % rank for axis in setting(layer, "axes") or range(rank)[::-1]]
        check_order(layer, axes)
        return arrays.transpose(x, axes)


class SwapaxesOperation(OperationAdapter):
    """Two axes swapped."""

    @override
    def exact(self, arrays: Arrays[A], layer: Any, *inputs: A) -> A:
        (x,) = inputs
        axes = list(range(len(arrays.shape(x))))
        first, second = setting(layer, "axis1"), setting(layer, "axis2")
        axes[first], axes[second] = axes[second], axes[first]
        check_order(layer, axes)
        return arrays.transpose(x, axes)


class MoveaxisOperation(OperationAdapter):
    """Axes moved to other places."""

    @override
    def exact(self, arrays: Arrays[A], layer: Any, *inputs: A) -> A:
        (x,) = inputs
        places = np.arange(len(arrays.shape(x)))
        probe = np.empty(tuple(places + 1))
        moved = np.moveaxis(probe, setting(layer, "source"), setting(layer, "destination"))
        axes = [size - 1 for size in moved.shape]
        check_order(layer, axes)
        return arrays.transpose(x, axes)


class ReshapeOperation(OperationAdapter):
    """Another shape beside the batch."""

    @override
    def check_call(self, operation: Any, *args: Any, **options: Any) -> None:
        """Refuse the size of the batch as Keras' graphs have it, `keras.ops.shape(x)[0]`: it is None there."""
        if None in setting(operation, "newshape"):
            raise ExactnessError(
                f"{operation.name}: a graph does not know the size of the batch, so that this reshape fails in Keras "
                f"too. Received: shape {tuple(setting(operation, 'newshape'))}. Write -1 in place of "
                "keras.ops.shape(x)[0], and the sizes of a sample: keras.ops.reshape(x, (-1, 4, 3))."
            )

    @override
    def exact(self, arrays: Arrays[A], layer: Any, *inputs: A) -> A:
        (x,) = inputs
        batch, *rest = arrays.shape(x)
        shape = setting(layer, "newshape")
        sizes = list(shape[1:])
        if sizes.count(-1) == 1:
            sizes[sizes.index(-1)] = math.prod(rest) // max(math.prod(size for size in sizes if size != -1), 1)
        if shape[0] != -1 or math.prod(sizes) != math.prod(rest):
            raise ExactnessError(
                f"{layer.name}: the batch stays the first axis. Received: shape {tuple(shape)} for samples of shape "
                f"{tuple(rest)}. Allowed: -1, and then sizes of a sample."
            )
        return arrays.reshape(x, (batch, *sizes))


class ExpandDimsOperation(OperationAdapter):
    """Further axes of size 1."""

    @override
    def exact(self, arrays: Arrays[A], layer: Any, *inputs: A) -> A:
        (x,) = inputs
        axis = setting(layer, "axis")
        given = [axis] if isinstance(axis, int) else list(axis)
        shape = list(arrays.shape(x))
        rank = len(shape) + len(given)
        for place in axes_beside_batch(layer, given, rank):
            shape.insert(place, 1)
        return arrays.reshape(x, shape)


class SqueezeOperation(OperationAdapter):
    """Without axes of size 1."""

    @override
    def exact(self, arrays: Arrays[A], layer: Any, *inputs: A) -> A:
        (x,) = inputs
        shape = arrays.shape(x)
        axes = axes_beside_batch(layer, setting(layer, "axis"), len(shape))
        return arrays.reshape(x, [size for axis, size in enumerate(shape) if axis not in axes])


class GetItemOperation(OperationAdapter):
    """x[key], of integers, slices, `...` and `None`."""

    static: ClassVar[tuple[int, ...]] = (1,)

    @override
    def exact(self, arrays: Arrays[A], layer: Any, *inputs: Any) -> A:
        """Take what is left of each axis."""
        x, key = inputs
        items = _spelled_out(layer, key, len(arrays.shape(x)))
        axis, dropped, added = 0, list[int](), list[int]()
        for item in items:
            if item is None:
                added.append(axis - len(dropped) + len(added))
                continue
            size = arrays.shape(x)[axis]
            indices = np.arange(size)[item]
            if isinstance(item, int):
                dropped.append(axis)
            if indices.ndim == 0 or len(indices) != size or (indices != np.arange(size)).any():
                x = arrays.gather(x, np.atleast_1d(indices), axis)
            axis += 1
        shape = [size for place, size in enumerate(arrays.shape(x)) if place not in dropped]
        for place in added:
            shape.insert(place, 1)
        return arrays.reshape(x, shape) if dropped or added else x


def _spelled_out(operation: Any, key: Any, rank: int) -> list[Any]:
    items = list(key) if isinstance(key, list | tuple) else [key]
    known = all(item is None or item is Ellipsis or isinstance(item, int | slice) for item in items)
    if known:
        axes = sum(item is not None and item is not Ellipsis for item in items)
        rest = [slice(None)] * (rank - axes)
        place = items.index(Ellipsis) if Ellipsis in items else len(items)
        items = [*items[:place], *rest, *items[place + 1 :]]
    if not known or items[0] != slice(None):
        raise ExactnessError(
            f"{operation.name}: what is cut of a sample is known beforehand, and the batch stays whole. "
            f"Received: the key {key!r}. Allowed: integers, slices, `...` and None, after `:` for the batch."
        )
    return items


class TakeOperation(OperationAdapter):
    """Values at constant indices along an axis."""

    static: ClassVar[tuple[int, ...]] = (1,)

    @override
    def exact(self, arrays: Arrays[A], layer: Any, *inputs: Any) -> A:
        x, indices = inputs
        axis = axis_beside_batch(layer, setting(layer, "axis"), len(arrays.shape(x)))
        return arrays.gather(x, _constant_indices(layer, indices, arrays.shape(x)[axis]), axis)


def _constant_indices(operation: Any, indices: Any, size: int) -> Any:
    try:
        found = np.asarray(indices)
    except Exception:  # what a backend's tensors raise where they have no values
        found = np.asarray(None)
    if found.dtype.kind not in "iu" or ((found < -size) | (found >= size)).any():
        raise ExactnessError(
            f"{operation.name}: indices are integers known beforehand, from {-size} to {size - 1}. "
            f"Received: {indices!r}."
        )
    return found % size


class FlipOperation(OperationAdapter):
    """Axes turned round."""

    @override
    def exact(self, arrays: Arrays[A], layer: Any, *inputs: A) -> A:
        (x,) = inputs
        for axis in axes_beside_batch(layer, setting(layer, "axis"), len(arrays.shape(x))):
            x = arrays.gather(x, np.arange(arrays.shape(x)[axis])[::-1], axis)
        return x


class RollOperation(OperationAdapter):
    """Axes turned, what leaves at one end comes back at the other."""

    @override
    def exact(self, arrays: Arrays[A], layer: Any, *inputs: A) -> A:
        (x,) = inputs
        shift, axis = (np.atleast_1d(setting(layer, name)).tolist() for name in ("shift", "axis"))
        for each, place in zip(shift, axis, strict=True):
            place = axis_beside_batch(layer, place, len(arrays.shape(x)))
            x = arrays.gather(x, np.roll(np.arange(arrays.shape(x)[place]), each), place)
        return x


class RepeatOperation(OperationAdapter):
    """Each value several times along an axis."""

    @override
    def exact(self, arrays: Arrays[A], layer: Any, *inputs: A) -> A:
        (x,) = inputs
        axis = axis_beside_batch(layer, setting(layer, "axis"), len(arrays.shape(x)))
        return arrays.gather(x, np.repeat(np.arange(arrays.shape(x)[axis]), setting(layer, "repeats")), axis)


class TileOperation(OperationAdapter):
    """A sample several times along its axes."""

    @override
    def exact(self, arrays: Arrays[A], layer: Any, *inputs: A) -> A:
        (x,) = inputs
        rank = len(arrays.shape(x))
        repeats = np.atleast_1d(setting(layer, "repeats")).tolist()
        repeats = [*[1] * (rank - len(repeats)), *repeats]
        if repeats[0] != 1 or len(repeats) > rank:
            raise ExactnessError(f"{layer.name}: the batch is not repeated. Received: repeats={repeats}.")
        for axis, each in enumerate(repeats):
            if each != 1:
                x = arrays.gather(x, np.tile(np.arange(arrays.shape(x)[axis]), each), axis)
        return x


class PadOperation(OperationAdapter):
    """Zeros, or copies of the edge or of what is behind it, around a sample."""

    exact_where = "what is padded is 0, or mode is edge, reflect or symmetric"

    @override
    def exact(self, arrays: Arrays[A], layer: Any, *inputs: A, constant_values: Any = None) -> A:
        (x,) = inputs
        mode, rank = setting(layer, "mode"), len(arrays.shape(x))
        given = np.asarray(setting(layer, "pad_width"))
        widths = [(int(before), int(after)) for before, after in np.broadcast_to(given, (rank, 2))]
        if any(widths[0]) or mode not in ("constant", "edge", "reflect", "symmetric") or constant_values is not None:
            raise ExactnessError(
                f"{layer.name}: zeros or copies surround a sample, and not the batch. Received: pad_width={widths}, "
                f"mode={mode!r}, constant_values={constant_values}."
            )
        if mode == "constant":
            return arrays.pad(x, widths)
        for axis, pair in enumerate(widths):
            if any(pair):
                x = arrays.gather(x, np.pad(np.arange(arrays.shape(x)[axis]), pair, mode=mode), axis)
        return x


class ConcatenateOperation(OperationAdapter):
    """Tensors one after the other along an axis."""

    takes_list: ClassVar[bool] = True

    @override
    def exact(self, arrays: Arrays[A], layer: Any, *inputs: Any) -> A:
        (parts,) = inputs
        axis = axis_beside_batch(layer, setting(layer, "axis"), len(arrays.shape(parts[0])))
        return arrays.concatenate(_of_one_batch(arrays, parts), axis)


class StackOperation(OperationAdapter):
    """Tensors side by side along a new axis."""

    takes_list: ClassVar[bool] = True

    @override
    def exact(self, arrays: Arrays[A], layer: Any, *inputs: Any) -> A:
        (parts,) = inputs
        axis = axis_beside_batch(layer, setting(layer, "axis"), len(arrays.shape(parts[0])) + 1)
        wide = [
            arrays.reshape(part, (*shape[:axis], 1, *shape[axis:]))
            for part, shape in ((each, arrays.shape(each)) for each in parts)
        ]
        return arrays.concatenate(_of_one_batch(arrays, wide), axis)


def _of_one_batch(arrays: Arrays[A], parts: Sequence[A]) -> list[A]:
    batch = max(arrays.shape(part)[0] for part in parts)
    shapes = ((part, arrays.shape(part)) for part in parts)
    return [part if shape[0] == batch else arrays.broadcast(part, (batch, *shape[1:])) for part, shape in shapes]


class SplitOperation(OperationAdapter):
    """The parts of an axis."""

    @override
    def exact(self, arrays: Arrays[A], layer: Any, *inputs: A) -> Any:
        (x,) = inputs
        axis = axis_beside_batch(layer, setting(layer, "axis"), len(arrays.shape(x)))
        sections = setting(layer, "indices_or_sections")
        places = np.split(np.arange(arrays.shape(x)[axis]), sections)
        return [arrays.gather(x, part, axis) for part in places]


class UnstackOperation(OperationAdapter):
    """The slices along an axis, without it."""

    @override
    def exact(self, arrays: Arrays[A], layer: Any, *inputs: A) -> Any:
        (x,) = inputs
        axis = axis_beside_batch(layer, setting(layer, "axis"), len(arrays.shape(x)))
        return [arrays.gather(x, np.asarray(place), axis) for place in range(arrays.shape(x)[axis])]
