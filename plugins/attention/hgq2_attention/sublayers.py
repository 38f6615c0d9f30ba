"""The parts of every attention layer: projections, softmax, dropout and gate."""

from __future__ import annotations

import math
from abc import abstractmethod
from collections.abc import Mapping, Sequence
from typing import Any

import keras
from typing_extensions import override

from hgq2_attention.arguments import AttentionArguments
from hgq2_attention.gating import Gating
from hgq2_attention.heads import Heads
from hgq2_attention.projection import Projection, pop_arguments
from hgq2_attention.softmax import QSoftmax
from hgq2_core import ConfigError
from hgq2_core.layers.arguments import INITIALIZERS
from hgq2_core.quantizers.defaults import resolve
from hgq2_core.quantizers.none import NoQuantizer


class AttentionSublayers(AttentionArguments, kw_only=True):
    """Makes the quantizers and sublayers from the arguments.

    A subclass says how many heads there are and how large.
    """

    @override
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
        self._add_position_bias()
        self.softmax = self._softmax()
        self.dropout_layer = keras.layers.Dropout(self.dropout, seed=self.seed) if self.dropout else None
        self._add_gate()
        context, kernel, bias, output = pop_arguments(
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

    def _add_position_bias(self) -> None:
        if self.position_bias is not None:
            self.position_bias_quantizer = self.add_quantizer(self.position_bias_quantizer, "weight", "position_bias")
        elif self.position_bias_quantizer is not None:
            raise ConfigError(
                f"{self.name}: position_bias_quantizer is for a position_bias: 'full', 'relative' or 'bucketed'."
            )

    def _softmax(self) -> QSoftmax:
        score, difference, exp, total, inverse, attention = pop_arguments(
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
    @abstractmethod
    def heads(self) -> Heads:
        """How many heads there are."""

    @property
    @abstractmethod
    def query_size(self) -> int:
        """Size of a head's queries and keys."""

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
        quantizers = pop_arguments(self, *(f"{name}_{slot}_quantizer" for slot in ("input", "kernel", "bias")))
        for owner, others in self.shared.items():
            if name in others and any(quantizer is not None for quantizer in quantizers):
                raise ConfigError(
                    f"{self.name}: the {name}'s projection is the {owner}'s. Name its quantizers "
                    f"{owner}_input_quantizer, {owner}_kernel_quantizer and {owner}_bias_quantizer."
                )
        if name not in self.shared:
            return None
        names = (name, *self.shared[name])
        heads = self.heads.queries if name == "query" else self.heads.keys
        return self._head_projection("_".join(names), (heads, sum(map(self._size_of, names))), quantizers)

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
        projection = pop_arguments(self, "gate_input_quantizer", "gate_kernel_quantizer", "gate_bias_quantizer")
        product = pop_arguments(self, "gate_context_quantizer", "gate_quantizer", "gate_table_quantizer")
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
