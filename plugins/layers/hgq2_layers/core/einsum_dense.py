"""EinsumDense with quantized inputs, kernel, bias and outputs."""

from __future__ import annotations

from collections.abc import Callable
from typing import TypeVar

import keras
from typing_extensions import override

from hgq2_core import ConfigError
from hgq2_core.exact.arrays import Arrays
from hgq2_core.layers.arguments import ActivationArg, PositiveInt, Shape
from hgq2_core.ops import Tensor
from hgq2_layers.core.affine import AffineLayer
from hgq2_layers.core.equation import EinsumShapes

A = TypeVar("A")


class QEinsumDense(EinsumShapes, AffineLayer):
    """y = oq(act(einsum(iq(x), kq(K)) + bq(b))).

    Args:
        equation: an einsum of the input and the kernel, such as `"abc,cd->abd"`; the input's first axis is the batch.
        output_shape: shape of the output without the batch and the ellipsis; None for an axis as long as the input's.
        activation: `linear` (None) or `relu`.
        bias_axes: the output axes that the bias has, such as `"d"`; None for no bias.
        **kwargs: initializers, regularizers, constraints, quantizers and cost as in `AffineLayer`.

    Cost (docs/numerics.md#7): (sum einsum(Bx, Bk) + sum over outputs of Bb) times the part that is computed at once.
    """

    fused_kind = "layers.einsum_dense_batch_norm"

    equation: str
    output_shape: PositiveInt | Shape
    activation: ActivationArg = None
    bias_axes: str | None = None

    @override
    def setup(self) -> None:
        """Make the quantizers.

        Raises:
            ConfigError: a wrong equation, or a bias along other axes than the output's.
        """
        super().setup()
        stray = sorted(set(self.bias_axes or "") - set(self._parsed.outputs))
        if stray:
            raise ConfigError(
                f"bias_axes {stray} are no output axes of {self.equation!r}. Received: bias_axes={self.bias_axes!r}"
            )

    @override
    def has_bias(self) -> bool:
        """Return True if there is a bias."""
        return bool(self.bias_axes)

    def bias_letters(self) -> str:
        """The output axes along which the bias differs."""
        return self.bias_axes or ""

    @override
    def kernel_channel_axes(self) -> tuple[int, ...]:
        """The kernel's axes that only the output has."""
        parsed = self._parsed
        return tuple(axis for axis, letter in enumerate(parsed.kernel) if letter not in parsed.inputs)

    @override
    def build(self, input_shape: tuple[int | None, ...]) -> None:
        """Add kernel and bias.

        Args:
            input_shape: batch axis included.

        Raises:
            ConfigError: shapes that do not fit the equation, or a kernel axis without a static size.
        """
        inputs, kernel, outputs = self._letters_for(input_shape)
        sizes = self._sizes(input_shape)
        bias_shape = None
        if letters := self.bias_letters():
            first = min(outputs.index(letter) for letter in letters)
            self._require_static(sizes, letters, "bias", input_shape)
            bias_shape = [sizes[letter] if letter in letters else 1 for letter in outputs[first:]]
        self._letters = inputs, kernel, outputs
        self.build_parts(input_shape, [sizes[letter] for letter in kernel], bias_shape)  # type: ignore[misc, arg-type]

    @override
    def initializer_of_kernel(self) -> Callable[..., Tensor]:
        """Return the initializer with the kernel's input and output axes, as Keras does; its shape does not tell them.

        One that names them, or has no use for them, stays as it is, as does any in an older Keras, which knows no axes.
        """
        initializer = self.kernel_initializer
        axes = getattr(initializer, "input_axes", ...), getattr(initializer, "output_axes", ...)
        if axes != (None, None):
            return super().initializer_of_kernel()
        inputs, kernel, outputs = self._letters
        fans = {
            "input_axes": [axis for axis, letter in enumerate(kernel) if letter in inputs],
            "output_axes": [axis for axis, letter in enumerate(kernel) if letter in outputs],
        }
        config = {**initializer.get_config(), "seed": initializer.seed, **fans}
        return type(initializer).from_config(config)  # type: ignore[no-any-return]

    @override
    def position_sizes(self) -> list[int | None]:
        """Return the sizes of the output's axes that the kernel does not have, but the batch's."""
        return self.sizes_of_positions(self.built_output_shape)

    @override
    def product(self, x: Tensor, kernel: Tensor) -> Tensor:
        return keras.ops.einsum(self.equation, x, kernel)

    @override
    def product_ebops(self, input_bits: Tensor, kernel_bits: Tensor) -> Tensor:
        """Return the sum of einsum(Bx, Bk)."""
        inputs, kernel, _ = self._letters
        return keras.ops.einsum(f"{inputs[1:]},{kernel}->", input_bits, kernel_bits)

    @override
    def summed_kernel_axes(self) -> tuple[int, ...]:
        """Return the kernel's axes that the output does not have."""
        _, kernel, outputs = self._letters
        return tuple(axis for axis, letter in enumerate(kernel) if letter not in outputs)

    @override
    def inputs_on_kernel(self, x: Tensor, combine: Callable[..., Tensor]) -> Tensor:
        """Combine the axes that only the input has, and take the largest along those that the output has too."""
        inputs, kernel, outputs = self._letters
        summed = [axis for axis, letter in enumerate(inputs[1:]) if letter not in kernel + outputs]
        letters = [letter for letter in inputs[1:] if letter in kernel + outputs]
        return self._on_kernel(combine(x, tuple(summed)) if summed else x, letters)

    @override
    def bias_on_kernel(self, bias: Tensor) -> Tensor:
        """Take the largest along the axes that the kernel does not have."""
        return self._on_kernel(bias, list(self._letters[2][-len(bias.shape) :]))

    def _on_kernel(self, x: Tensor, letters: list[str]) -> Tensor:
        kernel = self._letters[1]
        lost = tuple(axis for axis, letter in enumerate(letters) if letter not in kernel)
        kept = [letter for letter in letters if letter in kernel]
        placed = keras.ops.max(x, lost) if lost else x
        placed = keras.ops.transpose(placed, [kept.index(letter) for letter in kernel if letter in kept])
        return keras.ops.expand_dims(placed, tuple(axis for axis, letter in enumerate(kernel) if letter not in kept))

    @override
    def exact_product(self, arrays: Arrays[A], x: A, kernel: A) -> A:
        return arrays.einsum("{},{}->{}".format(*self._letters), x, kernel)
