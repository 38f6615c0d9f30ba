"""Concatenate with quantized inputs."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, TypeVar

import keras
from typing_extensions import override

from hgq2_core import ConfigError
from hgq2_core.exact.arrays import Arrays
from hgq2_core.ops import Tensor
from hgq2_layers.merging.elementwise import MergeLayer, Shape

A = TypeVar("A")


class QConcatenate(MergeLayer):
    """y = oq(concatenate(iq_0(x_0), iq_1(x_1), ...)).

    Args:
        axis: along which the inputs are joined, batch axis counted; not the batch.
        **kwargs: quantizers as in `MergeLayer`; Keras' own arguments.

    Cost (docs/numerics.md#7): none, it is wiring.
    """

    axis: int = -1

    @override
    def merged_shape(self, shapes: Sequence[Shape]) -> Shape:
        """Add up the sizes along the axis.

        Raises:
            ConfigError: no such axis, the batch, or inputs that differ elsewhere.
        """
        received = ", ".join(map(str, shapes))
        rank = len(shapes[0])
        if not -rank <= self.axis < rank or self.axis % rank == 0:
            raise ConfigError(
                f"{self.name}: inputs are joined along one of their axes, and not the batch. "
                f"Received: axis={self.axis} for shapes {received}."
            )
        axis = self.axis % rank
        if {len(shape) for shape in shapes} != {rank} or any(
            len(set(sizes) - {None}) > 1 for place, sizes in enumerate(zip(*shapes, strict=True)) if place != axis
        ):
            raise ConfigError(
                f"{self.name}: inputs have one shape but along axis {self.axis}. Received: shapes {received}."
            )
        columns = list(zip(*shapes, strict=True))
        merged = [next((size for size in sizes if size is not None), None) for sizes in columns]
        merged[axis] = None if None in columns[axis] else sum(size or 0 for size in columns[axis])
        return tuple(merged)

    @override
    def compute_mask(self, inputs: Sequence[Tensor], mask: Sequence[Any] | None = None) -> Any:
        """Join the masks, as Keras does; an input without one is all there."""
        if mask is None or all(each is None for each in mask):
            return None
        masks = [_mask_of(x, each) for x, each in zip(inputs, mask, strict=True)]
        return keras.ops.any(keras.ops.concatenate(masks, axis=self.axis), axis=-1)

    @override
    def merge(self, inputs: Sequence[Tensor]) -> Tensor:
        return keras.ops.concatenate(inputs, axis=self.axis)

    @override
    def exact_merge(self, arrays: Arrays[A], inputs: Sequence[A]) -> A:
        return arrays.concatenate(inputs, axis=self.axis)

    @override
    def merge_ebops(self, bits: Sequence[Tensor]) -> Tensor:
        return keras.ops.zeros(())


def _mask_of(x: Tensor, mask: Any) -> Any:
    """Spread a mask over all elements of its input."""
    if mask is None:
        return keras.ops.ones_like(x, dtype="bool")
    missing = tuple(range(len(mask.shape), len(x.shape)))
    return keras.ops.logical_or(keras.ops.expand_dims(mask, missing), keras.ops.zeros_like(x, dtype="bool"))
