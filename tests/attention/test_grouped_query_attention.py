"""QGroupedQueryAttention and the gate: cost, arguments, conversion; the twin and exactness tests have the numbers."""

from __future__ import annotations

import keras
import numpy as np
import pytest

from hgq2_attention import QGroupedQueryAttention, QMultiHeadAttention
from hgq2_core import ConfigError, calibrate, quantize_model, verify

# Costs, arguments and conversion ask nothing of the backend.
pytestmark = pytest.mark.once

PARTS = ("query_projection", "key_projection", "value_projection", "gate_projection", "output_projection")


def scattered(attention, parallel):
    """A calibrated layer with uneven bits, always the same."""
    keras.utils.set_random_seed(0)
    layer = QGroupedQueryAttention(3, 4, 2, use_gate=True, parallelization_factor=parallel)
    attention.calibrated(layer, [(4, 6), (5, 6)], 64)
    rng = np.random.default_rng(0)
    for variable in layer.trainable_variables:
        if variable.name in ("b", "f"):
            variable.assign(rng.integers(1, 7, tuple(variable.shape)))
    return layer


def bits(attention, quantizer, shape):
    return np.broadcast_to(attention.numpy_of(quantizer.bits()), shape)


@pytest.mark.parametrize("parallel", [None, 1, 3])
def test_cost_by_hand(attention, parallel):
    layer, whole = scattered(attention, parallel), scattered(attention, None)
    share = 1 if parallel is None else parallel / 4
    q, scores = bits(attention, layer.query_quantizer, (4, 4, 3)), bits(attention, layer.attention_quantizer, (4, 4, 5))
    # Each head of keys and values multiplies both of its heads of queries.
    k, v = (
        np.repeat(bits(attention, each, (5, 2, 3)), 2, axis=1) for each in (layer.key_quantizer, layer.value_quantizer)
    )
    products = np.einsum("tnc,snc->", q, k) + np.einsum("nts,snc->", scores, v)
    assert attention.numpy_of(layer.ebops()) == pytest.approx(products * share, rel=1e-5)
    context, table = layer.gate_context_quantizer, layer.gate_table_quantizer
    gated = (bits(attention, context, (4, 4, 3)) * attention.numpy_of(table.bits())).sum()
    gated += attention.numpy_of(layer.gating.table.ebops())
    assert attention.numpy_of(layer.gating.ebops()) == pytest.approx(gated * share, rel=1e-5)
    for name in PARTS:
        positions = 5 if name.startswith(("key", "value")) else 4
        own, full = (attention.numpy_of(getattr(each, name).ebops()) for each in (layer, whole))
        assert own == pytest.approx(full * (1 if parallel is None else parallel / positions), rel=1e-5)
    own, full = (attention.numpy_of(each.softmax.ebops()) for each in (layer, whole))
    assert own == pytest.approx(full * share, rel=1e-5)


def test_one_group_for_each_head_is_multi_head_attention(attention):
    x = attention.normal(8, 4, 6)
    outputs = []
    for layer in (QGroupedQueryAttention(3, 2, 2), QMultiHeadAttention(2, 3)):
        keras.utils.set_random_seed(0)
        layer.build((None, 4, 6))
        for n, weight in enumerate(w for w in layer.weights if w.name == "kernel"):
            weight.assign(attention.normal(*weight.shape, seed=n))
        outputs.append(attention.numpy_of(layer(x, x, training=True)))
    assert (outputs[0] == outputs[1]).all()
    assert len(np.unique(outputs[0])) > 10


def test_heads_that_do_not_divide():
    with pytest.raises(ConfigError) as error:
        QGroupedQueryAttention(3, 4, 3, name="a")
    assert str(error.value) == (
        "a: num_query_heads must be a multiple of num_key_value_heads. "
        "Received: num_query_heads=4, num_key_value_heads=3."
    )


@pytest.mark.parametrize("flash_attention", [None, False])
def test_flash_attention_may_be_left_or_refused(attention, flash_attention):
    x = attention.normal(2, 4, 6)
    outputs = QMultiHeadAttention(2, 3, flash_attention=flash_attention)(x, x)
    assert tuple(outputs.shape) == (2, 4, 6)


@pytest.mark.parametrize(
    "twin",
    [
        lambda: keras.layers.GroupQueryAttention(3, 4, 2, use_gate=True, name="a"),
        lambda: keras.layers.MultiHeadAttention(2, 3, use_gate=True, name="a"),
    ],
    ids=["grouped-query", "multi-head"],
)
def test_a_model_of_keras_is_converted(attention, twin):
    x = keras.Input((4, 6))
    model = keras.Model(x, twin()(x, x))
    quantized = quantize_model(model, {"a": {}})
    data = attention.normal(256, 4, 6)
    calibrate(quantized, data)
    assert verify(quantized, data).mismatches == 0
    assert np.abs(quantized.predict(data, verbose=0) - model.predict(data, verbose=0)).max() < 0.25
