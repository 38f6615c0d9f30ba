"""Sums of products of inputs: Dot and any einsum."""

from __future__ import annotations

import functools
import re
import string
from abc import abstractmethod
from collections import Counter
from collections.abc import Callable, Sequence
from typing import Annotated, Any, TypeVar

import keras
from typing_extensions import override

from hgq2_core import ConfigError
from hgq2_core.exact.arrays import Arrays
from hgq2_core.ops import Tensor
from hgq2_core.schema.base import FromList
from hgq2_layers.merging.elementwise import MergeLayer, Shape

A = TypeVar("A")
T = TypeVar("T")
Letters = tuple[str, ...]
"""Those of each input, and of the output."""

AxisPair = int | Annotated[tuple[int, int], FromList]


class ContractionLayer(MergeLayer):
    """y = oq(einsum(iq_0(x_0), iq_1(x_1), ...)); a subclass says which einsum.

    Cost (docs/numerics.md#7): sum einsum(B0, B1, ...).
    """

    @abstractmethod
    def letters(self, ranks: Sequence[int]) -> Letters:
        """Return the letters of each input and of the output; the first of each is the batch."""

    @override
    def merged_shape(self, shapes: Sequence[Shape]) -> Shape:
        """Take each output axis from the input that has it.

        Raises:
            ConfigError: an axis of two sizes, or a sum over an axis without a static size.
        """
        *inputs, output = self.letters([len(shape) for shape in shapes])
        received = f"Received: shapes {' and '.join(map(str, shapes))}."
        sizes: dict[str, int | None] = {}
        for text, shape in zip(inputs, shapes, strict=True):
            for letter, size in zip(text, shape, strict=True):
                known = sizes.get(letter)
                if None not in (known, size) and known != size:
                    raise ConfigError(
                        f"{self.name}: an axis that inputs share has sizes {known} and {size}. {received}"
                    )
                sizes[letter] = size if known is None else known
        if any(size is None for letter, size in sizes.items() if letter not in output):
            raise ConfigError(f"{self.name}: an axis that is summed over needs a static size. {received}")
        return tuple(sizes[letter] for letter in output)

    @override
    def compute_mask(self, inputs: Sequence[Tensor], mask: Sequence[Any] | None = None) -> None:
        """Return no mask, as Keras' Dot: the output has other axes."""
        return

    @override
    def merge(self, inputs: Sequence[Tensor]) -> Tensor:
        return contracted(keras.ops.einsum, self.letters([len(x.shape) for x in inputs]), inputs)

    @override
    def exact_merge(self, arrays: Arrays[A], inputs: Sequence[A]) -> A:
        return contracted(arrays.einsum, self.letters([len(arrays.shape(x)) for x in inputs]), inputs)

    @override
    def merge_ebops(self, bits: Sequence[Tensor]) -> Tensor:
        """Return the sum of einsum(B0, B1, ...)."""
        *inputs, _ = self.letters([1 + len(each.shape) for each in bits])
        return keras.ops.einsum(f"{','.join(text[1:] for text in inputs)}->", *bits)


def contracted(einsum: Callable[[str, T, T], T], letters: Letters, inputs: Sequence[T]) -> T:
    """Contract inputs from left to right, two at a time, each axis summed over as soon as no later input has it.

    In one order for all, so that the bounds of the intermediate sums that are proven are those that are computed.

    Args:
        einsum: of two operands.
        letters: of each input, and of the output.
        inputs: two or more.
    """
    *texts, output = letters

    def step(left: tuple[str, T], right: tuple[str, T, str]) -> tuple[str, T]:
        (text, x), (other, y, later) = left, right
        kept = "".join(letter for letter in dict.fromkeys(text + other) if letter in later) if later else output
        return kept, einsum(f"{text},{other}->{kept}", x, y)

    rest = ["".join([*texts[n + 1 :], output]) if n + 1 < len(texts) else "" for n in range(1, len(texts))]
    return functools.reduce(step, zip(texts[1:], inputs[1:], rest, strict=True), (texts[0], inputs[0]))[1]


