"""Embedding with a quantized table."""

from __future__ import annotations

import math
from dataclasses import KW_ONLY
from typing import Any, TypeVar

import keras
import numpy as np
from typing_extensions import override

from hgq2_core import QLayer
from hgq2_core.exact.arrays import Arrays
from hgq2_core.exact.widths import Width, Widths
from hgq2_core.layers.arguments import (
    ConstraintArg,
    InitializerArg,
    PositiveInt,
    QuantizerArg,
    RegularizerArg,
)
from hgq2_core.ops import Tensor, total
from hgq2_layers.activations.lookup_table import ENTRY_EBOPS, exact_lookup

A = TypeVar("A")


class QEmbedding(QLayer):
    """y = eq(E)[n]: the row of a quantized table that an integer names.

    An input is cut to an integer; what lies outside of the table takes its nearest row.

    Args:
        input_dim: rows of the table.
        output_dim: numbers in a row.
        embeddings_initializer: Keras initializer of E.
        embeddings_regularizer: Keras regularizer of E, or None.
        embeddings_constraint: Keras constraint of E, or None.
        mask_zero: whether 0 is a padding, masked in what follows.
        embeddings_quantizer: a config, a kind, a mapping, or None for the default of tables. Rows share their bits;
            columns may have their own.

    Cost (docs/numerics.md#7): 1e-4 times, for each input, its rows times the bits of one.
    """

    input_dim: PositiveInt
    output_dim: PositiveInt
    embeddings_initializer: InitializerArg = "uniform"
    embeddings_regularizer: RegularizerArg = None
    embeddings_constraint: ConstraintArg = None
    mask_zero: bool = False
    _: KW_ONLY
    embeddings_quantizer: QuantizerArg = None

    @override
    def setup(self) -> None:
        super().setup()
        self.embeddings_quantizer = self.add_quantizer(self.embeddings_quantizer, "table", "embeddings")

    @override
    def build(self, input_shape: tuple[int | None, ...]) -> None:
        """Add the table.

        Args:
            input_shape: batch axis included.
        """
        shape = (self.input_dim, self.output_dim)
        self.embeddings = self.add_weight(
            name="embeddings",
            shape=shape,
            initializer=self.embeddings_initializer,
            regularizer=self.embeddings_regularizer,
            constraint=self.embeddings_constraint,
        )
        self.embeddings_quantizer.build(shape)
        self.built_inputs = math.prod(size or 1 for size in input_shape[1:])
        self.built = True

    def compute_output_shape(self, input_shape: tuple[int | None, ...]) -> tuple[int | None, ...]:
        """Append the row."""
        return (*input_shape, self.output_dim)

    @override
    def compute_mask(self, inputs: Tensor, mask: Tensor | None = None) -> Tensor | None:
        """Return the mask of nonzero indices if `mask_zero`, else None."""
        return keras.ops.not_equal(inputs, 0) if self.mask_zero else None

    @override
    def folded(self) -> dict[str, Tensor]:
        return {"embeddings": self.embeddings}

    @override
    def call(self, inputs: Tensor, training: bool | None = None) -> Tensor:
        """Quantize the table, and take rows."""
        rows = keras.ops.cast(keras.ops.clip(inputs, 0, self.input_dim - 1), "int32")
        return keras.ops.take(self.constants(bool(training))["embeddings"], rows, axis=0)

    @override
    def ebops(self) -> Tensor:
        """Return the cost of one table for each input of a sample."""
        return ENTRY_EBOPS * self.built_inputs * self.input_dim * total(self.weight_bits()["embeddings"])

    @override
    def width(self, widths: Widths, *inputs: Width, **masks: Any) -> Width:
        """Return, for each column, the bits of its widest entry."""
        (x,) = inputs
        bits = keras.ops.max(self.weight_bits()["embeddings"], axis=0)
        return widths.entries((*x.shape, self.output_dim), bits)

    @override
    def exact(self, arrays: Arrays[A], *inputs: A) -> A:
        """Look up a row of numbers for each input."""
        (x,) = inputs
        bits = (self.input_dim - 1).bit_length()
        rows = arrays.quantize(x, 0, bits, 0, "TRN_ZERO", "SAT")
        entries = np.asarray(keras.ops.convert_to_numpy(self.constants()["embeddings"]), dtype=np.float64)
        points = np.arange(self.input_dim, dtype=np.float64)
        return exact_lookup(arrays, rows, points, entries, more=(self.output_dim,))
