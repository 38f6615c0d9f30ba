"""Operations that sum products: matmul, dot and einsum, of tensors or with constants."""

from __future__ import annotations

import string
from abc import abstractmethod
from typing import Any, ClassVar, TypeVar

import keras
from typing_extensions import override

from hgq2_core import ExactnessError
from hgq2_core.exact.arrays import Arrays
from hgq2_core.exact.widths import Width
from hgq2_core.layers.operations import OperationAdapter
from hgq2_core.ops import Tensor
from hgq2_layers.merging.contraction import Letters, contracted
from hgq2_layers.operations.arithmetic import CONSTANT_BITS, check_factor
from hgq2_layers.operations.settings import setting

A = TypeVar("A")


class ContractionOperation(OperationAdapter):
    """y = einsum(x_0, x_1, ...); a subclass says which einsum."""

    multiplies_tensors: ClassVar[bool] = True

    exact_where = f"a constant factor has at most {CONSTANT_BITS} significant bits"

    @abstractmethod
    def letters(self, operation: Any, *ranks: int) -> Letters:
        """Return the letters of the operands and of the result.

        Args:
            operation: the Keras operation.
            ranks: of the operands.
        """

    @override
    def check_call(self, operation: Any, *args: Any, **options: Any) -> None:
        """Refuse contractions over the batch, and constants with which products would round."""
        letters = self.letters(operation, *(len(keras.ops.shape(value)) for value in args))
        for value, text in zip(args, letters[:-1], strict=True):
            if not isinstance(value, keras.KerasTensor):
                check_factor(operation, value)
            elif text[:1] != letters[-1][:1]:
                raise ExactnessError(
                    f"{operation.name}: the first axis of each tensor, and of the result, is the batch. "
                    f"Received: {','.join(letters[:-1])}->{letters[-1]}."
                )

    @override
    def exact(self, arrays: Arrays[A], layer: Any, *inputs: A) -> A:
        return contracted(arrays.einsum, self.letters(layer, *(len(arrays.shape(x)) for x in inputs)), inputs)

    @override
    def ebops(self, layer: Any, *inputs: Width, **options: Any) -> Tensor:
        """Return the sum of the products of bits along the contraction."""
        *texts, _ = self.letters(layer, *(len(each.shape) for each in inputs))
        bits = [keras.ops.broadcast_to(each.factor, each.shape) for each in inputs]
        return keras.ops.einsum(f"{','.join(texts)}->", *bits)


class MatmulOperation(ContractionOperation):
    """y = x_0 @ x_1."""

    @override
    def letters(self, operation: Any, *ranks: int) -> Letters:
        """Return the letters of matrices at the end, what is before them the same in both."""
        left, right = ranks
        if right == 1 or left == 1:
            raise ExactnessError(f"{operation.name}: products are of matrices. Received: a vector.")
        shared = "" if min(left, right) == 2 else string.ascii_lowercase[: min(left, right) - 2]
        if min(left, right) > 2 and left != right:
            raise ExactnessError(f"{operation.name}: operands have one rank. Received: ranks {left} and {right}.")
        before = string.ascii_lowercase[: max(left, right) - 2]
        first = (before if left > 2 else "") + "yx"
        second = (before if right > 2 else "") + "xz"
        if left == 2:
            return "yx", second, f"{before}yz"
        return first, second if shared else "xz", f"{before}yz"


class DotOperation(MatmulOperation):
    """y = dot(x_0, x_1): of matrices, a matmul."""

    @override
    def letters(self, operation: Any, *ranks: int) -> Letters:
        """Return the letters of a product with a matrix."""
        left, right = ranks
        if right != 2:
            raise ExactnessError(
                f"{operation.name}: dot is exact with a matrix on the right. Received: ranks {left} and {right}. "
                "Use keras.ops.matmul or keras.ops.einsum."
            )
        return super().letters(operation, left, right)


class EinsumOperation(ContractionOperation):
    """y = einsum(equation, x_0, x_1, ...), of two operands or more."""

    @override
    def letters(self, operation: Any, *ranks: int) -> Letters:
        """Return the letters of the equation, some in place of `...`."""
        equation = setting(operation, "subscripts").replace(" ", "")
        inputs, arrow, output = equation.partition("->")
        parts = inputs.split(",")
        if not arrow or len(parts) < 2:
            raise ExactnessError(
                f"{operation.name}: an einsum is exact of two operands or more, with its output. "
                f"Received: {equation!r}. Allowed: such as 'bij,bjk->bik'."
            )
        fitting = len(parts) == len(ranks)
        hidden = [rank - len(part.replace("...", "")) for part, rank in zip(parts, ranks, strict=False)]
        dots = [count for part, count in zip(parts, hidden, strict=False) if "..." in part]
        free = "".join(letter for letter in string.ascii_letters if letter not in equation)[: max(dots, default=0)]
        letters = tuple(text.replace("...", free) for text in (*parts, output))
        if not fitting or len(set(dots)) > 1 or tuple(map(len, letters[:-1])) != ranks:
            ranks_text = " and ".join(map(str, ranks))
            raise ExactnessError(
                f"{operation.name}: the equation does not fit. Received: {equation!r} for ranks {ranks_text}."
            )
        return letters