class QDot(ContractionLayer):
    """y = oq(dot(iq_0(x_0), iq_1(x_1))), sample by sample.

    Args:
        axes: the axis of each input that is summed over, batch axis counted; one number for both.
        normalize: must be False: a cosine needs a root and a quotient, which are not exact.
        **kwargs: quantizers as in `MergeLayer`; Keras' own arguments.
    """

    most_inputs = 2

    axes: AxisPair
    normalize: bool = False

    @override
    def setup(self) -> None:
        """Make the quantizers.

        Raises:
            ConfigError: a cosine is asked for.
        """
        super().setup()
        if self.normalize:
            raise ConfigError("QDot: normalize has no exact arithmetic. Received: normalize=True. Allowed: False.")

    @override
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

    @override
    def merged_shape(self, shapes: Sequence[Shape]) -> Shape:
        """Take what is not summed over; one number is an axis of size 1, as Keras has it."""
        shape = super().merged_shape(shapes)
        return (*shape, 1) if len(shape) == 1 else shape

    @override
    def merge(self, inputs: Sequence[Tensor]) -> Tensor:
        outputs = super().merge(inputs)
        return keras.ops.expand_dims(outputs, -1) if len(outputs.shape) == 1 else outputs

    @override
    def exact_merge(self, arrays: Arrays[A], inputs: Sequence[A]) -> A:
        outputs = super().exact_merge(arrays, inputs)
        shape = arrays.shape(outputs)
        return arrays.reshape(outputs, (*shape, 1)) if len(shape) == 1 else outputs


class QEinsum(ContractionLayer):
    """y = oq(einsum(iq_0(x_0), iq_1(x_1), ...)), of two inputs or more.

    Args:
        equation: such as `"bqd,bkd->bqk"` or `"bi,bij,bj->b"`; the first axis of each input and of the output is the
            batch. `...` stands for the same axes wherever it is.
        **kwargs: quantizers as in `MergeLayer`; Keras' own arguments.
    """

    equation: str

    @override
    def setup(self) -> None:
        """Read the equation, and make the quantizers.

        Raises:
            ConfigError: an equation that is none.
        """
        super().setup()
        self._parts = _parsed(self.equation)

    @override
    def letters(self, ranks: Sequence[int]) -> Letters:
        """Return the letters, with some in place of `...`."""
        received = f"inputs of rank {' and '.join(map(str, ranks))}"
        *inputs, _ = self._parts
        if len(inputs) != len(ranks):
            raise ConfigError(
                f"{self.name}: equation {self.equation!r} is of {len(inputs)} inputs. Received: {received}."
            )
        axes = [rank - len(part.replace("...", "")) for rank, part in zip(ranks, inputs, strict=True)]
        dotted = ["..." in part for part in inputs]
        hidden = {count for count, dots in zip(axes, dotted, strict=True) if dots}
        fits = all(count >= 0 if dots else count == 0 for count, dots in zip(axes, dotted, strict=True))
        if not fits or len(hidden) > 1:
            raise ConfigError(f"{self.name}: equation {self.equation!r} does not fit {received}, batch included.")
        free = [letter for letter in string.ascii_letters if letter not in self.equation]
        rest = "".join(free[: max(hidden, default=0)])
        letters = tuple(part.replace("...", rest) for part in self._parts)
        first = {text[:1] for text in letters}
        if len(first) > 1 or "" in first:
            raise ConfigError(
                f"{self.name}: the first axis of each input and of the output is the batch. "
                f"Received: equation={self.equation!r} for {received}."
            )
        return letters


def _parsed(equation: str) -> Letters:
    part = r"[a-zA-Z]*(?:\.{3})?[a-zA-Z]*"
    plain = equation.replace(" ", "")
    if re.fullmatch(f"{part}(?:,{part})+->{part}", plain) is None:
        raise ConfigError(
            f"equation must look like `abc,acd->abd` or `...b,...b->...`. Received: equation={equation!r}"
        )
    whole = tuple(re.split(",|->", plain))
    *inputs, output = (text.replace("...", "") for text in whole)
    repeated = [text for text in (*inputs, output) if len(set(text)) < len(text)]
    owners = Counter(letter for text in inputs for letter in set(text))
    unknown = sorted(set(output) - owners.keys())
    idle = sorted(letter for letter, count in owners.items() if count == 1 and letter not in output)
    dots_lost = ("..." in whole[-1]) != any("..." in text for text in whole[:-1])
    if repeated or unknown or idle or dots_lost:
        what = (
            f"{repeated[0]!r} repeats a letter"
            if repeated
            else f"output {unknown} are in no input"
            if unknown
            else f"{idle} of one input are in neither another nor the output; sum over them first"
            if idle
            else "`...` stands in the output and in an input, or nowhere"
        )
        raise ConfigError(f"equation: {what}. Received: equation={equation!r}")
    return whole
