"""Einsums of lookup tables."""

from __future__ import annotations

import math
from typing import TypeVar

import keras
from typing_extensions import override

from hgq2_core import ConfigError
from hgq2_core.exact.arrays import Arrays
from hgq2_core.layers.arguments import ActivationArg, PositiveInt, Shape
from hgq2_core.ops import Tensor
from hgq2_layers.core.equation import EinsumShapes
from hgq2_layers.lut.table_network import LUTLayer

A = TypeVar("A")


class QEinsumDenseLUT(EinsumShapes, LUTLayer):
    """An einsum whose every product with an element of a kernel is a table: y = oq(act(sum of tq(f_k(iq(x))))).

    Args:
        equation: an einsum of the input and of what would be the kernel, such as `"abc,cd->abd"`: there is a table for
            each of its elements. The input's first axis is the batch.
        output_shape: shape of the output without the batch and the ellipsis; None for an axis as long as the input's.
        activation: act, `linear` (None) or `relu`.
        **kwargs: networks and quantizers as in `LUTLayer`, whose inputs are the axes of the kernel that the input has
            too, one after the other, and whose outputs are the kernel's others.

    Example:
        >>> layer = QEinsumDenseLUT("abc,cd->abd", (None, 16), "relu")
    """

    equation: str
    output_shape: PositiveInt | Shape
    activation: ActivationArg = None

    @override
    def build(self, input_shape: tuple[int | None, ...]) -> None:
        """Add the networks.

        Args:
            input_shape: batch axis included.

        Raises:
            ConfigError: shapes that do not fit the equation, or a kernel axis without a static size, or the batch's.
        """
        input_shape = tuple(input_shape)
        inputs, kernel, outputs = self._letters_for(input_shape)
        sizes = self._sizes(input_shape)
        if inputs[0] in kernel:
            raise ConfigError(
                f"{self.name}: the input's first axis is the batch, which no kernel has. "
                f"Received: equation={self.equation!r}."
            )
        self._others = [letter for letter in inputs if letter not in kernel]
        self._shared = [letter for letter in kernel if letter in inputs]
        self._added = [letter for letter in kernel if letter not in inputs]
        self._letters = inputs, kernel, outputs
        self._kernel_sizes = {letter: int(sizes[letter] or 0) for letter in kernel}
        summed = [letter for letter in inputs if letter not in outputs]
        if any(sizes[letter] is None for letter in summed):
            raise ConfigError(
                f"{self.name}: axes {summed} of {self.equation!r}, over which it sums, need static sizes. "
                f"Received: {input_shape}."
            )
        windows = (*[sizes[letter] for letter in self._others], self._size(self._shared))
        self.build_parts(
            input_shape, windows, self._size(self._added), math.prod(sizes[letter] or 0 for letter in summed)
        )

    def _size(self, letters: list[str]) -> int:
        return math.prod(self._kernel_sizes[letter] for letter in letters)

    def _order(self) -> list[int]:
        """Return the order of the axes of the input: first those that the kernel does not have."""
        return [self._letters[0].index(letter) for letter in self._others + self._shared]

    def _collection(self) -> tuple[list[int], tuple[int, ...], list[int]]:
        """Return the axes to sum, out of (others, shared, added), and the order of the rest."""
        letters = self._others + self._shared + self._added
        kept = [letter for letter in letters if letter in self._letters[2]]
        lost = tuple(axis for axis, letter in enumerate(letters) if letter not in kept)
        kernel = [self._kernel_sizes[letter] for letter in self._shared + self._added]
        return kernel, lost, [kept.index(letter) for letter in self._letters[2]]

    @override
    def position_sizes(self) -> list[int | None]:
        """Return the sizes of the output's axes that the kernel does not have, but the batch's."""
        return self.sizes_of_positions(self.built_output_shape)

    @override
    def windows(self, x: Tensor) -> Tensor:
        """Return the axes that the kernel has too as one, the last."""
        x = keras.ops.transpose(x, self._order())
        return keras.ops.reshape(x, (*keras.ops.shape(x)[: len(self._others)], self._size(self._shared)))

    @override
    def exact_windows(self, arrays: Arrays[A], x: A) -> A:
        x = arrays.transpose(x, self._order())
        return arrays.reshape(x, (*arrays.shape(x)[: len(self._others)], self._size(self._shared)))

    def _kept(self) -> list[str]:
        return [letter for letter in self._shared if letter in self._letters[2]]

    @override
    def normalized_size(self) -> int:
        """Return how many statistics there are: one for each element of the kernel's axes that the output has."""
        return self._size(self._kept()) * self.outputs

    @override
    def normalized(self, values: Tensor, training: bool) -> Tensor:
        """Normalize, with the kernel's axes that the output has as one, the last."""
        kept, lead = self._kept(), len(values.shape) - 2
        if not kept:
            return super().normalized(values, training)
        letters = [letter for letter in self._shared if letter not in kept] + kept
        order = [*range(lead), *(lead + self._shared.index(letter) for letter in letters), lead + len(letters)]
        back = sorted(range(len(order)), key=order.__getitem__)
        shape = keras.ops.shape(values)
        sizes = (*shape[:lead], *(self._kernel_sizes[letter] for letter in self._shared), self.outputs)
        moved = keras.ops.transpose(keras.ops.reshape(values, sizes), order)
        return keras.ops.reshape(keras.ops.transpose(super().normalized(moved, training), back), shape)

    @override
    def sums(self, y: Tensor) -> Tensor:
        """Sum over what the output does not have, and order its axes."""
        kernel, lost, order = self._collection()
        y = keras.ops.reshape(y, (*keras.ops.shape(y)[: len(self._others)], *kernel))
        return keras.ops.transpose(keras.ops.sum(y, axis=lost) if lost else y, order)

    @override
    def exact_sums(self, arrays: Arrays[A], y: A) -> A:
        kernel, lost, order = self._collection()
        y = arrays.reshape(y, (*arrays.shape(y)[: len(self._others)], *kernel))
        return arrays.transpose(arrays.sum(y, lost) if lost else y, order)
