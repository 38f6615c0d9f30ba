"""Sums of products of two inputs: Dot and any einsum."""

from __future__ import annotations

import re
import string
from abc import abstractmethod
from collections.abc import Sequence
from typing import Annotated, Any, TypeVar

import keras

from hgq2_core import ConfigError
from hgq2_core.exact.arrays import Arrays
from hgq2_core.ops import Tensor
from hgq2_core.schema.base import FromList
from hgq2_layers.merging.elementwise import MergeLayer, Shape

A = TypeVar("A")
Letters = tuple[str, str, str]

AxisPair = int | Annotated[tuple[int, int], FromList]


class ContractionLayer(MergeLayer):
    """y = oq(einsum(iq_0(x_0), iq_1(x_1))); a subclass says which einsum.

    Cost (docs/numerics.md#7): sum einsum(B0, B1).
    """

    most_inputs = 2

    @abstractmethod
    def letters(self, ranks: Sequence[int]) -> Letters:
        """Return the letters of both inputs and of the output; the first of each is the batch."""

    def merged_shape(self, shapes: Sequence[Shape]) -> Shape:
        """Take each output axis from the input that has it.

        Raises:
            ConfigError: an axis of two sizes, or a sum over an axis without a static size.
        """
        left, right, output = self.letters([len(shape) for shape in shapes])
        sizes: dict[str, int | None] = {}
        for letter, size in [*zip(left, shapes[0], strict=True), *zip(right, shapes[1], strict=True)]:
            known = sizes.get(letter)
            if None not in (known, size) and known != size:
                raise ConfigError(
                    f"{self.name}: an axis that both inputs share has sizes {known} and {size}. "
                    f"Received: shapes {shapes[0]} and {shapes[1]}."
                )
            sizes[letter] = size if known is None else known
        if any(size is None for letter, size in sizes.items() if letter not in output):
            raise ConfigError(
                f"{self.name}: an axis that is summed over needs a static size. "
                f"Received: shapes {shapes[0]} and {shapes[1]}."
            )
        return tuple(sizes[letter] for letter in output)

    def compute_mask(self, inputs: Sequence[Tensor], mask: Sequence[Any] | None = None) -> None:
        """Return no mask, as Keras' Dot: the output has other axes."""
        return

    def merge(self, inputs: Sequence[Tensor]) -> Tensor:
        """Contract."""
        return keras.ops.einsum(_equation(self.letters([len(x.shape) for x in inputs])), *inputs)

    def exact_merge(self, arrays: Arrays[A], inputs: Sequence[A]) -> A:
        """Contract, exactly."""
        return arrays.einsum(_equation(self.letters([len(arrays.shape(x)) for x in inputs])), *inputs)

    def merge_ebops(self, bits: Sequence[Tensor]) -> Tensor:
        """Return the sum of einsum(B0, B1)."""
        left, right, _ = self.letters([1 + len(each.shape) for each in bits])
        return keras.ops.einsum(_equation((left[1:], right[1:], "")), *bits)


def _equation(letters: Letters) -> str:
    return "{},{}->{}".format(*letters)


