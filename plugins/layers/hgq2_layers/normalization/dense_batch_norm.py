"""Dense whose outputs are normalized, with one folded kernel and bias."""

from __future__ import annotations

from typing_extensions import override

from hgq2_core.layers.arguments import ActivationArg, PositiveInt
from hgq2_layers.core.dense import QDense
from hgq2_layers.normalization.affine_batch_norm import AffineBatchNorm


class QDenseBatchNorm(AffineBatchNorm, QDense):
    """y = oq(act(iq(x) @ kq(K * s) + bq(beta - mean * s))), over the last axis; statistics of iq(x) @ K.

    Args:
        units: size of the output's last axis.
        activation: `linear` (None) or `relu`, after the normalization.
        **kwargs: of the kernel, the quantizers and the normalization, as in `AffineLayer` and `NormalizationLayer`.

    Cost (docs/numerics.md#7): (sum Bx @ Bk + sum over outputs of Bb) times the part that is computed at once.

    Example:
        >>> layer = QDenseBatchNorm(32, activation="relu", momentum=0.9)
    """

    not_in_schema = (*AffineBatchNorm.not_in_schema, "use_bias")

    units: PositiveInt
    activation: ActivationArg = None

    @override
    def add_bias(self, shape: tuple[int, ...]) -> None:
        """Add what normalizes each unit."""
        self.add_normalization(shape, range(self.input_spec.ndim - 1))
