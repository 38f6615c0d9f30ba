"""What multi-head and grouped-query attention share: slots, projections, both products, and their exact statement."""

from __future__ import annotations

import inspect
import itertools
import math
from collections.abc import Callable, Mapping, Sequence
from typing import Annotated, Any, TypeVar

import keras
from pydantic import Field

from hgq2_attention.call_forms import Shape, require_static, shapes, triple
from hgq2_attention.gating import Gating
from hgq2_attention.heads import Equations, Heads
from hgq2_attention.masks import Masks, static_mask
from hgq2_attention.projection import Projection, SlotOf, hand_on
from hgq2_attention.softmax import QSoftmax
from hgq2_core import ConfigError, QLayer
from hgq2_core.exact.arrays import Arrays
from hgq2_core.layers.arguments import (
    INITIALIZERS,
    ConstraintArg,
    InitializerArg,
    PositiveInt,
    QuantizerArg,
    RegularizerArg,
)
from hgq2_core.ops import Tensor
from hgq2_core.quantizers.defaults import resolve
from hgq2_core.quantizers.none import NoQuantizer

A = TypeVar("A")
T = TypeVar("T")

RateArg = Annotated[float, Field(ge=0, le=1)]


class AttentionLayer(QLayer, kw_only=True):
    """oq(Wo cq(g(aq(softmax(qq(Wq iq(x)) kq(Wk iq(z)) / sqrt(size))) vq(Wv iq(z))))) with the biases, for each head.

    The gate g is the identity, or u -> gcq(u) gtq(sigmoid(gq(Wg iq(x)))). Called with one tensor, the layer attends to
    itself; called with a list, as from a configuration file, the list is query, value and, if it is not the value, key.

    A subclass says how many heads there are and how large. It has the arguments `dropout` and `use_bias` where Keras
    takes them, and `attention_axes`: the axes that positions attend along, None for all between batch and features.

    Args:
        sliding_window: positions attend only to those nearer than this; None for all.
        flash_attention: must not be true: it has no place for quantizers.
        kernel_initializer: Keras initializer of the kernels.
        bias_initializer: Keras initializer of the biases.
        kernel_regularizer: Keras regularizer of the kernels, or None.
        bias_regularizer: Keras regularizer of the biases, or None.
        kernel_constraint: Keras constraint of the kernels, or None.
        bias_constraint: Keras constraint of the biases, or None.
        use_gate: whether a sigmoid of a projection of the query multiplies the weighted sums.
        seed: of the dropout.
        stable: whether the softmax subtracts the largest score from all.
        parallelization_factor: positions that the hardware computes at once; None for all.
        query_input_quantizer, key_input_quantizer, value_input_quantizer: of the projections' inputs: a config, a kind,
            a mapping, or None for the default of activations.
        query_kernel_quantizer, key_kernel_quantizer, value_kernel_quantizer, output_kernel_quantizer: of the kernels.
        query_bias_quantizer, key_bias_quantizer, value_bias_quantizer, output_bias_quantizer: of the biases.
        query_quantizer, key_quantizer, value_quantizer: of the projections' outputs.
        score_quantizer: of what the softmax gets; None for the products as they are, exact already, or in the unstable
            form, where its values are the inputs of the table, the default of activations.
        difference_quantizer: of the largest score minus each, in a stable softmax: a config, a kind, a mapping, or None
            for the default of activations.
        exp_quantizer: of the entries of the softmax's table of the exponential: a config, a kind, a mapping, or None
            for the default of tables.
        sum_quantizer: of the sum of the exponentials: a config, a kind, a mapping, or None
            for the default of activations.
        inverse_quantizer: of the entries of the softmax's table of the inverse: a config, a kind, a mapping, or None
            for the default of tables.
        attention_quantizer: of the softmax's outputs; None for the default of activations.
        context_quantizer: of the output projection's inputs: the weighted sums, after the gate.
        output_quantizer: of the outputs; None leaves them unchanged.
        gate_input_quantizer, gate_kernel_quantizer, gate_bias_quantizer: of the gate's projection.
        gate_quantizer: of its outputs, the inputs of the sigmoid's table.
        gate_table_quantizer: of the entries of that table; None for the default of tables, unsigned.
        gate_context_quantizer: of the weighted sums before the gate.

    Cost (docs/numerics.md#7): einsum of the bits of queries and keys + einsum of the bits of scores and values;
    projections, softmax and gate count for themselves. All count the share of positions that is computed at once.
    """

    sliding_window: PositiveInt | None = None
    flash_attention: bool | None = None
    kernel_initializer: InitializerArg = "glorot_uniform"
    bias_initializer: InitializerArg = "zeros"
    kernel_regularizer: RegularizerArg = None
    bias_regularizer: RegularizerArg = None
    kernel_constraint: ConstraintArg = None
    bias_constraint: ConstraintArg = None
    use_gate: bool = False
    seed: int | None = None
    stable: bool = True
    parallelization_factor: PositiveInt | None = None
    query_input_quantizer: QuantizerArg = SlotOf("query_projection", "input_quantizer")
    key_input_quantizer: QuantizerArg = SlotOf("key_projection", "input_quantizer")
    value_input_quantizer: QuantizerArg = SlotOf("value_projection", "input_quantizer")
    query_kernel_quantizer: QuantizerArg = SlotOf("query_projection", "kernel_quantizer")
    key_kernel_quantizer: QuantizerArg = SlotOf("key_projection", "kernel_quantizer")
    value_kernel_quantizer: QuantizerArg = SlotOf("value_projection", "kernel_quantizer")
    output_kernel_quantizer: QuantizerArg = SlotOf("output_projection", "kernel_quantizer")
    query_bias_quantizer: QuantizerArg = SlotOf("query_projection", "bias_quantizer")
    key_bias_quantizer: QuantizerArg = SlotOf("key_projection", "bias_quantizer")
    value_bias_quantizer: QuantizerArg = SlotOf("value_projection", "bias_quantizer")
    output_bias_quantizer: QuantizerArg = SlotOf("output_projection", "bias_quantizer")
    query_quantizer: QuantizerArg = None
    key_quantizer: QuantizerArg = None
    value_quantizer: QuantizerArg = None
    score_quantizer: QuantizerArg = SlotOf("softmax", "input_quantizer")
    difference_quantizer: QuantizerArg = SlotOf("softmax", "difference_quantizer")
    exp_quantizer: QuantizerArg = SlotOf("softmax", "exp_quantizer")
    sum_quantizer: QuantizerArg = SlotOf("softmax", "sum_quantizer")
    inverse_quantizer: QuantizerArg = SlotOf("softmax", "inverse_quantizer")
    attention_quantizer: QuantizerArg = SlotOf("softmax", "output_quantizer")
    context_quantizer: QuantizerArg = SlotOf("output_projection", "input_quantizer")
    output_quantizer: QuantizerArg = SlotOf("output_projection", "output_quantizer")
    gate_input_quantizer: QuantizerArg = SlotOf("gate_projection", "input_quantizer")
    gate_kernel_quantizer: QuantizerArg = SlotOf("gate_projection", "kernel_quantizer")
    gate_bias_quantizer: QuantizerArg = SlotOf("gate_projection", "bias_quantizer")
    gate_quantizer: QuantizerArg = SlotOf("gating", "gate_quantizer")
    gate_table_quantizer: QuantizerArg = SlotOf("gating", "table_quantizer")
    gate_context_quantizer: QuantizerArg = SlotOf("gating", "input_quantizer")

    def setup(self) -> None:
        """Make the quantizers and the sublayers.

        Raises:
            ConfigError: arguments that do not go together.
        """
        super().setup()
        if self.flash_attention:
            raise ConfigError(
                f"{self.name}: flash_attention is not offered: it never forms the scores, which are quantized here. "
                "Received: flash_attention=True. Allowed: False, None."
            )
        self.query_projection = self._projection("query")
        self.key_projection = self._projection("key")
        self.value_projection = self._projection("value")
        self.query_quantizer = self.add_quantizer(self.query_quantizer, "activation", "query")
        self.key_quantizer = self.add_quantizer(self.key_quantizer, "activation", "key")
        self.value_quantizer = self.add_quantizer(self.value_quantizer, "activation", "value")
        self.softmax = self._softmax()
        self.dropout_layer = keras.layers.Dropout(self.dropout, seed=self.seed) if self.dropout else None
        self._add_gate()
        context, kernel, bias, output = hand_on(
            self, "context_quantizer", "output_kernel_quantizer", "output_bias_quantizer", "output_quantizer"
        )
        # How many axes there are is known only when the layer is built.
        self.output_projection = Projection(
            "...ab,abc->...c",
            1,
            bias_axes="c" if self.use_bias else None,
            input_quantizer=context,
            kernel_quantizer=kernel,
            bias_quantizer=bias,
            output_quantizer=output,
            name="attention_output",
            **self._affine(),
        )

    def _softmax(self) -> QSoftmax:
        score, difference, exp, total, inverse, attention = hand_on(
            self,
            "score_quantizer",
            "difference_quantizer",
            "exp_quantizer",
            "sum_quantizer",
            "inverse_quantizer",
            "attention_quantizer",
        )
        parallel = self.parallelization_factor
        return QSoftmax(
            stable=self.stable,
            scale=1.0 / math.sqrt(self.query_size),
            parallelization_factor=None if parallel is None else parallel * self.heads.queries,
            input_quantizer=NoQuantizer() if self.stable and score is None else score,
            difference_quantizer=difference,
            exp_quantizer=exp,
            sum_quantizer=total,
            inverse_quantizer=inverse,
            output_quantizer=attention or resolve(None, "activation").config,
            name="softmax",
            **self.arguments_of_sublayers(),
        )

    @property
    def heads(self) -> Heads:
        """How many heads there are."""
        raise NotImplementedError(f"{type(self).__name__} defines no heads.")

    @property
    def query_size(self) -> int:
        """Size of a head's queries and keys."""
        raise NotImplementedError(f"{type(self).__name__} defines no query_size.")

    @property
    def value_size(self) -> int:
        """Size of a head's values."""
        return self.query_size

    @property
    def shared(self) -> Mapping[str, tuple[str, ...]]:
        """The projections that there are of query, key and value, and for which others each works."""
        return {"query": (), "key": (), "value": ()}

    @property
    def one_tensor(self) -> bool:
        """Whether keys and values must be the same tensor."""
        return "value" not in self.shared

    def _affine(self) -> dict[str, Any]:
        # Initializers without a seed of their own give the same numbers each time.
        return {
            "kernel_initializer": INITIALIZERS.to_config(self.kernel_initializer),
            "bias_initializer": INITIALIZERS.to_config(self.bias_initializer),
            "kernel_regularizer": self.kernel_regularizer,
            "bias_regularizer": self.bias_regularizer,
            "kernel_constraint": self.kernel_constraint,
            "bias_constraint": self.bias_constraint,
            **self.arguments_of_sublayers(),
        }

    def _size_of(self, name: str) -> int:
        return self.value_size if name == "value" else self.query_size

    def _projection(self, name: str) -> Projection | None:
        given = hand_on(self, f"{name}_input_quantizer", f"{name}_kernel_quantizer", f"{name}_bias_quantizer")
        for owner, others in self.shared.items():
            if name in others and any(quantizer is not None for quantizer in given):
                raise ConfigError(
                    f"{self.name}: the {name}'s projection is the {owner}'s. Name its quantizers "
                    f"{owner}_input_quantizer, {owner}_kernel_quantizer and {owner}_bias_quantizer."
                )
        if name not in self.shared:
            return None
        names = (name, *self.shared[name])
        heads = self.heads.queries if name == "query" else self.heads.keys
        return self._head_projection("_".join(names), (heads, sum(map(self._size_of, names))), given)

    def _head_projection(self, name: str, sizes: tuple[int, int], quantizers: Sequence[Any]) -> Projection:
        input_quantizer, kernel_quantizer, bias_quantizer = quantizers
        return Projection(
            "...a,abc->...bc",
            sizes,
            bias_axes="bc" if self.use_bias else None,
            input_quantizer=input_quantizer,
            kernel_quantizer=kernel_quantizer,
            bias_quantizer=bias_quantizer,
            name=name,
            **self._affine(),
        )

    def _add_gate(self) -> None:
        projection = hand_on(self, "gate_input_quantizer", "gate_kernel_quantizer", "gate_bias_quantizer")
        product = hand_on(self, "gate_context_quantizer", "gate_quantizer", "gate_table_quantizer")
        self.gate_projection, self.gating = None, None
        if self.use_gate:
            sizes = (self.heads.queries, self.value_size)
            self.gate_projection = self._head_projection("gate", sizes, projection)
            context, gate, table = product
            self.gating = Gating(
                input_quantizer=context,
                gate_quantizer=gate,
                table_quantizer=table,
                name="gating",
                **self.arguments_of_sublayers(),
            )
        elif any(quantizer is not None for quantizer in [*projection, *product]):
            raise ConfigError(f"{self.name}: gate_* quantizers are for use_gate=True.")

    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        """Call as Keras does; what shares a projection must be the same tensor."""
        if self.one_tensor:
            given = inspect.signature(self.call).bind_partial(*args, **kwargs).arguments
            query, value, key = triple(given.get("query"), given.get("value"), given.get("key"))
            all_three = "key" not in self.shared
            if key is not value or (all_three and value is not query):
                which = "query, key and value" if all_three else "key and value"
                raise ConfigError(f"{self.name}: {which} share a projection, and must be the same tensor.")
        return super().__call__(*args, **kwargs)

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
        self._axes = self._checked_axes(query, value, key)
        self._equations = Equations.of(len(query), self._axes, self.heads.grouped)
        value, key = self.memory_shapes(value, key)
        self._share = self._checked_share(query)
        inputs = {"query": query, "key": key, "value": value}
        for name in self.shared:
            getattr(self, f"{name}_projection").build_share(inputs[name], 1, self.parallelization_factor)
        self.query_quantizer.build((*query[:-1], self.heads.queries, self.query_size))
        self.key_quantizer.build((*key[:-1], self.heads.keys, self.query_size))
        self.value_quantizer.build((*value[:-1], self.heads.keys, self.value_size))
        self._build_softmax(query, key)
        if self.gating is not None and self.gate_projection is not None:
            self.gate_projection.build_share(query, 1, self.parallelization_factor)
            self.gating.build_share(self._context_shape(query), 2, self.parallelization_factor)
        self._build_output(query)
        self.built = True

    def _checked_axes(self, query: Shape, value: Shape, key: Shape) -> tuple[int, ...]:
        rank, given = len(query), self.attention_axes
        given = range(1, rank - 1) if given is None else (given,) if isinstance(given, int) else given
        axes = tuple(axis if axis >= 0 else rank + axis for axis in given)
        if not axes or len(set(axes)) < len(axes) or any(not 0 < axis < rank - 1 for axis in axes):
            raise ConfigError(
                f"{self.name}: attention_axes must name different axes of a query of rank {rank}, neither the batch "
                f"nor the features. Received: attention_axes={self.attention_axes}."
            )
        fit = len(value) == len(key) == rank and value[1:-1] == key[1:-1]
        if not fit or any(query[n] != key[n] for n in range(1, rank - 1) if n not in axes):
            raise ConfigError(
                f"{self.name}: value and key have the same axes but the last; the query too, but along "
                f"attention_axes={list(axes)}. Received: query {query}, value {value}, key {key}."
            )
        if self.sliding_window is not None and len(axes) > 1:
            raise ConfigError(f"{self.name}: sliding_window needs one attention axis. Received: {list(axes)}.")
        return axes

    def _checked_share(self, query: Shape) -> float:
        positions, parallel = math.prod(query[1:-1]), self.parallelization_factor  # type: ignore[arg-type]
        if parallel is not None and parallel > positions:
            raise ConfigError(
                f"{self.name}: parallelization_factor must be at most the {positions} positions of the query. "
                f"Received: {parallel}."
            )
        return 1.0 if parallel is None else parallel / positions

    def memory_shapes(self, value: Shape, key: Shape) -> tuple[Shape, Shape]:
        """Return the shapes of `memory`."""
        return value, key

    def _build_softmax(self, query: Shape, key: Shape) -> None:
        rest = tuple(size for axis, size in enumerate(query[:-1]) if axis not in self._axes)
        positions = (*(query[n] for n in self._axes), *(key[n] for n in self._axes))
        self._scores_shape = (*rest, self.heads.queries, *positions)
        rank = len(self._scores_shape)
        self.softmax.build_along(self._scores_shape, tuple(range(rank - len(self._axes), rank)))

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
        """Compute the equation above; see the layer of Keras."""
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
            self._joined(products, self._scores_axis),
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
        found: dict[str, T] = {}
        for owner, others in self.shared.items():
            outputs, names = project(getattr(self, f"{owner}_projection"), inputs[owner]), (owner, *others)
            cuts = list(itertools.accumulate(map(self._size_of, names[:-1])))
            found.update(zip(names, split(outputs, cuts) if cuts else [outputs], strict=True))
        return [found[name] for name in ("query", "key", "value")]

    def masks(self, query: A | None, value: A | None, key: A | None, attention: A | None, causal: bool) -> Masks[A]:
        """Bring the masks of a call together.

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
        return (keras.ops.einsum(product, q, k) + keras.ops.einsum(combination, v, scores)) * self._share

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
        """State the equation above."""

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
        scores = self.softmax.exact_masked(arrays, products, condition)
        context = joined(arrays.einsum(self._equations.combination, v, split(scores, self._scores_axis)), -2)
        if self.gating is not None and self.gate_projection is not None:
            context = self.gating.exact(arrays, context, self.gate_projection.exact(arrays, query))
        outputs = self.output_projection.exact(arrays, context)
        return (outputs, scores) if return_attention_scores else outputs
