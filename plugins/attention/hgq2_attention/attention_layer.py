"""The arithmetic that multi-head and grouped-query attention share: build, call, cost, and exact statement."""

from __future__ import annotations

import inspect
import itertools
import math
from collections.abc import Callable, Mapping
from typing import Any, TypeVar

import keras
from typing_extensions import override

from hgq2_attention.call_forms import Shape, require_static, shapes, triple
from hgq2_attention.heads import Equations
from hgq2_attention.masks import Masks, static_mask
from hgq2_attention.position_bias import table_of
from hgq2_attention.positions import attention_axes, require_factor, share
from hgq2_attention.projection import Projection
from hgq2_attention.sublayers import AttentionSublayers
from hgq2_core import ConfigError
from hgq2_core.exact.arrays import Arrays
from hgq2_core.ops import Tensor, total

A = TypeVar("A")
T = TypeVar("T")


class AttentionLayer(AttentionSublayers, kw_only=True):
    """oq(Wo cq(g(aq(softmax((qq(Wq iq(x)) kq(Wk iq(z)) + pq(p)) / sqrt(size))) vq(Wv iq(z))))), for each head.

    Beside each projection is its bias; the position bias p is 0 without `position_bias`. The gate g is the identity, or
    u -> gcq(u) gtq(sigmoid(gq(Wg iq(x)))). Called with one tensor, the layer attends to itself; called with a list, as
    from a configuration file, the list is query, value and, if it is not the value, key.

    A subclass says how many heads there are and how large. It has the arguments `dropout` and `use_bias` where Keras
    takes them, and `attention_axes`: the axes that positions attend along, None for all between batch and features.

    Cost (docs/numerics.md#7): einsum of the bits of queries and keys + einsum of the bits of scores and values;
    projections, softmax and gate count for themselves; a position bias counts its bits for each score. All count the
    share of positions that is computed at once.
    """

    @override
    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        """Call as Keras does, with query, value and key apart, for only so does Keras find the mask of each.

        Raises:
            ConfigError: what shares a projection is not the same tensor.
        """
        bound = inspect.signature(self.call).bind_partial(*args, **kwargs)
        given = {name: bound.arguments.pop(name, None) for name in ("query", "value", "key")}
        query, value, key = triple(*given.values())
        all_three = "key" not in self.shared
        if self.one_tensor and (key is not value or (all_three and value is not query)):
            which = "query, key and value" if all_three else "key and value"
            raise ConfigError(f"{self.name}: {which} share a projection, and must be the same tensor.")
        others = () if key is value else (key,)
        return super().__call__(query, value, *others, **bound.kwargs)

    @override
    def build(self, query_shape: Any, value_shape: Shape | None = None, key_shape: Shape | None = None) -> None:
        """Build projections, quantizers and softmax.

        Args:
            query_shape: batch axis included; or a list of shapes, as of `call`.
            value_shape: batch axis included; None for the query's.
            key_shape: batch axis included; None for the value's.

        Raises:
            ConfigError: a size that is not static, or shapes that do not go together.
        """
        query, value, key = shapes(query_shape, value_shape, key_shape)
        for what, shape in (("query", query), ("value", value), ("key", key)):
            require_static(self.name, what, shape)
        self._axes = attention_axes(self.name, self.attention_axes, query, value, key)
        if self.sliding_window is not None and len(self._axes) > 1:
            raise ConfigError(f"{self.name}: sliding_window needs one attention axis. Received: {list(self._axes)}.")
        require_factor(self.name, self.parallelization_factor, query)
        self._equations = Equations.of(len(query), self._axes, self.heads.grouped)
        value, key = self.memory_shapes(value, key)
        self._share = share(query, 1, self.parallelization_factor)
        self._positions = math.prod(int(size or 1) for size in query[1:-1])
        inputs = {"query": query, "key": key, "value": value}
        for name in self.shared:
            getattr(self, f"{name}_projection").build_share(inputs[name], 1, self.parallelization_factor)
        self.query_quantizer.build((*query[:-1], self.heads.queries, self.query_size))
        self.key_quantizer.build((*key[:-1], self.heads.keys, self.query_size))
        self.value_quantizer.build((*value[:-1], self.heads.keys, self.value_size))
        self._build_softmax(query, key)
        self._build_position_bias()
        if self.gating is not None and self.gate_projection is not None:
            self.gate_projection.build_share(query, 1, self.parallelization_factor)
            self.gating.build_share(self._context_shape(query), 2, self.parallelization_factor)
        self._build_output(query)
        self.built = True

    def memory_shapes(self, value: Shape, key: Shape) -> tuple[Shape, Shape]:
        """Return the shapes of `memory`."""
        return value, key

    def _build_softmax(self, query: Shape, key: Shape) -> None:
        rest = tuple(size for axis, size in enumerate(query[:-1]) if axis not in self._axes)
        positions = (*(query[n] for n in self._axes), *(key[n] for n in self._axes))
        self._scores_shape = (*rest, self.heads.queries, *positions)
        rank = len(self._scores_shape)
        self.softmax.build_along(self._scores_shape, tuple(range(rank - len(self._axes), rank)))

    def _build_position_bias(self) -> None:
        self._pairs = None
        if self.position_bias is None:
            return
        positions = tuple(int(size or 0) for size in self._scores_shape[-2 * len(self._axes) :])
        entries, self._pairs = table_of(
            self.position_bias, self.name, positions, self.position_buckets, self.max_distance
        )
        shape = (self.heads.queries, *entries)
        self.position_table = self.add_weight(
            name="position_bias", shape=shape, initializer=self.position_bias_initializer
        )
        self.position_bias_quantizer.build(shape)

    @override
    def folded(self) -> dict[str, Tensor]:
        """Return the position bias, if there is one."""
        return {} if self.position_bias is None else {**super().folded(), "position_bias": self.position_table}

    def _context_shape(self, query: Shape) -> Shape:
        return (*query[:-1], self.heads.queries, self.value_size)

    def output_sizes(self, query: Shape) -> tuple[int, ...]:
        """Return the output's axes in place of the query's last one."""
        return query[-1:]  # type: ignore[return-value]

    def _build_output(self, query: Shape) -> None:
        self.output_projection.build_onto(
            self.output_sizes(query), self._context_shape(query), 2, self.parallelization_factor
        )

    def compute_output_shape(
        self, query_shape: Any, value_shape: Shape | None = None, key_shape: Shape | None = None
    ) -> Shape:
        """Replace the query's last axis by the output's."""
        query, _, _ = shapes(query_shape, value_shape, key_shape)
        return (*query[:-1], *self.output_sizes(query))

    def compute_output_spec(
        self, query: Any, value: Any = None, key: Any = None, return_attention_scores: bool = False, **kwargs: Any
    ) -> Any:
        """Return the output, and the scores on request."""
        query, _, _ = triple(query, value, key)
        output = keras.KerasTensor(self.compute_output_shape(tuple(query.shape)), dtype=self.compute_dtype)
        if not return_attention_scores:
            return output
        scores = (query.shape[0], *self._scores_shape[1:])
        return output, keras.KerasTensor(scores, dtype=self.compute_dtype)

    @override
    def call(
        self,
        query: Tensor,
        value: Tensor | None = None,
        key: Tensor | None = None,
        query_mask: Tensor | None = None,
        value_mask: Tensor | None = None,
        key_mask: Tensor | None = None,
        attention_mask: Tensor | None = None,
        return_attention_scores: bool = False,
        training: bool | None = None,
        use_causal_mask: bool = False,
    ) -> Any:
        query, value, key = triple(query, value, key)
        value, key = self.memory(value, key, training)
        projected = self._projected(
            {"query": query, "key": key, "value": value},
            lambda projection, x: projection(x, training=training),
            lambda x, cuts: keras.ops.split(x, cuts, axis=-1),
        )
        q, k, v = (
            quantizer.quantize(each, bool(training))
            for quantizer, each in zip(self._head_quantizers, projected, strict=True)
        )
        masks = self.masks(query_mask, value_mask, key_mask, attention_mask, use_causal_mask)
        products = keras.ops.einsum(self._equations.product, self._split(q, -2), k)
        scores = self.softmax(
            self._biased(self._joined(products, self._scores_axis), bool(training)),
            mask=masks.tensor(len(self._scores_shape), 2 * len(self._axes)),
            training=training,
        )
        kept = scores if self.dropout_layer is None else self.dropout_layer(scores, training=training)
        context = keras.ops.einsum(self._equations.combination, v, self._split(kept, self._scores_axis))
        context = self._joined(context, -2)
        if self.gating is not None and self.gate_projection is not None:
            context = self.gating(context, self.gate_projection(query, training=training), training=training)
        outputs = self.output_projection(context, training=training)
        return (outputs, scores) if return_attention_scores else outputs

    def _biased(self, products: Tensor, training: bool) -> Tensor:
        if self.position_bias is None:
            return products
        bias = self.constants(training)["position_bias"]
        return products + (bias if self._pairs is None else keras.ops.take(bias, self._pairs, axis=1))

    def _exact_biased(self, arrays: Arrays[A], products: A) -> A:
        if self.position_bias is None:
            return products
        bias = self.constant(arrays, "position_bias")
        return arrays.add(products, bias if self._pairs is None else arrays.gather(bias, self._pairs, 1))

    def _position_bias_ebops(self) -> Tensor:
        """Return the bits of the position bias, for each score of one sample."""
        if self.position_bias is None:
            return 0.0
        bits = self.weight_bits()["position_bias"]
        bits = bits if self._pairs is None else keras.ops.take(bits, self._pairs, axis=1)
        return total(keras.ops.broadcast_to(bits, tuple(int(size or 1) for size in self._scores_shape[1:])))

    @property
    def _head_quantizers(self) -> tuple[Any, Any, Any]:
        return self.query_quantizer, self.key_quantizer, self.value_quantizer

    @property
    def _scores_axis(self) -> int:
        """The axis of the heads, in scores of any form."""
        return -2 * len(self._axes) - 1

    def _split(self, x: Tensor, axis: int) -> Tensor:
        return keras.ops.reshape(x, (-1, *self.heads.split(x.shape, axis)[1:])) if self.heads.grouped else x

    def _joined(self, x: Tensor, axis: int) -> Tensor:
        return keras.ops.reshape(x, (-1, *self.heads.joined(x.shape, axis)[1:])) if self.heads.grouped else x

    def _projected(
        self,
        inputs: Mapping[str, T],
        project: Callable[[Projection, T], T],
        split: Callable[[T, list[int]], list[T]],
    ) -> list[T]:
        """Return queries, keys and values, however many projections they come from."""
        projections: dict[str, T] = {}
        for owner, others in self.shared.items():
            outputs, names = project(getattr(self, f"{owner}_projection"), inputs[owner]), (owner, *others)
            cuts = list(itertools.accumulate(map(self._size_of, names[:-1])))
            projections.update(zip(names, split(outputs, cuts) if cuts else [outputs], strict=True))
        return [projections[name] for name in ("query", "key", "value")]

    def masks(self, query: A | None, value: A | None, key: A | None, attention: A | None, causal: bool) -> Masks[A]:
        """Combine the masks of a call.

        Raises:
            ConfigError: a causal mask along several axes.
        """
        if causal and len(self._axes) > 1:
            raise ConfigError(
                f"{self.name}: use_causal_mask needs one attention axis. Received: attention along {list(self._axes)}."
            )
        queries, keys = (int(size or 0) for size in self._scores_shape[-2:])
        return Masks(query, value, key, attention, static_mask(queries, keys, causal, self.sliding_window))

    def memory(self, value: Tensor, key: Tensor, training: bool | None) -> tuple[Tensor, Tensor]:
        """Return the memory that queries attend to: values and keys, here unchanged."""
        return value, key

    def exact_memory(self, arrays: Arrays[A], value: A, key: A) -> tuple[A, A]:
        """Return the memory that queries attend to, exactly: values and keys, here unchanged."""
        return value, key

    def positions(self) -> int:
        """Return how many positions the query has, once built."""
        return self._positions

    @override
    def ebops(self) -> Tensor:
        """Return the cost of the two products."""
        product, combination = self._equations.cost()
        q, k, v = (quantizer.bits() for quantizer in self._head_quantizers)
        scores = self.attention_quantizer.bits()
        # Bits are those of one sample: there is no batch axis to keep.
        q, scores = (
            keras.ops.reshape(bits, self.heads.split(tuple(bits.shape), axis))
            for bits, axis in ((q, -2), (scores, self._scores_axis))
        )
        products = keras.ops.einsum(product, q, k) + keras.ops.einsum(combination, v, scores)
        return (products + self._position_bias_ebops()) * self._share

    @override
    def exact(  # type: ignore[override]
        self,
        arrays: Arrays[A],
        query: A,
        value: A | None = None,
        key: A | None = None,
        query_mask: A | None = None,
        value_mask: A | None = None,
        key_mask: A | None = None,
        attention_mask: A | None = None,
        return_attention_scores: bool = False,
        training: bool | None = None,
        use_causal_mask: bool = False,
    ) -> Any:
        def split(x: A, axis: int) -> A:
            return arrays.reshape(x, self.heads.split(arrays.shape(x), axis)) if self.heads.grouped else x

        def joined(x: A, axis: int) -> A:
            return arrays.reshape(x, self.heads.joined(arrays.shape(x), axis)) if self.heads.grouped else x

        def parts(x: A, cuts: list[int]) -> list[A]:
            axis = len(arrays.shape(x)) - 1
            edges = [0, *cuts, arrays.shape(x)[axis]]
            return [arrays.gather(x, list(range(*pair)), axis) for pair in itertools.pairwise(edges)]

        values = query if value is None else value
        values, keys = self.exact_memory(arrays, values, values if key is None else key)
        projected = self._projected(
            {"query": query, "key": keys, "value": values}, lambda projection, x: projection.exact(arrays, x), parts
        )
        q, k, v = (
            quantizer.exact(arrays, each) for quantizer, each in zip(self._head_quantizers, projected, strict=True)
        )
        masks = self.masks(query_mask, value_mask, key_mask, attention_mask, use_causal_mask)
        condition = masks.exact(arrays, len(self._scores_shape), 2 * len(self._axes))
        products = joined(arrays.einsum(self._equations.product, split(q, -2), k), self._scores_axis)
        scores = self.softmax.exact_masked(arrays, self._exact_biased(arrays, products), condition)
        context = joined(arrays.einsum(self._equations.combination, v, split(scores, self._scores_axis)), -2)
        if self.gating is not None and self.gate_projection is not None:
            context = self.gating.exact(arrays, context, self.gate_projection.exact(arrays, query))
        outputs = self.output_projection.exact(arrays, context)
        return (outputs, scores) if return_attention_scores else outputs
