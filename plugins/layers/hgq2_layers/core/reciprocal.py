"""Division of sums by the count of their terms: a shift, and where needed a product with a quantized reciprocal."""

from __future__ import annotations

from typing import Any, TypeVar

import keras
import numpy as np
import numpy.typing as npt
from typing_extensions import override

from hgq2_core import ConfigError, QLayer
from hgq2_core.exact.arrays import Arrays
from hgq2_core.layers.arguments import QuantizerArg
from hgq2_core.ops import Tensor
from hgq2_core.quantizers.defaults import resolve

A = TypeVar("A")
Counts = npt.NDArray[np.int64]


class ReciprocalLayer(QLayer, kw_only=True):
    """A layer that divides sums by counts that are known when it is built.

    Where every count n is a power of two, the division is a shift. Elsewhere it is a product with a constant that is
    quantized as a weight, `2**floor(log2(n)) / n`, and a shift. A mixin in front of the layer that makes the sums.

    Args:
        reciprocal_quantizer: a config, a kind, or a mapping; without effect, and may be None, where every count is a
            power of two.
    """

    reciprocal_quantizer: QuantizerArg = None

    @override
    def setup(self) -> None:
        super().setup()
        if self.reciprocal_quantizer is not None:
            self.reciprocal_quantizer = self.add_quantizer(self.reciprocal_quantizer, "weight", "reciprocal")

    def build_reciprocal(self, counts: Counts, terms: str, remedy: str) -> None:
        """Build the quantizer; call it in `build`.

        Args:
            counts: of the terms of each sum, or of every sum as one number.
            terms: what is counted, for the message, such as `inputs`.
            remedy: how to come to powers of two, for the message.

        Raises:
            ConfigError: a count that is no power of two, without `reciprocal_quantizer`.
        """
        self.places, self.reciprocals = divisions(counts)
        if self.reciprocal_quantizer is not None:
            self.reciprocal_quantizer.build(self.reciprocals.shape)
            if not self.multiplies:
                self.reciprocal_quantizer.trainable = False
        elif needs_product(counts):
            odd = min(int(count) for count in counts.ravel() if count & (count - 1))
            raise ConfigError(
                f"{self.name}: an average of {odd} {terms} is exact once its reciprocal is quantized. "
                f"Received: reciprocal_quantizer=None. Allowed: a quantizer of weights, such as 'kbi', or {remedy}."
            )

    @property
    def multiplies(self) -> bool:
        """Whether sums are multiplied by reciprocals; where every count is a power of two, they are only shifted."""
        if self.frozen:
            return "reciprocal" in self.stored()
        return self.reciprocal_quantizer is not None and bool((self.reciprocals != 1).any())

    @override
    def folded(self) -> dict[str, Tensor]:
        """Return the reciprocals, if they are quantized."""
        if not self.multiplies:
            return super().folded()
        reciprocals = keras.ops.convert_to_tensor(self.reciprocals, self.compute_dtype)
        return {**super().folded(), "reciprocal": reciprocals}

    def divided(self, sums: Tensor, reciprocal: Tensor | None) -> Tensor:
        """Return sums divided by their counts.

        Args:
            sums: which broadcast against the counts.
            reciprocal: the quantized reciprocals; None where `multiplies` is False.
        """
        if reciprocal is not None:
            sums = sums * reciprocal
        return sums * keras.ops.convert_to_tensor(np.ldexp(1.0, -self.places), sums.dtype)

    def exact_divided(self, arrays: Arrays[A], sums: A) -> A:
        """Return sums divided by their counts, exactly."""
        if self.multiplies:
            sums = arrays.multiply(sums, self.constant(arrays, "reciprocal"))
        return arrays.shift(sums, -self.places)


def divisions(counts: Counts) -> tuple[npt.NDArray[np.int32], npt.NDArray[np.float32]]:
    """Return for each count n the p and the r between 1/2 and 1 of which 1 / n = r / 2**p; one where all are equal."""
    if counts.ndim and (counts == counts.flat[0]).all():
        counts = counts.ravel()[:1]
    places = np.asarray(np.frexp(counts)[1] - 1)
    return places, np.asarray(np.ldexp(1.0, places) / counts, dtype=np.float32)


def needs_product(counts: Counts) -> bool:
    """Return True if a count is no power of two."""
    return bool((counts & (counts - 1)).any())


def with_reciprocal(arguments: dict[str, Any], counts: Counts) -> dict[str, Any]:
    """Return the arguments of a conversion, with the default of weights for reciprocals that need a quantizer."""
    if "reciprocal_quantizer" in arguments or not needs_product(counts):
        return arguments
    return {**arguments, "reciprocal_quantizer": resolve(None, "weight").config}
