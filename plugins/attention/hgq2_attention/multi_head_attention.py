"""Multi-head attention with every number quantized."""

from __future__ import annotations

import inspect
import itertools
import math
import string
from collections.abc import Sequence
from typing import Annotated, Any, Literal, NamedTuple, TypeVar, Unpack

import keras
from pydantic import Field

from hgq2_attention.masks import Masks, fixed_mask
from hgq2_attention.projection import Projection, SlotOf, static
from hgq2_attention.softmax import AxesArg, QSoftmax
from hgq2_core import ConfigError, QLayer
from hgq2_core.arguments import (
    CONSTRAINTS,
    INITIALIZERS,
    REGULARIZERS,
    BetaArg,
    ConstraintArg,
    InitializerArg,
    LayerKwargs,
    PositiveInt,
    QuantizerArg,
    RegularizerArg,
)
from hgq2_core.config.roles import resolve
from hgq2_core.config.strict import FromList
from hgq2_core.exact.arrays import Arrays

A = TypeVar("A")
Tensor = Any
Shape = tuple[int | None, ...]

Fuse = Literal["none", "kv", "qkv"]
OutputShapeArg = PositiveInt | Annotated[tuple[PositiveInt, ...], FromList] | None
RateArg = Annotated[float, Field(ge=0, le=1)]

SHARED: dict[str, dict[str, tuple[str, ...]]] = {
    "none": {"query": (), "key": (), "value": ()},
    "kv": {"query": (), "key": ("value",)},
    "qkv": {"query": ("key", "value")},
}
"""For each `fuse` the projections that there are, and for whom else each works."""


class Equations(NamedTuple):
    """The two products of attention, batch axis first, and the letters of their operands."""

    query: str
    key: str
    scores: str

    @classmethod
    def of(cls, rank: int, axes: Sequence[int]) -> Equations:
        """Spell them for inputs of a rank, batch included, with attention over some axes."""
        letters = string.ascii_lowercase[: rank - 1]
        keys = "".join(letter.upper() if n in axes else letter for n, letter in enumerate(letters))
        rest = "".join(letter for n, letter in enumerate(letters) if n not in axes)
        queries = "".join(letters[n] for n in axes)
        return cls(f"{letters}yz", f"{keys}yz", f"{rest}y{queries}{queries.upper()}")

    @property
    def product(self) -> str:
        """Scores of queries and keys."""
        return f"{self.query},{self.key}->{self.scores}"

    @property
    def combination(self) -> str:
        """Values weighted by scores."""
        return f"{self.key},{self.scores}->{self.query}"

    def cost(self) -> tuple[str, str]:
        """Give both as sums over one sample."""
        return f"{self.query[1:]},{self.key[1:]}->", f"{self.scores[1:]},{self.key[1:]}->"


