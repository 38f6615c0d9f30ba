"""GroupNormalization with quantized inputs, means, variances, scale, offset and outputs."""

from __future__ import annotations

from dataclasses import KW_ONLY
from typing import Annotated

import keras
from pydantic import AfterValidator
from typing_extensions import override

from hgq2_core import ConfigError
from hgq2_core.ops import Tensor
from hgq2_core.schema.base import validation_error
from hgq2_layers.normalization.batch_statistics import Epsilon
from hgq2_layers.normalization.centered_normalization import CenteredNormalization
from hgq2_layers.normalization.row_normalization import Shape


def _check_groups(groups: int) -> int:
    if groups < 1 and groups != -1:
        raise validation_error(f"must be a count of groups, or -1 for one of each channel. Received: {groups}.")
    return groups


class QGroupNormalization(CenteredNormalization):
    """y = oq(pq(d t) gq(gamma) + bq(beta)), where q = iq(x), d = dq(q - mq(mean q)), v = vq(mean d^2).

    t = tq(1 / sqrt(v + epsilon)) is a lookup table of v. A row, which has one mean and one v, is a group of channels at
    all places of the other axes. Means are shifts where a row has a power of two of elements; elsewhere
    `reciprocal_quantizer` is needed.

    Args:
        groups: how many groups the channels make; -1 for one of each channel.
        axis: the axis of the channels; all others but the batch are part of every row.
        epsilon: added to the variance.
        center: whether there is a beta.
        scale: whether there is a gamma.
        **kwargs: quantizers, weights and parallelization as in `CenteredNormalization`; Keras' own arguments.

    Cost (docs/numerics.md#7): that of LayerNormalization over the rows.

    Example:
        >>> layer = QGroupNormalization(groups=4, reciprocal_quantizer="kbi")
    """

    groups: Annotated[int, AfterValidator(_check_groups)] = 32
    axis: int = -1
    epsilon: Epsilon = 1e-3
    center: bool = True
    scale: bool = True
    _: KW_ONLY

    @override
    def channel_axes(self) -> tuple[tuple[int, ...], tuple[int, ...]]:
        """Return the axis of the channels, and the two that they are among rows: groups, and channels in one."""
        return (self.axis,), (self.axis, self.axis + 1) if self.axis >= 0 else (self.axis - 1, self.axis)

    @override
    def arrange(self, shape: Shape) -> None:
        """Split the axis of the channels into groups.

        Raises:
            ConfigError: an axis without a static size, or channels that do not make that many groups.
        """
        (axis,) = self.normalized_axes(shape)
        size = shape[axis] or 0
        groups = size if self.groups == -1 else self.groups
        if None in shape[1:] or size % groups:
            raise ConfigError(
                f"{self.name}: {groups} groups of equal size need that many channels, or a multiple of them, and every "
                f"axis but the batch's a static size. Received: groups={self.groups}, axis={self.axis} for shape "
                f"{shape}."
            )
        self.row_shape = (*shape[:axis], groups, size // groups, *shape[axis + 1 :])
        self.row_axes = tuple(each for each in range(1, len(shape) + 1) if each != axis)
        self.weight_shape = (size,)
        self.spread_shape = (size, *(1 for _ in shape[axis + 1 :]))

    @override
    def covered_axes(self) -> set[int]:
        """Return the axes of the inputs along which rows extend: all but the batch's."""
        return set(range(1, len(self.row_shape) - 1))

    @override
    def as_rows(self, q: Tensor) -> Tensor:
        """Return the inputs with the channels in groups."""
        return keras.ops.reshape(q, (-1, *self.row_shape[1:]))

    @override
    def from_rows(self, p: Tensor) -> Tensor:
        """Return the outputs with the channels side by side."""
        return keras.ops.reshape(p, (-1, *self._built_shape[1:]))
