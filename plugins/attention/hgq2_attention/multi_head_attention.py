"""Multi-head attention with every number quantized."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated, Any, Literal

from typing_extensions import override

from hgq2_attention.arguments import RateArg
from hgq2_attention.attention_layer import AttentionLayer
from hgq2_attention.call_forms import Shape
from hgq2_attention.heads import Heads
from hgq2_attention.softmax import AxesArg
from hgq2_core.layers.arguments import PositiveInt
from hgq2_core.schema.base import FromList

Fuse = Literal["none", "kv", "qkv"]
OutputShapeArg = PositiveInt | Annotated[tuple[PositiveInt, ...], FromList] | None

SHARED: dict[str, dict[str, tuple[str, ...]]] = {
    "none": {"query": (), "key": (), "value": ()},
    "kv": {"query": (), "key": ("value",)},
    "qkv": {"query": ("key", "value")},
}
"""For each `fuse` the projections that there are, and for whom else each works."""


class MultiHeadLayer(AttentionLayer, kw_only=True):
    """Attention in which each head has queries, keys and values of its own.

    A subclass has the arguments `num_heads`, `key_dim`, `value_dim`, `output_shape` and `attention_axes` too.

    Args:
        fuse: `kv`: keys and values are one projection with one input quantizer; `qkv`: queries too. The first named of
            them has the arguments. The inputs must be the same tensor.
        **kwargs: as in `AttentionLayer`.
    """

    fuse: Fuse = "none"

    @override
    def setup(self) -> None:
        self.value_dim: Any = self.value_dim or self.key_dim
        super().setup()

    @property
    @override
    def heads(self) -> Heads:
        """As many of keys as of queries."""
        return Heads(self.num_heads, self.num_heads)

    @property
    @override
    def query_size(self) -> int:
        """Return `key_dim`."""
        return int(self.key_dim)

    @property
    @override
    def value_size(self) -> int:
        """Return `value_dim`."""
        return int(self.value_dim)

    @property
    @override
    def shared(self) -> Mapping[str, tuple[str, ...]]:
        """Read `fuse`."""
        return SHARED[self.fuse]

    @override
    def output_sizes(self, query: Shape) -> tuple[int, ...]:
        """Return `output_shape`, or the query's last axis."""
        if self.output_shape is None:
            return super().output_sizes(query)
        return (self.output_shape,) if isinstance(self.output_shape, int) else tuple(self.output_shape)


class QMultiHeadAttention(MultiHeadLayer):
    """Attention in which each head has queries, keys and values of its own; the equation is that of `AttentionLayer`.

    Arguments and call are those of `keras.layers.MultiHeadAttention`.

    Args:
        num_heads: number of heads.
        key_dim: size of a head's queries and keys.
        value_dim: size of a head's values; None for `key_dim`.
        dropout: share of the scores that training drops.
        use_bias: whether the projections have biases.
        output_shape: last axes of the output; None for the query's last.
        attention_axes: the axes that positions attend along; None for all between batch and features.
        **kwargs: as in `MultiHeadLayer` and `AttentionLayer`.

    Cost: as there.
    """

    num_heads: PositiveInt
    key_dim: PositiveInt
    value_dim: PositiveInt | None = None
    dropout: RateArg = 0.0
    use_bias: bool = True
    output_shape: OutputShapeArg = None
    attention_axes: AxesArg | None = None
