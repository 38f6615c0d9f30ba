"""EinsumDense whose outputs are normalized, with one folded kernel and bias."""

from __future__ import annotations

from typing import Any

import keras
from typing_extensions import override

from hgq2_core import ConfigError
from hgq2_core.layers.arguments import ActivationArg, PositiveInt, Shape
from hgq2_core.ops import Tensor
from hgq2_layers.core.einsum_dense import QEinsumDense
from hgq2_layers.core.equation import Equation
from hgq2_layers.normalization.affine_batch_norm import AffineBatchNorm


class QEinsumDenseBatchNorm(AffineBatchNorm, QEinsumDense):
    """y = oq(act(einsum(iq(x), kq(einsum(K, s))) + bq(beta - mean * s))); statistics of einsum(iq(x), K).

    Args:
        equation: an einsum of the input and the kernel, such as `"abc,cd->abd"`; the input's first axis is the batch.
        output_shape: shape of the output without the batch and the ellipsis; None for an axis as long as the input's.
        activation: `linear` (None) or `relu`, after the normalization.
        bias_axes: the output axes that beta has, such as `"d"`; None for the normalized ones.
        normalize_axes: the axes, of kernel and output both, that have statistics of their own; None for `bias_axes`.
        **kwargs: of the kernel, the quantizers and the normalization, as in `AffineLayer` and `NormalizationLayer`.

    Cost (docs/numerics.md#7): (sum einsum(Bx, Bk) + sum over outputs of Bb) times the part that is computed at once.

    Example:
        >>> layer = QEinsumDenseBatchNorm("abc,cd->abd", (None, 32), "relu", "d")
    """

    equation: str
    output_shape: PositiveInt | Shape
    activation: ActivationArg = None
    bias_axes: str | None = None
    normalize_axes: str | None = None

    @override
    def setup(self) -> None:
        """Make the quantizers.

        Raises:
            ConfigError: axes that do not go together.
        """
        super().setup()
        self._check_axes()

    @classmethod
    @override
    def axes_from_keras(cls, layer: keras.layers.Layer, norm: keras.layers.Layer) -> dict[str, Any]:
        """Return the axis that Keras' layer normalizes, by its letter."""
        _, kernel, outputs = Equation.parse(layer.equation).letters(len(layer.input.shape))
        letter = outputs[norm.axis]
        if letter not in kernel:
            raise ConfigError(
                f"{norm.name}: {cls.__name__} normalizes an axis that kernel and output of {layer.equation!r} share. "
                f"Received: axis={norm.axis}, which is {letter!r}."
            )
        if layer.bias_axes not in (None, letter):
            raise ConfigError(
                f"{layer.name}: {cls.__name__} takes a bias along the normalized axis {letter!r} alone. "
                f"Received: bias_axes={layer.bias_axes!r}."
            )
        return {"normalize_axes": letter}

    def _check_axes(self) -> None:
        normalized = self._normalized_letters()
        stray = sorted(letter for letter in normalized if letter not in self._shared_letters())
        if not normalized or stray:
            what = f"normalize_axes {stray} are not axes" if stray else "normalize_axes or bias_axes must name axes"
            raise ConfigError(
                f"{self.name}: {what} of both kernel and output of {self.equation!r}. "
                f"Received: normalize_axes={self.normalize_axes!r}, bias_axes={self.bias_axes!r}."
            )
        if not self.center and set(self.bias_axes or normalized) != set(normalized):
            raise ConfigError(
                f"{self.name}: bias_axes are those of beta, which center=False leaves out. "
                f"Received: bias_axes={self.bias_axes!r}, normalize_axes={self.normalize_axes!r}."
            )

    def _normalized_letters(self) -> str:
        return self.normalize_axes or self.bias_axes or ""

    def _shared_letters(self) -> set[str]:
        return set(self._parsed.kernel) & set(self._parsed.outputs)

    @override
    def bias_letters(self) -> str:
        """The output axes of beta, and of the statistics."""
        return (self.bias_axes or "") + self._normalized_letters()

    @override
    def add_bias(self, shape: tuple[int, ...]) -> None:
        """Add what normalizes.

        Args:
            shape: of the folded bias: the output's last axes, 1 where it is the same.
        """
        outputs = self._letters[2]
        sizes = dict(zip(outputs[-len(shape) :], shape, strict=True))
        normalized, centered = self._normalized_letters(), self.bias_axes or self._normalized_letters()
        self._spread = tuple(size if letter in normalized else 1 for letter, size in sizes.items())
        self.add_normalization(
            [size for letter, size in sizes.items() if letter in normalized],
            [axis for axis, letter in enumerate(outputs) if letter not in normalized],
            [size if letter in centered else 1 for letter, size in sizes.items()],
        )

    @override
    def scaled_kernel(self, kernel: Tensor, s: Tensor) -> Tensor:
        """Return einsum(K, s)."""
        _, letters, outputs = self._letters
        normalized = "".join(letter for letter in outputs if letter in self._normalized_letters())
        return keras.ops.einsum(f"{letters},{normalized}->{letters}", kernel, s)

    @override
    def spread(self, statistics: Tensor) -> Tensor:
        """Return statistics the shape in which they are added to the outputs."""
        return keras.ops.reshape(statistics, self._spread)

    @override
    def spread_mask(self, mask: Tensor) -> Tensor:
        """Return a mask of the inputs a shape that broadcasts against the outputs.

        Raises:
            ConfigError: a mask of an axis over which the product sums.
        """
        inputs, _, outputs = self._letters
        letters = inputs[: len(mask.shape)]
        summed = sorted(set(letters) - set(outputs))
        if summed:
            raise ConfigError(
                f"{self.name}: the mask covers axes {summed} of {self.equation!r}, which the outputs do not have. "
                f"Received: a mask of rank {len(mask.shape)}."
            )
        placed = keras.ops.transpose(mask, [letters.index(letter) for letter in outputs if letter in letters])
        return keras.ops.expand_dims(placed, tuple(axis for axis, each in enumerate(outputs) if each not in letters))
