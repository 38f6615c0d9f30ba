"""Grouped-query attention with every number quantized."""

from __future__ import annotations

from typing_extensions import override

from hgq2_attention.arguments import RateArg
from hgq2_attention.attention_layer import AttentionLayer
from hgq2_attention.heads import Heads
from hgq2_core import ConfigError
from hgq2_core.layers.arguments import PositiveInt


class QGroupedQueryAttention(AttentionLayer):
    """Attention in which several heads of queries share a head of keys and values; the equation is `AttentionLayer`'s.

    Arguments and call are those of `keras.layers.GroupQueryAttention`. Keys and values are not repeated: each product
    takes them unchanged.

    Args:
        head_dim: size of a head.
        num_query_heads: number of heads of queries.
        num_key_value_heads: number of heads of keys and values, of which `num_query_heads` is a multiple.
        dropout: share of the scores that training drops.
        use_bias: whether the projections have biases.
        **kwargs: as in `AttentionLayer`.

    Cost: as there.

    Example:
        >>> layer = QGroupedQueryAttention(head_dim=8, num_query_heads=4, num_key_value_heads=2)
    """

    attention_axes = None

    head_dim: PositiveInt
    num_query_heads: PositiveInt
    num_key_value_heads: PositiveInt
    dropout: RateArg = 0.0
    use_bias: bool = True

    @override
    def setup(self) -> None:
        """Make the quantizers and the sublayers.

        Raises:
            ConfigError: heads of keys that do not divide those of queries.
        """
        super().setup()
        if self.num_query_heads % self.num_key_value_heads:
            raise ConfigError(
                f"{self.name}: num_query_heads must be a multiple of num_key_value_heads. "
                f"Received: num_query_heads={self.num_query_heads}, num_key_value_heads={self.num_key_value_heads}."
            )

    @property
    @override
    def heads(self) -> Heads:
        return Heads(self.num_query_heads, self.num_key_value_heads)

    @property
    @override
    def query_size(self) -> int:
        """Return `head_dim`."""
        return self.head_dim