class QDot(ContractionLayer):
    """y = oq(dot(iq_0(x_0), iq_1(x_1))), sample by sample.

    Args:
        axes: the axis of each input that is summed over, batch axis counted; one number for both.
        normalize: must be False: a cosine needs a root and a quotient, which are not exact.
        **kwargs: quantizers as in `MergeLayer`; Keras' own arguments.
    """

    axes: AxisPair
    normalize: bool = False

    def setup(self) -> None:
        """Make the quantizers.

        Raises:
            ConfigError: a cosine is asked for.
        """
        super().setup()
        if self.normalize:
            raise ConfigError("QDot: normalize has no exact arithmetic. Received: normalize=True. Allowed: False.")

    def letters(self, ranks: Sequence[int]) -> Letters:
        """Return letters: the batch, what is summed over, and the rest."""
        axes = (self.axes, self.axes) if isinstance(self.axes, int) else self.axes
        if any(
            rank < 2 or not -rank <= axis < rank or axis % rank == 0 for axis, rank in zip(axes, ranks, strict=True)
        ):
            raise ConfigError(
                f"{self.name}: axes name an axis of each input, and not the batch. "
                f"Received: axes={self.axes} for inputs of rank {ranks[0]} and {ranks[1]}."
            )
        free = iter(string.ascii_letters[2:])
        left, right = (
            ["a", *("b" if place == axis % rank else next(free) for place in range(1, rank))]
            for axis, rank in zip(axes, ranks, strict=True)
        )
        rest = [letter for letter in left + right if letter not in "ab"]
        return "".join(left), "".join(right), "".join(["a", *rest])

    def merged_shape(self, shapes: Sequence[Shape]) -> Shape:
        """Take what is not summed over; one number is an axis of size 1, as Keras has it."""
        shape = super().merged_shape(shapes)
        return (*shape, 1) if len(shape) == 1 else shape

    def merge(self, inputs: Sequence[Tensor]) -> Tensor:
        """Contract."""
        outputs = super().merge(inputs)
        return keras.ops.expand_dims(outputs, -1) if len(outputs.shape) == 1 else outputs

    def exact_merge(self, arrays: Arrays[A], inputs: Sequence[A]) -> A:
        """Contract, exactly."""
        outputs = super().exact_merge(arrays, inputs)
        shape = arrays.shape(outputs)
        return arrays.reshape(outputs, (*shape, 1)) if len(shape) == 1 else outputs


class QEinsum(ContractionLayer):
    """y = oq(einsum(iq_0(x_0), iq_1(x_1))).

    Args:
        equation: such as `"bqd,bkd->bqk"`; the first axis of both inputs and of the output is the batch. `...` stands
            for the same axes wherever it is.
        **kwargs: quantizers as in `MergeLayer`; Keras' own arguments.
    """

    equation: str

    def setup(self) -> None:
        """Read the equation, and make the quantizers.

        Raises:
            ConfigError: an equation that is none.
        """
        super().setup()
        self._parts = _parsed(self.equation)

    def letters(self, ranks: Sequence[int]) -> Letters:
        """Return the letters, with some in place of `...`."""
        axes = [rank - len(part.replace("...", "")) for rank, part in zip(ranks, self._parts, strict=False)]
        dotted = ["..." in part for part in self._parts[:2]]
        hidden = {count for count, dots in zip(axes, dotted, strict=True) if dots}
        fits = all(count >= 0 if dots else count == 0 for count, dots in zip(axes, dotted, strict=True))
        if not fits or len(hidden) > 1:
            raise ConfigError(
                f"{self.name}: equation {self.equation!r} does not fit inputs of rank {ranks[0]} and {ranks[1]}, "
                "batch included."
            )
        free = [letter for letter in string.ascii_letters if letter not in self.equation]
        rest = "".join(free[: max(hidden, default=0)])
        left, right, output = (part.replace("...", rest) for part in self._parts)
        if not left[:1] == right[:1] == output[:1] != "":
            raise ConfigError(
                f"{self.name}: the first axis of both inputs and of the output is the batch. "
                f"Received: equation={self.equation!r} for inputs of rank {ranks[0]} and {ranks[1]}."
            )
        return left, right, output


def _parsed(equation: str) -> Letters:
    part = r"([a-zA-Z]*(?:\.{3})?[a-zA-Z]*)"
    match = re.fullmatch(f"{part},{part}->{part}", equation.replace(" ", ""))
    if match is None:
        raise ConfigError(
            f"equation must look like `abc,acd->abd` or `...b,...b->...`. Received: equation={equation!r}"
        )
    left, right, output = (text.replace("...", "") for text in match.groups())
    repeated = [text for text in (left, right, output) if len(set(text)) < len(text)]
    unknown = sorted(set(output) - set(left) - set(right))
    idle = sorted((set(left) ^ set(right)) - set(output))
    dots_lost = ("..." in match[3]) != ("..." in match[1] + match[2])
    if repeated or unknown or idle or dots_lost:
        what = (
            f"{repeated[0]!r} repeats a letter"
            if repeated
            else f"output {unknown} are in neither input"
            if unknown
            else f"{idle} of one input are in neither the other nor the output; sum over them first"
            if idle
            else "`...` stands in the output and in an input, or nowhere"
        )
        raise ConfigError(f"equation: {what}. Received: equation={equation!r}")
    return match[1], match[2], match[3]
