"""EinsumDense with quantized inputs, kernel, bias and outputs."""

from __future__ import annotations

import re
import string
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, TypeVar, Unpack

import keras

from hgq2_core import ConfigError
from hgq2_core.arguments import ActivationArg, PositiveInt, Shape
from hgq2_core.exact.arrays import Arrays
from hgq2_layers.affine import AffineKwargs, AffineLayer

A = TypeVar("A")
Tensor = Any

FORMS = "`ab,bc->ac`, `...b,bc->...c` or `ab...,bc->ac...`"


@dataclass(frozen=True)
class Equation:
    """An einsum of inputs and kernel, its parts without the ellipsis.

    Args:
        inputs, kernel, outputs: the letters.
        ellipsis: where the other axes stand: `left`, `right`, or nowhere.
    """

    inputs: str
    kernel: str
    outputs: str
    ellipsis: str | None

    @classmethod
    def parse(cls, text: str) -> Equation:
        """Read an equation.

        Raises:
            ConfigError: another form, a letter twice in one part, or an output letter from nowhere.
        """
        compact = text.replace(" ", "")
        match = re.fullmatch(r"(\.{3})?([a-zA-Z]+)(\.{3})?,([a-zA-Z]+)->(\.{3})?([a-zA-Z]+)(\.{3})?", compact)
        if match is None or match[1] != match[5] or match[3] != match[7] or (match[1] and match[3]):
            raise ConfigError(f"equation must look like {FORMS}. Received: equation={text!r}")
        inputs, kernel, outputs = match[2], match[4], match[6]
        repeated = [part for part in (inputs, kernel, outputs) if len(set(part)) < len(part)]
        unknown = sorted(set(outputs) - set(inputs) - set(kernel))
        idle = sorted(set(kernel) - set(inputs) - set(outputs))
        if repeated or unknown or idle:
            what = (
                f"{repeated[0]!r} repeats a letter"
                if repeated
                else f"output {unknown} are in neither input nor kernel"
                if unknown
                else f"kernel {idle} are in neither input nor output"
            )
            raise ConfigError(f"equation: {what}. Received: equation={text!r}")
        return cls(inputs, kernel, outputs, "left" if match[1] else "right" if match[3] else None)

    def spelled(self, rank: int) -> tuple[str, str, str]:
        """Give the three parts for inputs of this rank, with letters in place of the ellipsis."""
        free = (letter for letter in string.ascii_letters if letter not in self.inputs + self.kernel + self.outputs)
        rest = "".join(next(free) for _ in range(rank - len(self.inputs)))
        if self.ellipsis == "left":
            return rest + self.inputs, self.kernel, rest + self.outputs
        return self.inputs + rest, self.kernel, self.outputs + rest


