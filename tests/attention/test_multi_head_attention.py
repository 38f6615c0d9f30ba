"""QMultiHeadAttention and QLinformerAttention: cost, arguments, dropout, sharing, files.

See docs/numerics.md#7, #8, #9.8, #9.9.
"""

from __future__ import annotations

import keras
import numpy as np
import pytest

from hgq2_attention import QLinformerAttention, QMultiHeadAttention
from hgq2_core import ConfigError, calibrate, ebops, freeze, summary


def bits(attention, quantizer, shape):
    return np.broadcast_to(attention.numpy_of(quantizer.bits()), shape)


def scattered(attention, arguments, *shapes):
    """A calibrated layer with uneven bits, always the same."""
    keras.utils.set_random_seed(0)
    layer = QMultiHeadAttention(2, 3, **arguments)
    attention.calibrated(layer, list(shapes), 64)
    rng = np.random.default_rng(0)
    for variable in layer.trainable_variables:
        if variable.name in ("b", "f"):
            variable.assign(rng.integers(1, 7, tuple(variable.shape)))
    return layer


@pytest.mark.once
@pytest.mark.parametrize("parallel", [None, 1, 2])
def test_cost_by_hand(attention, parallel):
    layer = scattered(attention, {"value_dim": 2, "parallelization_factor": parallel}, (4, 6), (5, 6))
    q, k = bits(attention, layer.query_quantizer, (4, 2, 3)), bits(attention, layer.key_quantizer, (5, 2, 3))
    v = bits(attention, layer.value_quantizer, (5, 2, 2))
    scores = bits(attention, layer.attention_quantizer, (2, 4, 5))
    products = np.einsum("tnc,snc->nts", q, k).sum() + np.einsum("nts,snc->tnc", scores, v).sum()
    share = 1 if parallel is None else parallel / 4
    assert attention.numpy_of(layer.ebops()) == pytest.approx(products * share, rel=1e-5)
    whole = scattered(attention, {"value_dim": 2}, (4, 6), (5, 6))
    for name, positions in (("query", 4), ("key", 5), ("value", 5), ("output", 4)):
        own, full = (getattr(each, f"{name}_projection").ebops() for each in (layer, whole))
        part = 1 if parallel is None else parallel / positions
        assert attention.numpy_of(own) == pytest.approx(attention.numpy_of(full) * part, rel=1e-5)
    assert attention.numpy_of(layer.softmax.ebops()) == pytest.approx(
        attention.numpy_of(whole.softmax.ebops()) * share, rel=1e-5
    )


def test_all_positions_at_once_cost_what_no_factor_costs(attention):
    costs = [ebops(scattered(attention, {"parallelization_factor": factor}, (4, 6))) for factor in (None, 4)]
    assert costs[0] == pytest.approx(costs[1], rel=1e-6) and costs[0] > 0


def test_every_part_counts_once(attention):
    layer = QLinformerAttention(2, 3, 2, share_sequence_projection=False, name="linformer")
    model, x = attention.calibrated(layer, [(4, 6)], 64)
    rows = {row.name: row.ebops for row in summary(model).layers if row.ebops}
    inside = ("query", "key", "value", "softmax", "attention_output", "sequence", "key_sequence")
    assert set(rows) == {"linformer", *(f"linformer/{name}" for name in inside)}
    losses = []
    for beta in (0.0, 1.0):
        for each in (layer, *(getattr(layer, f"{name}_projection") for name in ("query", "key", "value", "output")),
                     layer.softmax, layer.sequence_projection, layer.key_sequence_projection):  # fmt: skip
            each.ebops_beta.assign(beta)
        model(x)
        losses.append(sum(float(attention.numpy_of(loss)) for loss in model.losses))
    assert losses[1] - losses[0] == pytest.approx(sum(rows.values()), rel=1e-4)


def test_dropout_is_for_training_alone(attention):
    layer = QMultiHeadAttention(2, 3, dropout=0.5, seed=1)
    x = attention.normal(8, 4, 6)
    layer(x, x)
    inferred = [attention.numpy_of(layer(x, x)) for _ in range(2)]
    assert (inferred[0] == inferred[1]).all()
    assert (attention.numpy_of(layer(x, x, training=True)) != attention.numpy_of(layer(x, x, training=True))).any()


@pytest.mark.parametrize("fuse", ["none", "kv", "qkv"])
def test_shared_projections_have_one_input_quantizer(attention, fuse):
    layer = QMultiHeadAttention(2, 3, fuse=fuse)
    attention.calibrated(layer, [(4, 6)], 16)
    inputs = [layer.query_input_quantizer, layer.key_input_quantizer, layer.value_input_quantizer]
    assert sum(each is not None for each in inputs) == {"none": 3, "kv": 2, "qkv": 1}[fuse]


