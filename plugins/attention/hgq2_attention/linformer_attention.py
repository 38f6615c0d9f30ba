"""Linformer: attention to keys and values that were first projected along the sequence."""

from __future__ import annotations

import math
from dataclasses import KW_ONLY
from typing import Annotated, Any, TypeVar

import keras
from typing_extensions import override

from hgq2_attention.arguments import RateArg
from hgq2_attention.call_forms import Shape
from hgq2_attention.masks import Masks
from hgq2_attention.multi_head_attention import MultiHeadLayer, OutputShapeArg
from hgq2_attention.projection import Projection, SlotOf, pop_arguments
from hgq2_attention.softmax import AxesArg
from hgq2_core import ConfigError
from hgq2_core.exact.arrays import Arrays
from hgq2_core.layers.arguments import PositiveInt, QuantizerArg
from hgq2_core.ops import Tensor
from hgq2_core.schema.base import FromList

A = TypeVar("A")
LengthsArg = PositiveInt | Annotated[tuple[PositiveInt, ...], FromList]


class QLinformerAttention(MultiHeadLayer):
    """Multi-head attention to P z instead of z: a learned projection of the sequence of values, and of that of keys.

    Keys are values of other positions, so masks on them have no meaning, and are refused.

    Args:
        num_heads: number of heads.
        key_dim: size of a head's queries and keys.
        projected_length: positions of keys and values after the projection; several for several attention axes.
        share_sequence_projection: whether keys and values have one projection; with `fuse` they do.
        sequence_input_quantizer: of the input of the projection along the sequence: a config, a kind, a mapping, or
            None for the default of activations.
        sequence_kernel_quantizer: of the kernel of the projection along the sequence: a config, a kind, a mapping, or
            None for the default of weights.
        key_sequence_input_quantizer: of the input of the keys' own projection, where there are two.
        key_sequence_kernel_quantizer: of the kernel of the keys' own projection, where there are two.
        value_dim: size of a head's values; None for `key_dim`.
        dropout: share of the scores that training drops.
        use_bias: whether the projections have biases.
        output_shape: last axes of the output; None for the query's last.
        attention_axes: the axes that positions attend along; None for all between batch and features.
        **kwargs: as in `MultiHeadLayer` and `AttentionLayer`.

    Cost: as there; the projections along the sequence count for themselves.
    """

    num_heads: PositiveInt
    key_dim: PositiveInt
    projected_length: LengthsArg
    share_sequence_projection: bool = True
    sequence_input_quantizer: QuantizerArg = SlotOf("sequence_projection", "input_quantizer")
    sequence_kernel_quantizer: QuantizerArg = SlotOf("sequence_projection", "kernel_quantizer")
    key_sequence_input_quantizer: QuantizerArg = SlotOf("key_sequence_projection", "input_quantizer")
    key_sequence_kernel_quantizer: QuantizerArg = SlotOf("key_sequence_projection", "kernel_quantizer")
    _: KW_ONLY
    value_dim: PositiveInt | None = None
    dropout: RateArg = 0.0
    use_bias: bool = True
    output_shape: OutputShapeArg = None
    attention_axes: AxesArg | None = None

    @override
    def setup(self) -> None:
        """Make the quantizers and the sublayers.

        Raises:
            ConfigError: arguments that do not go together.
        """
        super().setup()
        if self.position_bias not in (None, "full"):
            raise ConfigError(
                f"{self.name}: keys here are no positions, and have no distance from a query. "
                f"Received: position_bias={self.position_bias!r}. Allowed: 'full', null."
            )
        if self.fuse == "qkv" or self.sliding_window is not None:
            raise ConfigError(
                f"{self.name}: fuse is 'none' or 'kv' and there is no sliding_window here, because keys and values are "
                f"no positions of the query. Received: fuse={self.fuse!r}, sliding_window={self.sliding_window}."
            )
        if self.fuse == "kv" and not self.share_sequence_projection:
            raise ConfigError(f"{self.name}: with fuse='kv', share_sequence_projection must be true.")
        quantizers = pop_arguments(self, "sequence_input_quantizer", "sequence_kernel_quantizer")
        key_quantizers = pop_arguments(self, "key_sequence_input_quantizer", "key_sequence_kernel_quantizer")
        if self.share_sequence_projection and any(quantizer is not None for quantizer in key_quantizers):
            raise ConfigError(f"{self.name}: key_sequence_* quantizers are for share_sequence_projection=False.")
        self.sequence_projection = self._along("sequence", *quantizers)
        self.key_sequence_projection = None
        if not self.share_sequence_projection:
            self.key_sequence_projection = self._along("key_sequence", *key_quantizers)

    def _along(self, name: str, input_quantizer: Any, kernel_quantizer: Any) -> Projection:
        arguments = {**self._affine(), "bias_regularizer": None, "bias_constraint": None}
        return Projection(
            "...a,ab->...b",
            math.prod(self._lengths()),
            input_quantizer=input_quantizer,
            kernel_quantizer=kernel_quantizer,
            name=name,
            **arguments,
        )

    def _lengths(self) -> tuple[int, ...]:
        length = self.projected_length
        return (length,) if isinstance(length, int) else tuple(length)

    @property
    @override
    def one_tensor(self) -> bool:
        """Whether keys and values must be the same tensor."""
        return self.share_sequence_projection

    @override
    def memory_shapes(self, value: Shape, key: Shape) -> tuple[Shape, Shape]:
        """Build the projections along the sequence, and return the shapes after them.

        Raises:
            ConfigError: not one length for each attention axis.
        """
        lengths = self._lengths()
        if len(lengths) != len(self._axes):
            raise ConfigError(
                f"{self.name}: projected_length needs a length for each attention axis, {list(self._axes)}. "
                f"Received: {self.projected_length}."
            )
        for layer, shape in ((self.sequence_projection, value), (self.key_sequence_projection, key)):
            if layer is not None:
                order = self._order(len(shape))
                rest = [shape[n] for n in order[: -len(self._axes)]]
                positions = math.prod(shape[n] for n in self._axes)  # type: ignore[misc]
                layer.build_share((*rest, positions), 1, None)

        def projected(shape: Shape) -> Shape:
            sizes = dict(zip(self._axes, lengths, strict=True))
            return tuple(sizes.get(axis, size) for axis, size in enumerate(shape))

        return projected(value), projected(key)

    def _order(self, rank: int) -> list[int]:
        return [n for n in range(rank) if n not in self._axes] + list(self._axes)

    @override
    def masks(self, query: A | None, value: Any, key: Any, attention: Any, causal: bool) -> Masks[A]:
        """Take the query's mask.

        Raises:
            ConfigError: another mask.
        """
        if causal or any(mask is not None for mask in (value, key, attention)):
            raise ConfigError(
                f"{self.name}: a mask of values, of keys, of attention, or a causal one has no meaning after the "
                "projection along the sequence. Allowed: query_mask."
            )
        return Masks(query, None, None, None, None)

    @override
    def memory(self, value: Tensor, key: Tensor, training: bool | None) -> tuple[Tensor, Tensor]:
        """Project along the sequence."""

        def along(layer: Projection, x: Tensor) -> Tensor:
            order = self._order(len(x.shape))
            moved = keras.ops.transpose(x, order)
            lead = tuple(moved.shape[1 : -len(self._axes)])
            flat = keras.ops.reshape(moved, (-1, *lead, math.prod(moved.shape[-len(self._axes) :])))
            y = keras.ops.reshape(layer(flat, training=training), (-1, *lead, *self._lengths()))
            return keras.ops.transpose(y, _inverse(order))

        projected = along(self.sequence_projection, value)
        own = self.key_sequence_projection
        return projected, projected if own is None else along(own, key)

    @override
    def exact_memory(self, arrays: Arrays[A], value: A, key: A) -> tuple[A, A]:
        def along(layer: Projection, x: A) -> A:
            order = self._order(len(arrays.shape(x)))
            moved = arrays.transpose(x, order)
            lead = arrays.shape(moved)[: -len(self._axes)]
            y = layer.exact(arrays, arrays.reshape(moved, (*lead, -1)))
            return arrays.transpose(arrays.reshape(y, (*lead, *self._lengths())), _inverse(order))

        projected = along(self.sequence_projection, value)
        own = self.key_sequence_projection
        return projected, projected if own is None else along(own, key)


def _inverse(order: list[int]) -> list[int]:
    return sorted(range(len(order)), key=order.__getitem__)