class QEinsumDense(AffineLayer):
    """y = oq(act(einsum(iq(x), kq(K)) + bq(b))).

    Args:
        equation: an einsum of the input and the kernel, such as `"abc,cd->abd"`; the input's first axis is the batch.
        output_shape: shape of the output without the batch and the ellipsis; None for an axis as long as the input's.
        activation: `linear` (None) or `relu`.
        bias_axes: the output axes that the bias has, such as `"d"`; None for no bias.
        **kwargs: initializers, regularizers, constraints and quantizers as in `AffineLayer`; Keras' own words.

    Cost (NUMERICS 7): sum einsum(Bx, Bk) + sum over outputs of Bb.
    """

    def __init__(
        self,
        equation: str,
        output_shape: PositiveInt | Shape,
        activation: ActivationArg = None,
        bias_axes: str | None = None,
        **kwargs: Unpack[AffineKwargs],
    ) -> None:
        self.equation = equation
        self.output_shape = output_shape
        self.bias_axes = bias_axes
        self._parsed = Equation.parse(equation)
        stray = sorted(set(bias_axes or "") - set(self._parsed.outputs))
        if stray:
            raise ConfigError(
                f"bias_axes {stray} are no output axes of {equation!r}. Received: bias_axes={bias_axes!r}"
            )
        super().__init__(activation=activation, **kwargs)

    def has_bias(self) -> bool:
        """Whether there is a bias."""
        return bool(self.bias_axes)

    def bias_letters(self) -> str:
        """The output axes along which the bias differs."""
        return self.bias_axes or ""

    def kernel_channel_axes(self) -> tuple[int, ...]:
        """The kernel's axes that only the output has."""
        parsed = self._parsed
        return tuple(axis for axis, letter in enumerate(parsed.kernel) if letter not in parsed.inputs)

    def build(self, input_shape: tuple[int | None, ...]) -> None:
        """Add kernel and bias.

        Args:
            input_shape: batch axis included.

        Raises:
            ConfigError: shapes that do not fit the equation, or a kernel axis without a static size.
        """
        inputs, kernel, outputs = self._spelled(input_shape)
        sizes = dict(zip(inputs, input_shape, strict=True))
        output_shape = self.compute_output_shape(input_shape)
        sizes.update({letter: size for letter, size in zip(outputs, output_shape, strict=True) if size is not None})
        self._require_static(sizes, kernel, "kernel", input_shape)
        bias_shape = None
        if letters := self.bias_letters():
            first = min(outputs.index(letter) for letter in letters)
            self._require_static(sizes, letters, "bias", input_shape)
            bias_shape = [sizes[letter] if letter in letters else 1 for letter in outputs[first:]]
        self._letters = inputs, kernel, outputs
        self.build_parts(input_shape, [sizes[letter] for letter in kernel], bias_shape)  # type: ignore[misc, arg-type]

    def _spelled(self, input_shape: Sequence[int | None]) -> tuple[str, str, str]:
        rank, least = len(input_shape), len(self._parsed.inputs)
        if rank < least or (rank > least and self._parsed.ellipsis is None):
            raise ConfigError(
                f"{self.name}: equation {self.equation!r} takes inputs of rank {least} with the batch. "
                f"Received: shape {tuple(input_shape)}."
            )
        return self._parsed.spelled(rank)

    def _require_static(
        self, sizes: dict[str, Any], letters: str, what: str, input_shape: Sequence[int | None]
    ) -> None:
        for letter in letters:
            if sizes.get(letter) is None:
                raise ConfigError(
                    f"{self.name}: {what} axis {letter!r} of {self.equation!r} needs a static size. "
                    f"Received: input shape {tuple(input_shape)}, output_shape={self.output_shape}."
                )

    def compute_output_shape(self, input_shape: tuple[int | None, ...]) -> tuple[int | None, ...]:
        """Take what `output_shape` says, the rest from the input.

        Raises:
            ConfigError: an axis that input and output share with two sizes, or a wrong rank.
        """
        inputs, _, outputs = self._spelled(input_shape)
        sizes = dict(zip(inputs, input_shape, strict=True))
        given = [self.output_shape] if isinstance(self.output_shape, int) else list(self.output_shape)
        # The batch, and what the ellipsis stands for, are not in output_shape.
        rest = outputs[1 : len(outputs) - len(given)] if self._parsed.ellipsis == "left" else outputs[1 + len(given) :]
        named = outputs[len(outputs) - len(given) :] if self._parsed.ellipsis == "left" else outputs[1 : 1 + len(given)]
        if len(named) != len(given) or any(letter not in sizes for letter in outputs[0] + rest):
            raise ConfigError(
                f"{self.name}: output_shape must give the output axes of {self.equation!r} but the batch and the "
                f"ellipsis. Received: output_shape={self.output_shape}."
            )
        for letter, size in zip(named, given, strict=True):
            if size is None:
                continue
            if sizes.get(letter) not in (None, size):
                raise ConfigError(
                    f"{self.name}: axis {letter!r} of {self.equation!r} has size {sizes[letter]} in the input and "
                    f"{size} in output_shape={self.output_shape}."
                )
            sizes[letter] = size
        return tuple(sizes.get(letter) for letter in outputs)

    def product(self, x: Tensor, kernel: Tensor) -> Tensor:
        """Contract inputs and kernel."""
        return keras.ops.einsum(self.equation, x, kernel)

    def product_ebops(self, input_bits: Tensor, kernel_bits: Tensor) -> Tensor:
        """Give the sum of einsum(Bx, Bk)."""
        inputs, kernel, _ = self._letters
        return keras.ops.einsum(f"{inputs[1:]},{kernel}->", input_bits, kernel_bits)

    def exact_product(self, arrays: Arrays[A], x: A, kernel: A) -> A:
        """Contract inputs and kernel, exactly."""
        return arrays.einsum("{},{}->{}".format(*self._letters), x, kernel)