class QMultiHeadAttention(QLayer):
    """oq(Wo cq(aq(softmax(qq(Wq iq(x)) kq(Wk iq(z)) / sqrt(key_dim))) vq(Wv iq(z)))) with the biases, for each head.

    Arguments and call are those of `keras.layers.MultiHeadAttention`. Called with one tensor, it attends to itself;
    called with a list, as from a configuration file, the list is query, value and, if it is not the value, key.

    Args:
        num_heads: number of heads.
        key_dim: size of a head's queries and keys.
        value_dim: size of a head's values; None for `key_dim`.
        dropout: share of the scores that training drops.
        use_bias: whether the projections have biases.
        output_shape: last axes of the output; None for the query's last.
        attention_axes: the axes that positions attend along; None for all between batch and features.
        sliding_window: positions attend only to those nearer than this; None for all.
        flash_attention: must not be true: it has no place for quantizers.
        kernel_initializer: Keras initializer of the kernels.
        bias_initializer: Keras initializer of the biases.
        kernel_regularizer: Keras regularizer of the kernels, or None.
        bias_regularizer: Keras regularizer of the biases, or None.
        kernel_constraint: Keras constraint of the kernels, or None.
        bias_constraint: Keras constraint of the biases, or None.
        use_gate: must not be true: no gate is offered.
        seed: of the dropout.
        fuse: `kv`: keys and values are one projection with one input quantizer; `qkv`: queries too. The first named of
            them has the arguments. The inputs must be the same tensor.
        stable: the softmax's form.
        parallelization_factor: positions that the hardware computes at once; None for all.
        query_input_quantizer, key_input_quantizer, value_input_quantizer: of the projections' inputs: a config, a kind,
            a mapping, or None for the default of activations.
        query_kernel_quantizer, key_kernel_quantizer, value_kernel_quantizer, output_kernel_quantizer: of the kernels.
        query_bias_quantizer, key_bias_quantizer, value_bias_quantizer, output_bias_quantizer: of the biases.
        query_quantizer, key_quantizer, value_quantizer: of the projections' outputs.
        score_quantizer: of what the softmax gets; None for the products as they are, exact already, or in the unstable
            form, where its values are the inputs of the table, the default of activations.
        difference_quantizer, exp_quantizer, sum_quantizer, inverse_quantizer: the softmax's, see `QSoftmax`.
        attention_quantizer: of the softmax's outputs; None for the default of activations.
        context_quantizer: of the weighted sums, the output projection's inputs.
        output_quantizer: of the outputs; None leaves them as they are.

    Cost (NUMERICS 7): einsum of the bits of queries and keys + einsum of the bits of scores and values; its projections
    and its softmax count for themselves. All count the share of positions that is computed at once.
    """

    query_input_quantizer = SlotOf("query_projection", "input_quantizer")
    key_input_quantizer = SlotOf("key_projection", "input_quantizer")
    value_input_quantizer = SlotOf("value_projection", "input_quantizer")
    query_kernel_quantizer = SlotOf("query_projection", "kernel_quantizer")
    key_kernel_quantizer = SlotOf("key_projection", "kernel_quantizer")
    value_kernel_quantizer = SlotOf("value_projection", "kernel_quantizer")
    output_kernel_quantizer = SlotOf("output_projection", "kernel_quantizer")
    query_bias_quantizer = SlotOf("query_projection", "bias_quantizer")
    key_bias_quantizer = SlotOf("key_projection", "bias_quantizer")
    value_bias_quantizer = SlotOf("value_projection", "bias_quantizer")
    output_bias_quantizer = SlotOf("output_projection", "bias_quantizer")
    score_quantizer = SlotOf("softmax", "input_quantizer")
    difference_quantizer = SlotOf("softmax", "difference_quantizer")
    exp_quantizer = SlotOf("softmax", "exp_quantizer")
    sum_quantizer = SlotOf("softmax", "sum_quantizer")
    inverse_quantizer = SlotOf("softmax", "inverse_quantizer")
    attention_quantizer = SlotOf("softmax", "output_quantizer")
    context_quantizer = SlotOf("output_projection", "input_quantizer")
    output_quantizer = SlotOf("output_projection", "output_quantizer")

    def __init__(
        self,
        num_heads: PositiveInt,
        key_dim: PositiveInt,
        value_dim: PositiveInt | None = None,
        dropout: RateArg = 0.0,
        use_bias: bool = True,
        output_shape: OutputShapeArg = None,
        attention_axes: AxesArg | None = None,
        sliding_window: PositiveInt | None = None,
        flash_attention: bool | None = None,
        kernel_initializer: InitializerArg = "glorot_uniform",
        bias_initializer: InitializerArg = "zeros",
        kernel_regularizer: RegularizerArg = None,
        bias_regularizer: RegularizerArg = None,
        kernel_constraint: ConstraintArg = None,
        bias_constraint: ConstraintArg = None,
        use_gate: bool = False,
        seed: int | None = None,
        fuse: Fuse = "none",
        stable: bool = True,
        parallelization_factor: PositiveInt | None = None,
        query_input_quantizer: QuantizerArg = None,
        key_input_quantizer: QuantizerArg = None,
        value_input_quantizer: QuantizerArg = None,
        query_kernel_quantizer: QuantizerArg = None,
        key_kernel_quantizer: QuantizerArg = None,
        value_kernel_quantizer: QuantizerArg = None,
        output_kernel_quantizer: QuantizerArg = None,
        query_bias_quantizer: QuantizerArg = None,
        key_bias_quantizer: QuantizerArg = None,
        value_bias_quantizer: QuantizerArg = None,
        output_bias_quantizer: QuantizerArg = None,
        query_quantizer: QuantizerArg = None,
        key_quantizer: QuantizerArg = None,
        value_quantizer: QuantizerArg = None,
        score_quantizer: QuantizerArg = None,
        difference_quantizer: QuantizerArg = None,
        exp_quantizer: QuantizerArg = None,
        sum_quantizer: QuantizerArg = None,
        inverse_quantizer: QuantizerArg = None,
        attention_quantizer: QuantizerArg = None,
        context_quantizer: QuantizerArg = None,
        output_quantizer: QuantizerArg = None,
        ebops_beta: BetaArg = None,
        enable_ebops: bool | None = None,
        **kwargs: Unpack[LayerKwargs],
    ) -> None:
        super().__init__(ebops_beta=ebops_beta, enable_ebops=enable_ebops, **kwargs)
        self.num_heads = num_heads
        self.key_dim = key_dim
        self.value_dim = value_dim or key_dim
        self.dropout = dropout
        self.use_bias = use_bias
        self.output_shape = output_shape
        self.attention_axes = attention_axes
        self.sliding_window = sliding_window
        self.flash_attention = flash_attention
        self.kernel_initializer = INITIALIZERS.resolve(kernel_initializer)
        self.bias_initializer = INITIALIZERS.resolve(bias_initializer)
        self.kernel_regularizer = REGULARIZERS.resolve(kernel_regularizer)
        self.bias_regularizer = REGULARIZERS.resolve(bias_regularizer)
        self.kernel_constraint = CONSTRAINTS.resolve(kernel_constraint)
        self.bias_constraint = CONSTRAINTS.resolve(bias_constraint)
        self.use_gate = use_gate
        self.seed = seed
        self.fuse = fuse
        self.stable = stable
        self.parallelization_factor = parallelization_factor
        for name, wanted in (("flash_attention", flash_attention), ("use_gate", use_gate)):
            if wanted:
                raise ConfigError(f"{self.name}: {name} is not offered. Received: {name}=True.")
        self._common = {
            **{"ebops_beta": ebops_beta, "enable_ebops": enable_ebops},
            **{"dtype": self.dtype_policy.name, "trainable": self.trainable},
        }
        given = {
            "query": (query_input_quantizer, query_kernel_quantizer, query_bias_quantizer),
            "key": (key_input_quantizer, key_kernel_quantizer, key_bias_quantizer),
            "value": (value_input_quantizer, value_kernel_quantizer, value_bias_quantizer),
        }
        self._require_unshared(given)
        self.query_projection = self._projection("query", *given["query"])
        self.key_projection = self._projection("key", *given["key"])
        self.value_projection = self._projection("value", *given["value"])
        self.query_quantizer = self.add_quantizer(query_quantizer, "activation", "query")
        self.key_quantizer = self.add_quantizer(key_quantizer, "activation", "key")
        self.value_quantizer = self.add_quantizer(value_quantizer, "activation", "value")
        self.softmax = QSoftmax(
            stable=stable,
            scale=1.0 / math.sqrt(key_dim),
            input_quantizer="none" if stable and score_quantizer is None else score_quantizer,
            difference_quantizer=difference_quantizer,
            exp_quantizer=exp_quantizer,
            sum_quantizer=sum_quantizer,
            inverse_quantizer=inverse_quantizer,
            output_quantizer=attention_quantizer or resolve(None, "activation").config,
            name="softmax",
            **self._common,
        )
        self.dropout_layer = keras.layers.Dropout(dropout, seed=seed) if dropout else None
        # How many axes there are is known only when the layer is built.
        self.output_projection = Projection(
            "...ab,abc->...c",
            1,
            bias_axes="c" if use_bias else None,
            input_quantizer=context_quantizer,
            kernel_quantizer=output_kernel_quantizer,
            bias_quantizer=output_bias_quantizer,
            output_quantizer=output_quantizer,
            name="attention_output",
            **self._affine(),
        )

    def _require_unshared(self, given: dict[str, tuple[Any, ...]]) -> None:
        for owner, others in SHARED[self.fuse].items():
            for name in others:
                if any(quantizer is not None for quantizer in given[name]):
                    raise ConfigError(
                        f"{self.name}: with fuse={self.fuse!r}, the {name}'s projection is the {owner}'s. Name its "
                        f"quantizers {owner}_input_quantizer, {owner}_kernel_quantizer and {owner}_bias_quantizer."
                    )

    def _affine(self) -> dict[str, Any]:
        # Initializers without a seed of their own give the same numbers each time.
        return {
            "kernel_initializer": INITIALIZERS.to_config(self.kernel_initializer),
            "bias_initializer": INITIALIZERS.to_config(self.bias_initializer),
            "kernel_regularizer": self.kernel_regularizer,
            "bias_regularizer": self.bias_regularizer,
            "kernel_constraint": self.kernel_constraint,
            "bias_constraint": self.bias_constraint,
            **self._common,
        }

    def _projection(self, name: str, input_quantizer: Any, kernel: Any, bias: Any) -> Projection | None:
        others = SHARED[self.fuse].get(name)
        if others is None:
            return None
        sizes = {"query": self.key_dim, "key": self.key_dim, "value": self.value_dim}
        return Projection(
            "...a,abc->...bc",
            (self.num_heads, sum(sizes[each] for each in (name, *others))),
            bias_axes="bc" if self.use_bias else None,
            input_quantizer=input_quantizer,
            kernel_quantizer=kernel,
            bias_quantizer=bias,
            name="_".join((name, *others)),
            **self._affine(),
        )

    @property
    def one_tensor(self) -> bool:
        """Whether keys and values must be the same tensor."""
        return self.fuse != "none"

    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        """Call as Keras does; what shares a projection must be the same tensor."""
        if self.one_tensor:
            given = inspect.signature(self.call).bind_partial(*args, **kwargs).arguments
            query, value, key = _triple(given.get("query"), given.get("value"), given.get("key"))
            if key is not value or (self.fuse == "qkv" and value is not query):
                which = "query, key and value" if self.fuse == "qkv" else "key and value"
                raise ConfigError(f"{self.name}: {which} share a projection, and must be the same tensor.")
        return super().__call__(*args, **kwargs)

    def build(self, query_shape: Any, value_shape: Shape | None = None, key_shape: Shape | None = None) -> None:
        """Build projections, quantizers and softmax.

        Args:
            query_shape: batch axis included; or a list of shapes, as of `call`.
            value_shape: likewise; None for the query's.
            key_shape: likewise; None for the value's.

        Raises:
            ConfigError: a size that is not static, or shapes that do not go together.
        """
        query, value, key = _shapes(query_shape, value_shape, key_shape)
        for what, shape in (("query", query), ("value", value), ("key", key)):
            static(self.name, what, shape)
        self._axes = self._checked_axes(query, value, key)
        self._equations = Equations.of(len(query), self._axes)
        value, key = self.attended_shapes(value, key)
        shapes, heads = {"query": query, "key": key, "value": value}, (self.num_heads,)
        for name in SHARED[self.fuse]:
            getattr(self, f"{name}_projection").build_share(shapes[name], 1, self.parallelization_factor)
        positions, parallel = math.prod(query[1:-1]), self.parallelization_factor  # type: ignore[arg-type]
        if parallel is not None and parallel > positions:
            raise ConfigError(
                f"{self.name}: parallelization_factor must be at most the {positions} positions of the query. "
                f"Received: {parallel}."
            )
        self._share = 1.0 if parallel is None else parallel / positions
        self.query_quantizer.build((*query[:-1], *heads, self.key_dim))
        self.key_quantizer.build((*key[:-1], *heads, self.key_dim))
        self.value_quantizer.build((*value[:-1], *heads, self.value_dim))
        rest = tuple(size for axis, size in enumerate(query[:-1]) if axis not in self._axes)
        self._scores_shape = (*rest, *heads, *(query[n] for n in self._axes), *(key[n] for n in self._axes))
        self.softmax.axis = tuple(range(len(self._scores_shape) - len(self._axes), len(self._scores_shape)))
        self.softmax.parallelization_factor = None if parallel is None else parallel * self.num_heads
        self.softmax.build(self._scores_shape)
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

    def attended_shapes(self, value: Shape, key: Shape) -> tuple[Shape, Shape]:
        """Give the shapes of `attended`."""
        return value, key

    def _build_output(self, query: Shape) -> None:
        last = query[-1:] if self.output_shape is None else self.output_shape
        sizes = (last,) if isinstance(last, int) else tuple(last)
        letters = string.ascii_lowercase[2 : 2 + len(sizes)]
        self.output_projection.spell(f"...ab,ab{letters}->...{letters}", sizes, letters if self.use_bias else None)
        context = (*query[:-1], self.num_heads, self.value_dim)
        self.output_projection.build_share(context, 2, self.parallelization_factor)

    def compute_output_shape(
        self, query_shape: Any, value_shape: Shape | None = None, key_shape: Shape | None = None
    ) -> Shape:
        """Replace the query's last axis by `output_shape`."""
        query, _, _ = _shapes(query_shape, value_shape, key_shape)
        if self.output_shape is None:
            return query
        return (*query[:-1], *((self.output_shape,) if isinstance(self.output_shape, int) else self.output_shape))

    def compute_output_spec(
        self, query: Any, value: Any = None, key: Any = None, return_attention_scores: bool = False, **kwargs: Any
    ) -> Any:
        """Give the output, and the scores on request."""
        query, _, _ = _triple(query, value, key)
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
        """Compute the equation above; see `keras.layers.MultiHeadAttention`."""
        query, value, key = _triple(query, value, key)
        value, key = self.attended(value, key, training)
        q, k, v = (
            quantizer.quantize(projected, bool(training))
            for quantizer, projected in zip(
                self._head_quantizers, self._projected(query, value, key, training), strict=True
            )
        )
        masks = self.masks(query_mask, value_mask, key_mask, attention_mask, use_causal_mask)
        scores = self.softmax(
            keras.ops.einsum(self._equations.product, q, k),
            mask=masks.tensor(len(self._scores_shape), 2 * len(self._axes)),
            training=training,
        )
        kept = scores if self.dropout_layer is None else self.dropout_layer(scores, training=training)
        context = keras.ops.einsum(self._equations.combination, v, kept)
        outputs = self.output_projection(context, training=training)
        return (outputs, scores) if return_attention_scores else outputs

    @property
    def _head_quantizers(self) -> tuple[Any, Any, Any]:
        return self.query_quantizer, self.key_quantizer, self.value_quantizer

    def _projected(self, query: Tensor, value: Tensor, key: Tensor, training: bool | None) -> list[Tensor]:
        if self.fuse == "qkv":
            return keras.ops.split(self.query_projection(query, training=training), self._cuts(), axis=-1)  # type: ignore[no-any-return]
        q = self.query_projection(query, training=training)
        if self.fuse == "kv":
            return [q, *keras.ops.split(self.key_projection(key, training=training), self._cuts(), axis=-1)]
        return [q, self.key_projection(key, training=training), self.value_projection(value, training=training)]

    def _cuts(self) -> list[int]:
        return [self.key_dim, 2 * self.key_dim] if self.fuse == "qkv" else [self.key_dim]

    def masks(self, query: A | None, value: A | None, key: A | None, attention: A | None, causal: bool) -> Masks[A]:
        """Bring the masks of a call together.

        Raises:
            ConfigError: a causal mask along several axes.
        """
        if causal and len(self._axes) > 1:
            raise ConfigError(
                f"{self.name}: use_causal_mask needs one attention axis. Received: attention along {list(self._axes)}."
            )
        queries, keys = self._scores_shape[-2:]
        return Masks(query, value, key, attention, fixed_mask(queries, keys, causal, self.sliding_window))

    def attended(self, value: Tensor, key: Tensor, training: bool | None) -> tuple[Tensor, Tensor]:
        """Give the positions that are attended to: all of them, as they are."""
        return value, key

    def exactly_attended(self, arrays: Arrays[A], value: A, key: A) -> tuple[A, A]:
        """Give them exactly."""
        return value, key

    def ebops(self) -> Tensor:
        """Give the cost of the two products."""
        product, combination = self._equations.cost()
        q, k, v = (quantizer.bits() for quantizer in self._head_quantizers)
        scores = self.attention_quantizer.bits()
        return (keras.ops.einsum(product, q, k) + keras.ops.einsum(combination, scores, v)) * self._share

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
        value = query if value is None else value
        value, key = self.exactly_attended(arrays, value, value if key is None else key)
        q, k, v = (
            quantizer.exact(arrays, projected)
            for quantizer, projected in zip(
                self._head_quantizers, self._exactly_projected(arrays, query, value, key), strict=True
            )
        )
        masks = self.masks(query_mask, value_mask, key_mask, attention_mask, use_causal_mask)
        condition = masks.exact(arrays, len(self._scores_shape), 2 * len(self._axes))
        scores = self.softmax.exact_masked(arrays, arrays.einsum(self._equations.product, q, k), condition)
        context = arrays.einsum(self._equations.combination, v, scores)
        outputs = self.output_projection.exact(arrays, context)
        return (outputs, scores) if return_attention_scores else outputs

    def _exactly_projected(self, arrays: Arrays[A], query: A, value: A, key: A) -> list[A]:
        def parts(x: A) -> list[A]:
            axis = len(arrays.shape(x)) - 1
            edges = [0, *self._cuts(), arrays.shape(x)[axis]]
            return [arrays.gather(x, list(range(*pair)), axis) for pair in itertools.pairwise(edges)]

        q = self.query_projection.exact(arrays, query)
        if self.fuse == "qkv":
            return parts(q)
        k = self.key_projection.exact(arrays, key)
        return [q, *parts(k)] if self.fuse == "kv" else [q, k, self.value_projection.exact(arrays, value)]


def _triple(query: Any, value: Any, key: Any) -> tuple[Any, Any, Any]:
    """Give query, value and key, of which the later ones may be left out, or come as a list with the first."""
    if isinstance(query, list):
        return _triple(*query, *(None,) * (3 - len(query)))
    value = query if value is None else value
    return query, value, value if key is None else key


def _shapes(query: Any, value: Any, key: Any) -> tuple[Shape, Shape, Shape]:
    several = isinstance(query[0], list | tuple)
    first, second, third = _triple([tuple(each) for each in query], None, None) if several else (query, value, key)
    second = first if second is None else second
    return tuple(first), tuple(second), tuple(second if third is None else third)
