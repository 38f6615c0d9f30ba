"""Exact arithmetic of Keras' own merging layers, on whatever precision their inputs have; they count no EBOPs."""

from __future__ import annotations

import functools
from abc import abstractmethod
from typing import TypeVar

import keras
from typing_extensions import override

from hgq2_core import ExactnessError, KerasAdapter
from hgq2_core.exact.arrays import Arrays
from hgq2_layers.merging.elementwise import exact_aligned

A = TypeVar("A")


class ElementwiseAdapter(KerasAdapter):
    """Element by element, one input after the other; a subclass says which operation of `Arrays`."""

    @abstractmethod
    def pair(self, arrays: Arrays[A], a: A, b: A) -> A:
        """Merge two inputs."""

    @override
    def exact(self, arrays: Arrays[A], layer: keras.layers.Layer, *inputs: A) -> A:
        """Expand the inputs to one rank, as Keras does, and merge them."""
        return functools.reduce(functools.partial(self.pair, arrays), exact_aligned(arrays, inputs))


class AddAdapter(ElementwiseAdapter):
    """y = x_0 + x_1 + ..."""

    @override
    def pair(self, arrays: Arrays[A], a: A, b: A) -> A:
        return arrays.add(a, b)


class AverageAdapter(AddAdapter):
    """y = (x_0 + x_1 + ...) / n, n a power of two."""

    exact_where = "it averages a power of two of inputs"

    @override
    def exact(self, arrays: Arrays[A], layer: keras.layers.Layer, *inputs: A) -> A:
        count = len(inputs)
        if count & (count - 1):
            raise ExactnessError(
                f"{layer.name}: Average is exact of a power of two of inputs. Received: {count}. "
                "Use average (QAverage) with a reciprocal_quantizer in its place."
            )
        return arrays.shift(super().exact(arrays, layer, *inputs), 1 - count.bit_length())


class SubtractAdapter(ElementwiseAdapter):
    """y = x_0 - x_1."""

    @override
    def pair(self, arrays: Arrays[A], a: A, b: A) -> A:
        return arrays.subtract(a, b)


class MultiplyAdapter(ElementwiseAdapter):
    """y = x_0 x_1 ..."""

    @override
    def pair(self, arrays: Arrays[A], a: A, b: A) -> A:
        return arrays.multiply(a, b)


class MaximumAdapter(ElementwiseAdapter):
    """y = max(x_0, x_1, ...)."""

    @override
    def pair(self, arrays: Arrays[A], a: A, b: A) -> A:
        return arrays.maximum(a, b)


class MinimumAdapter(ElementwiseAdapter):
    """y = min(x_0, x_1, ...)."""

    @override
    def pair(self, arrays: Arrays[A], a: A, b: A) -> A:
        return arrays.minimum(a, b)


class ConcatenateAdapter(KerasAdapter):
    """The inputs one after the other along an axis."""

    @override
    def exact(self, arrays: Arrays[A], layer: keras.layers.Layer, *inputs: A) -> A:
        return arrays.concatenate(inputs, axis=layer.axis)
