"""The operations of quantizers' formulas, which are written once for jax and tensorflow."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Protocol

Tensor = Any


class Operations(Protocol):
    """The operations of a backend besides the operators of its tensors; `keras.ops` cannot read the bits of a float."""

    def tensor(self, value: Any) -> Tensor:
        """Return numbers, variables or tensors as a float32 or float64 tensor; narrower floats become float32."""

    def dtype(self, x: Tensor) -> str:
        """Return the name of the dtype."""

    def cast(self, x: Tensor, dtype: str) -> Tensor:
        """Return the values in another dtype."""

    def materialize(self, x: Tensor) -> Tensor:
        """Return the same values, computed only once, however many operations and elements use them."""

    def exp2(self, n: Tensor, dtype: str) -> Tensor:
        """Return 2^n for integers n from emin to emax, made from the exponent bits."""

    def frexp_exponent(self, x: Tensor) -> Tensor:
        """Return the e of x = m 2^e with 1/2 <= m < 1, for positive x, read from the bits, in the dtype of x."""

    def binade(self, x: Tensor) -> Tensor:
        """Return the largest power of two up to |x|, read from the bits; 0 for subnormal x."""

    def floor(self, x: Tensor) -> Tensor:
        """Return x rounded down."""

    def ceil(self, x: Tensor) -> Tensor:
        """Return x rounded up."""

    def half_even(self, x: Tensor) -> Tensor:
        """Return x rounded to the nearest integer, ties to even."""

    def sign(self, x: Tensor) -> Tensor:
        """Return the sign of x: -1, 0 or 1."""

    def where(self, condition: Tensor, a: Any, b: Any) -> Tensor:
        """Return a where the condition is true, else b."""

    def minimum(self, a: Any, b: Any) -> Tensor:
        """Return the elementwise minimum."""

    def maximum(self, a: Any, b: Any) -> Tensor:
        """Return the elementwise maximum."""

    def relu(self, x: Tensor) -> Tensor:
        """Return max(0, x), with gradient 0 at 0."""

    def amin(self, x: Tensor, axes: tuple[int, ...]) -> Tensor:
        """Return the minimum along axes, which are kept with size 1."""

    def amax(self, x: Tensor, axes: tuple[int, ...]) -> Tensor:
        """Return the maximum along axes, which are kept with size 1."""

    def sum(self, x: Tensor) -> Tensor:
        """Return the sum of all elements."""

    def sum_to(self, x: Tensor, like: Tensor) -> Tensor:
        """Return the sum over the axes along which `like` was broadcast, in its dtype: the gradient of broadcasting."""

    def stop_gradient(self, x: Tensor) -> Tensor:
        """Return the same values, without gradient."""


class Formulas(Protocol):
    """A quantizer in terms of `Operations`, whose format has three bit fields, such as (k, i, f).

    `options` holds everything that is not a tensor; it is hashable. `u` are the random numbers from [0, 1) of
    stochastic rounding.
    """

    def quantize(self, x: Tensor, a: Tensor, b: Tensor, c: Tensor, u: Tensor | None, options: Any) -> Tensor:
        """Return the quantized values; this function is not differentiated."""

    def gradients(
        self, grad: Tensor, x: Tensor, q: Tensor, a: Tensor, b: Tensor, c: Tensor, options: Any
    ) -> tuple[Tensor, Tensor, Tensor, Tensor]:
        """Return the surrogate gradients with respect to x and the three fields, each in the shape of its argument."""


Differentiable = Callable[[Tensor, Tensor, Tensor, Tensor, Tensor | None, Any], Tensor]
"""`Formulas.quantize` with its gradients; made by the function `differentiable` of a backend's module."""
