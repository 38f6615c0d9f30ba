"""The equation of a layer: an einsum of inputs and kernel, and the shapes that follow from it."""

from __future__ import annotations

import re
import string
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from typing_extensions import override

from hgq2_core import ConfigError, QLayer

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

    def letters(self, rank: int) -> tuple[str, str, str]:
        """Return the three parts for inputs of this rank, with letters in place of the ellipsis."""
        free = (letter for letter in string.ascii_letters if letter not in self.inputs + self.kernel + self.outputs)
        rest = "".join(next(free) for _ in range(rank - len(self.inputs)))
        if self.ellipsis == "left":
            return rest + self.inputs, self.kernel, rest + self.outputs
        return self.inputs + rest, self.kernel, self.outputs + rest


class EinsumShapes(QLayer):
    """The shapes of a layer with an `equation` and an `output_shape`, in Keras' words."""

    @override
    def setup(self) -> None:
        """Read the equation.

        Raises:
            ConfigError: one that is none.
        """
        self._parsed = Equation.parse(self.equation)
        super().setup()

    def _sizes(self, input_shape: tuple[int | None, ...]) -> dict[str, int | None]:
        """Return the size of every letter, static for those of the kernel."""
        inputs, kernel, outputs = self._letters_for(input_shape)
        sizes = dict(zip(inputs, input_shape, strict=True))
        output_shape = self.compute_output_shape(input_shape)
        sizes.update({letter: size for letter, size in zip(outputs, output_shape, strict=True) if size is not None})
        self._require_static(sizes, kernel, "kernel", input_shape)
        return sizes

    def _letters_for(self, input_shape: Sequence[int | None]) -> tuple[str, str, str]:
        rank, least = len(input_shape), len(self._parsed.inputs)
        if rank < least or (rank > least and self._parsed.ellipsis is None):
            raise ConfigError(
                f"{self.name}: equation {self.equation!r} takes inputs of rank {least} with the batch. "
                f"Received: shape {tuple(input_shape)}."
            )
        return self._parsed.letters(rank)

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
        inputs, _, outputs = self._letters_for(input_shape)
        sizes = dict(zip(inputs, input_shape, strict=True))
        shape = [self.output_shape] if isinstance(self.output_shape, int) else list(self.output_shape)
        # The batch, and what the ellipsis stands for, are not in output_shape.
        rest = outputs[1 : len(outputs) - len(shape)] if self._parsed.ellipsis == "left" else outputs[1 + len(shape) :]
        named = outputs[len(outputs) - len(shape) :] if self._parsed.ellipsis == "left" else outputs[1 : 1 + len(shape)]
        if len(named) != len(shape) or any(letter not in sizes for letter in outputs[0] + rest):
            raise ConfigError(
                f"{self.name}: output_shape must give the output axes of {self.equation!r} but the batch and the "
                f"ellipsis. Received: output_shape={self.output_shape}."
            )
        for letter, size in zip(named, shape, strict=True):
            if size is None:
                continue
            if sizes.get(letter) not in (None, size):
                raise ConfigError(
                    f"{self.name}: axis {letter!r} of {self.equation!r} has size {sizes[letter]} in the input and "
                    f"{size} in output_shape={self.output_shape}."
                )
            sizes[letter] = size
        return tuple(sizes.get(letter) for letter in outputs)

    def sizes_of_positions(self, output_shape: Sequence[int | None]) -> list[int | None]:
        """Return the sizes of the output's axes that the kernel does not have, but the batch's.

        Args:
            output_shape: batch axis included.
        """
        _, kernel, outputs = self._letters
        pairs = zip(outputs[1:], output_shape[1:], strict=True)
        return [size for letter, size in pairs if letter not in kernel]
