"""The arguments of every attention layer."""

from __future__ import annotations

from typing import Annotated

from pydantic import Field

from hgq2_attention.position_bias import PositionBias
from hgq2_attention.projection import SlotOf
from hgq2_core import QLayer
from hgq2_core.layers.arguments import ConstraintArg, InitializerArg, PositiveInt, QuantizerArg, RegularizerArg

RateArg = Annotated[float, Field(ge=0, le=1)]


class AttentionArguments(QLayer, kw_only=True):
    """The arguments of every attention layer, as fields.

    Args:
        sliding_window: positions attend only to those nearer than this; None for all.
        position_bias: a trained number for each head, added to the products of queries and keys in their units, before
            1 / sqrt(size): `full`, one for each pair of positions; `relative`, one for each distance; `bucketed`, one
            for each bucket of distances, as in T5. None adds nothing.
        position_buckets: buckets of distances, an even number, half of them for keys behind the query; `bucketed` only.
        max_distance: from which on all distances are in the last bucket; `bucketed` only.
        position_bias_initializer: Keras initializer of the bias.
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
        query_quantizer, key_quantizer, value_quantizer: of the projections' outputs. In each of these slots, in those
            of the kernels and of the scores, a granularity that names the axis of the heads gives each head its bits.
        position_bias_quantizer: of the position bias: a config, a kind, a mapping, or None for the default of weights.
        score_quantizer: of what the softmax gets; None for the products as they are, exact already, or in the unstable
            form, where its values are the inputs of the table, the default of activations.
        difference_quantizer: of the largest score minus each, in a stable softmax: a config, a kind, a mapping, or None
            for the default of activations, unsigned.
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
    """

    sliding_window: PositiveInt | None = None
    position_bias: PositionBias | None = None
    position_buckets: PositiveInt = 32
    max_distance: PositiveInt = 128
    position_bias_initializer: InitializerArg = "zeros"
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
    position_bias_quantizer: QuantizerArg = None
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