@pytest.mark.parametrize(("fuse", "which"), [("kv", "key and value"), ("qkv", "query, key and value")])
def test_what_shares_a_projection_is_one_tensor(attention, fuse, which):
    x, other = attention.normal(2, 4, 6), attention.normal(2, 4, 6, seed=1)
    with pytest.raises(ConfigError) as error:
        QMultiHeadAttention(2, 3, fuse=fuse, name="a")(x, x, other)
    assert str(error.value) == f"a: {which} share a projection, and must be the same tensor."


@pytest.mark.parametrize(
    "layer",
    [
        lambda: QMultiHeadAttention(2, 3, output_quantizer="kif", fuse="kv", name="a"),
        pytest.param(lambda: QLinformerAttention(2, 3, 2, name="a"), marks=pytest.mark.once),
    ],
)
def test_frozen_saved_and_loaded(attention, layer, tmp_path):
    model, x = attention.calibrated(layer(), [(4, 6)], 200)
    wanted = model.predict(x, verbose=0)
    model.save(tmp_path / "m.keras")
    freeze(model).save(tmp_path / "f.keras")
    for name in ("m.keras", "f.keras"):
        assert (keras.saving.load_model(tmp_path / name).predict(x, verbose=0) == wanted).all()


def test_bits_and_weights_learn(attention):
    x = keras.Input((4, 6))
    layer = QMultiHeadAttention(2, 3)
    model = keras.Model(x, layer(x, value=x))
    model.compile(keras.optimizers.Adam(0.05), "mse")
    before = [attention.numpy_of(variable) for variable in layer.trainable_variables]
    model.fit(attention.normal(64, 4, 6), attention.normal(64, 4, 6, seed=1), batch_size=16, epochs=2, verbose=0)
    after = [attention.numpy_of(variable) for variable in layer.trainable_variables]
    assert all(np.isfinite(value).all() for value in after)
    still = [v.path for v, a, b in zip(layer.trainable_variables, before, after, strict=True) if (a == b).all()]
    assert len(still) <= 1  # the key's bias shifts all scores of a row alike


@pytest.mark.parametrize(
    ("arguments", "shapes", "message"),
    [
        (
            {},
            [(None, 6)],
            "query needs the axes (batch, ..., positions, features), all but the batch of static size. "
            "Received: shape (None, None, 6).",
        ),
        (
            {"attention_axes": 2},
            [(4, 6)],
            "attention_axes must name different axes of a query of rank 3, neither the batch nor the features. "
            "Received: attention_axes=2.",
        ),
        (
            {"parallelization_factor": 5},
            [(4, 6)],
            "parallelization_factor must be at most the 4 positions of the query. Received: 5.",
        ),
        (
            {"attention_axes": 1},
            [(4, 2, 6), (4, 3, 6)],
            "value and key have the same axes but the last; the query too, but along attention_axes=[1]. "
            "Received: query (None, 4, 2, 6), value (None, 4, 3, 6), key (None, 4, 3, 6).",
        ),
        (
            {"flash_attention": True},
            [(4, 6)],
            "flash_attention is not offered: it never forms the scores, which are quantized here. "
            "Received: flash_attention=True. Allowed: False, None.",
        ),
        ({"gate_quantizer": "kif"}, [(4, 6)], "gate_* quantizers are for use_gate=True."),
        (
            {"fuse": "qkv", "value_kernel_quantizer": "kif"},
            [(4, 6)],
            "the value's projection is the query's. Name its quantizers query_input_quantizer, "
            "query_kernel_quantizer and query_bias_quantizer.",
        ),
    ],
)
def test_wrong_arguments(arguments, shapes, message):
    with pytest.raises(ConfigError) as error:
        QMultiHeadAttention(2, 3, name="a", **arguments)([keras.Input(shape) for shape in shapes])
    assert str(error.value) == f"a: {message}"


@pytest.mark.parametrize("call", [{"use_causal_mask": True}, {"value_mask": np.ones((2, 4), bool)}])
def test_linformer_refuses_masks_of_what_is_projected(attention, call):
    x = attention.normal(2, 4, 6)
    with pytest.raises(ConfigError, match="has no meaning after the projection along the sequence"):
        QLinformerAttention(2, 3, 2)(x, x, **call)


def test_a_calibrated_range_is_not_moved_by_prediction(attention):
    layer = QMultiHeadAttention(2, 3)
    model, x = attention.calibrated(layer, [(4, 6)], 32)
    before = [attention.numpy_of(variable) for variable in layer.variables]
    model.predict(x * 100, verbose=0)
    assert all((a == attention.numpy_of(b)).all() for a, b in zip(before, layer.variables, strict=True))
    calibrate(model, x * 100)
    assert any((a != attention.numpy_of(b)).any() for a, b in zip(before, layer.variables, strict=True))
