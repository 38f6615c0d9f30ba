"""What a quantizer's formulas may be written in, once for jax and tensorflow; each has its module here.

They have what `keras.ops` lacks, such as the bits of a float. This package itself imports no backend.
"""

from __future__ import annotations

from typing import Any, Protocol

Tensor = Any


class Operations(Protocol):
    """What a backend offers, beside the operators of its tensors."""

    def tensor(self, value: Any) -> Tensor:
        """Give floats as they are, narrower ones as float32; numbers and variables as tensors."""

    def dtype(self, x: Tensor) -> str:
        """Name the dtype."""

    def cast(self, x: Tensor, dtype: str) -> Tensor:
        """Change the dtype."""

    def kept(self, x: Tensor) -> Tensor:
        """The same values, computed once, however many elements and operations use them."""

    def power(self, n: Tensor, dtype: str) -> Tensor:
        """2^n for integers n within the exponents of normal numbers, from the bits."""

    def exponent(self, x: Tensor) -> Tensor:
        """The e of x = m 2^e with 1/2 <= m < 1, for positive x, from the bits; in the dtype of x."""

    def binade(self, x: Tensor) -> Tensor:
        """The largest power of two within |x|, from the bits; 0 for what is below the normal numbers."""

    def floor(self, x: Tensor) -> Tensor:
        """Round down."""

    def ceil(self, x: Tensor) -> Tensor:
        """Round up."""

    def half_even(self, x: Tensor) -> Tensor:
        """Round to the nearest integer, ties to even."""

    def sign(self, x: Tensor) -> Tensor:
        """-1, 0 or 1."""

    def where(self, condition: Tensor, a: Any, b: Any) -> Tensor:
        """Choose by element."""

    def minimum(self, a: Any, b: Any) -> Tensor:
        """The smaller of two."""

    def maximum(self, a: Any, b: Any) -> Tensor:
        """The larger of two."""

    def relu(self, x: Tensor) -> Tensor:
        """max(0, x), with gradient 0 at 0."""

    def least(self, x: Tensor, axes: tuple[int, ...]) -> Tensor:
        """The smallest along axes, which are kept."""

    def largest(self, x: Tensor, axes: tuple[int, ...]) -> Tensor:
        """The largest along axes, which are kept."""

    def total(self, x: Tensor) -> Tensor:
        """The sum of all elements."""

    def sum_to(self, x: Tensor, like: Tensor) -> Tensor:
        """Sum over the axes along which `like` was broadcast, in its dtype."""

    def constant(self, x: Tensor) -> Tensor:
        """The same values, without gradient."""
