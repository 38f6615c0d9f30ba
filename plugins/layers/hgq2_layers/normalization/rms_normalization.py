"""RMSNormalization with quantized inputs, mean squares, gamma and outputs."""

from __future__ import annotations

from dataclasses import KW_ONLY

from typing_extensions import override

from hgq2_layers.normalization.batch_statistics import Epsilon
from hgq2_layers.normalization.row_normalization import AxesArg, RowNormalization


class QRMSNormalization(RowNormalization):
    """y = oq(pq(q t) gq(gamma)), where q = iq(x), v = vq(mean q^2), t = tq(1 / sqrt(v + epsilon)), for each row.

    t is a lookup table of v. The mean is a shift where a row has a power of two of elements; elsewhere
    `reciprocal_quantizer` is needed.

    Args:
        axis: the axis, or axes, whose elements are a row.
        epsilon: added to the mean square.
        **kwargs: quantizers and parallelization as in `RowNormalization`; Keras' own arguments.

    Cost (docs/numerics.md#7): sum Bq^2 + the table + sum Bq Bt + sum Bp Bgamma, and sum W Br with a reciprocal.

    Example:
        >>> layer = QRMSNormalization(normalized_quantizer="none")
    """

    axis: AxesArg = -1
    epsilon: Epsilon = 1e-6
    _: KW_ONLY

    @override
    def add_parameters(self, shape: tuple[int, ...]) -> None:
        """Add gamma, which Keras calls scale."""
        self.gamma = self.add_weight(name="scale", shape=shape, initializer="ones")
        self.gamma_quantizer.build(shape)
