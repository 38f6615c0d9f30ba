"""The operations that a quantizer's formulas are written in, once for jax and tensorflow."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Protocol

Tensor = Any


class Operations(Protocol):
    """What a backend offers, beside the operators of its tensors: `keras.ops` does not have the bits of a float."""

    def tensor(self, value: Any) -> Tensor:
        """Return numbers, variables and tensors as float32 or float64 tensors; narrower floats become float32."""

    def dtype(self, x: Tensor) -> str:
        """Return the name of the dtype."""

    def cast(self, x: Tensor, dtype: str) -> Tensor:
        """Return the values in another dtype."""

    def materialize(self, x: Tensor) -> Tensor:
        """Return the same values, computed once, however many elements and operations use them."""

    def exp2(self, n: Tensor, dtype: str) -> Tensor:
        """Return 2^n for integers n within the exponents of normal numbers, built from the exponent bits."""

    def frexp_exponent(self, x: Tensor) -> Tensor:
        """Return the e of x = m 2^e with 1/2 <= m < 1, for positive x, read from the bits; in the dtype of x."""

    def binade(self, x: Tensor) -> Tensor:
        """Return the largest power of two within |x|, read from the bits; 0 for subnormal x."""

    def floor(self, x: Tensor) -> Tensor:
        """Round down."""

    def ceil(self, x: Tensor) -> Tensor:
        """Round up."""

    def half_even(self, x: Tensor) -> Tensor:
        """Round to the nearest integer, ties to even."""

    def sign(self, x: Tensor) -> Tensor:
        """Return -1, 0 or 1."""

    def where(self, condition: Tensor, a: Any, b: Any) -> Tensor:
        """Choose by element."""

    def minimum(self, a: Any, b: Any) -> Tensor:
        """Return the smaller of two."""

    def maximum(self, a: Any, b: Any) -> Tensor:
        """Return the larger of two."""

    def relu(self, x: Tensor) -> Tensor:
        """Return max(0, x), with gradient 0 at 0."""

    def amin(self, x: Tensor, axes: tuple[int, ...]) -> Tensor:
        """Return the smallest values along axes, which are kept with size 1."""

    def amax(self, x: Tensor, axes: tuple[int, ...]) -> Tensor:
        """Return the largest values along axes, which are kept with size 1."""

    def sum(self, x: Tensor) -> Tensor:
        """Return the sum of all elements."""

    def sum_to(self, x: Tensor, like: Tensor) -> Tensor:
        """Sum over the axes along which `like` was broadcast, in its dtype: the gradient of broadcasting."""

    def stop_gradient(self, x: Tensor) -> Tensor:
        """Return the same values, without gradient."""


class Formulas(Protocol):
    """A quantizer whose format has three fields of bits, such as (k, i, f), stated over `Operations`.

    `options` holds all that is no tensor; it is hashable. `u` are the numbers from [0, 1) that stochastic rounding
    drew.
    """

    def quantize(self, x: Tensor, a: Tensor, b: Tensor, c: Tensor, u: Tensor | None, options: Any) -> Tensor:
        """Return the quantized values; not differentiated."""

    def gradients(
        self, grad: Tensor, x: Tensor, q: Tensor, a: Tensor, b: Tensor, c: Tensor, options: Any
    ) -> tuple[Tensor, Tensor, Tensor, Tensor]:
        """Return the surrogate gradients of x and of the three fields, each of its own shape."""


Differentiable = Callable[[Tensor, Tensor, Tensor, Tensor, Tensor | None, Any], Tensor]
"""`Formulas.quantize` with its gradients attached, as the `differentiable` of a backend's module makes it."""
