"""LayerNormalization with quantized inputs, means, variances, scale, offset and outputs."""

from __future__ import annotations

from dataclasses import KW_ONLY
from typing import Any

import keras
from typing_extensions import override

from hgq2_core import ConfigError
from hgq2_core.layers.transfer import shared_arguments
from hgq2_layers.normalization.batch_statistics import Epsilon
from hgq2_layers.normalization.centered_normalization import CenteredNormalization
from hgq2_layers.normalization.row_normalization import AxesArg


class QLayerNormalization(CenteredNormalization):
    """y = oq(pq(d t) gq(gamma) + bq(beta)), where q = iq(x), d = dq(q - mq(mean q)), v = vq(mean d^2).

    t = tq(1 / sqrt(v + epsilon)) is a lookup table of v. A row, which has one mean and one v, is the elements along
    `axis` at one place of the other axes. Means are shifts where a row has a power of two of elements; elsewhere
    `reciprocal_quantizer` is needed.

    Args:
        axis: the axis, or axes, whose elements are a row.
        epsilon: added to the variance.
        center: whether there is a beta.
        scale: whether there is a gamma.
        **kwargs: quantizers, weights and parallelization as in `CenteredNormalization`; Keras' own arguments.

    Cost (docs/numerics.md#7): 0.65 (sum Bq - sum over rows of min Bq) + sum max(Bq, Bmean) + sum Bd^2 + the table +
    sum Bd Bt + sum Bp Bgamma + sum Bbeta, and sum W Br for each mean with a reciprocal.

    Example:
        >>> layer = QLayerNormalization(variance_quantizer=KIF(k=0, i=2, f=6, overflow_mode="SAT"))
    """

    axis: AxesArg = -1
    epsilon: Epsilon = 1e-3
    center: bool = True
    scale: bool = True
    _: KW_ONLY

    @classmethod
    @override
    def arguments_from_keras(cls, layer: keras.layers.Layer) -> dict[str, Any]:
        """Return the arguments of this class for a Keras layer.

        Raises:
            ConfigError: a layer with `rms_scaling`, which divides by the variance and keeps the mean.
        """
        if getattr(layer, "rms_scaling", False):
            raise ConfigError(
                f"{layer.name}: {cls.__name__} subtracts the mean. Received: rms_scaling=True. "
                "Use keras.layers.RMSNormalization, which rms_normalization (QRMSNormalization) quantizes."
            )
        return shared_arguments(layer, cls, ("rms_scaling",))
