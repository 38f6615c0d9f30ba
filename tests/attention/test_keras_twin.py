"""Without quantizers, attention is that of Keras in every argument and call form."""

from __future__ import annotations

import keras
import numpy as np
import pytest

from hgq2_attention import QGroupedQueryAttention, QMultiHeadAttention

B, T, S, E, HEADS = 3, 4, 5, 6, 4
SIZES = {
    "multi-head": {"num_heads": HEADS, "key_dim": 4},
    "grouped-query": {"head_dim": 4, "num_query_heads": HEADS, "num_key_value_heads": 2},
    "multi-query": {"head_dim": 4, "num_query_heads": HEADS, "num_key_value_heads": 1},
}
LAYERS = {
    "multi-head": (keras.layers.MultiHeadAttention, QMultiHeadAttention),
    "grouped-query": (keras.layers.GroupQueryAttention, QGroupedQueryAttention),
    "multi-query": (keras.layers.GroupQueryAttention, QGroupedQueryAttention),
}
COMMON = [{}, {"use_bias": False}, {"sliding_window": 2}, {"use_gate": True}]
OWN = [
    {"value_dim": 5},
    {"output_shape": 3},
    {"output_shape": (2, 3)},
    {"use_gate": True, "value_dim": 5, "use_bias": False},
]
ARGUMENTS = [
    *(("multi-head", arguments) for arguments in COMMON + OWN),
    *(("grouped-query", arguments) for arguments in COMMON),
    ("multi-query", {}),
]


def agree(attention, arguments, call, kind="multi-head", fuse="none", tolerance=1e-5, **quantizers):
    """Call both with the same weights: `call` says how."""
    (theirs, ours), sizes = LAYERS[kind], SIZES[kind]
    twin = theirs(**sizes, **arguments)
    call(twin)
    slots = {**attention.without_quantizers(fuse, arguments.get("use_gate", False)), **quantizers}
    layer = ours(**sizes, **({} if fuse == "none" else {"fuse": fuse}), **arguments, **slots)
    call(layer)
    for n, (name, weight) in enumerate(attention.weights_of(twin).items()):
        if name.endswith("/bias"):
            weight.assign(attention.normal(*weight.shape, seed=n))
    attention.take_weights(layer, twin)
    wanted, got = keras.tree.flatten(call(twin)), keras.tree.flatten(call(layer))
    assert len(wanted) == len(got)
    for a, b in zip(wanted, got, strict=True):
        assert np.abs(attention.numpy_of(a) - attention.numpy_of(b)).max() < tolerance


def tensors(attention, *shapes):
    return [keras.ops.convert_to_tensor(attention.normal(*shape, seed=n)) for n, shape in enumerate(shapes)]


def mask(*shape, seed=3):
    drawn = np.random.default_rng(seed).random(shape) < 0.6
    drawn[..., 0] = True  # what becomes of rows of nothing depends on Keras' kernel, see below
    return keras.ops.convert_to_tensor(drawn)


@pytest.mark.parametrize(("kind", "arguments"), ARGUMENTS, ids=str)
def test_arguments(attention, kind, arguments):
    query, value, key = tensors(attention, (B, T, E), (B, S, 3), (B, S, 7))
    agree(attention, arguments, lambda layer: layer(query, value, key, return_attention_scores=True), kind)


CALLS = {
    "self": lambda layer, q, v, k: layer(q, q),
    "self, one more time": lambda layer, q, v, k: layer(q, q, q),
    "cross": lambda layer, q, v, k: layer(q, v),
    "value by keyword": lambda layer, q, v, k: layer(q, value=v),
    "all by keyword": lambda layer, q, v, k: layer(query=q, value=v, key=k),
    "key by keyword": lambda layer, q, v, k: layer(q, v, key=k),
    "scores": lambda layer, q, v, k: layer(q, v, k, return_attention_scores=True),
    "in training": lambda layer, q, v, k: layer(q, v, k, training=True),
    "value mask": lambda layer, q, v, k: layer(q, v, value_mask=mask(B, S)),
    "value and key mask": lambda layer, q, v, k: layer(q, v, k, value_mask=mask(B, S), key_mask=mask(B, S, seed=4)),
    "attention mask": lambda layer, q, v, k: layer(q, v, k, attention_mask=mask(B, T, S)),
    "attention mask of ints": lambda layer, q, v, k: layer(q, v, attention_mask=keras.ops.cast(mask(B, T, S), "int32")),
    "attention mask of floats": lambda layer, q, v, k: layer(
        q, v, attention_mask=keras.ops.cast(mask(B, T, S), "float32") * 0.25
    ),
    "attention mask for all samples": lambda layer, q, v, k: layer(q, v, attention_mask=mask(1, T, S)),
    "attention mask without a batch": lambda layer, q, v, k: layer(q, v, attention_mask=mask(T, S)),
    "attention mask for each head": lambda layer, q, v, k: layer(q, v, attention_mask=mask(B, HEADS, T, S)),
    "masks together": lambda layer, q, v, k: layer(
        q, v, value_mask=mask(B, S), attention_mask=mask(B, T, S, seed=5), use_causal_mask=True
    ),
    "causal": lambda layer, q, v, k: layer(q, q, use_causal_mask=True),
    "causal, fewer queries": lambda layer, q, v, k: layer(q, v, use_causal_mask=True),
    "causal, more queries": lambda layer, q, v, k: layer(v, q, use_causal_mask=True, return_attention_scores=True),
    "masks of Keras' own": lambda layer, q, v, k: layer(
        keras.layers.Masking()(q * keras.ops.cast(mask(B, T), "float32")[..., None]),
        keras.layers.Masking()(v * keras.ops.cast(mask(B, S, seed=8), "float32")[..., None]),
        return_attention_scores=True,
    ),
}


# Keras' own grouped layer takes such masks, and its projections say that they drop them.
@pytest.mark.filterwarnings("ignore:.*was passed an input with a mask attached:UserWarning")
@pytest.mark.parametrize("name", CALLS)
@pytest.mark.parametrize("kind", ["multi-head", "grouped-query"])
def test_call_forms_and_masks(attention, kind, name):
    q, v, k = tensors(attention, (B, T, E), (B, S, E), (B, S, E))
    agree(attention, {}, lambda layer: CALLS[name](layer, q, v, k), kind)


def test_rows_without_any_position_are_zero_as_in_keras_own_softmax(attention):
    """Keras' fused kernels, which give no scores, weight all masked positions alike there."""
    query, value = tensors(attention, (B, T, E), (B, S, E))
    nothing = keras.ops.zeros((B, T, S), dtype="bool")
    agree(attention, {}, lambda layer: layer(query, value, attention_mask=nothing, return_attention_scores=True))


@pytest.mark.parametrize("fuse", ["kv", "qkv"])
@pytest.mark.parametrize("arguments", [{}, {"value_dim": 5}, {"use_bias": False}], ids=str)
def test_fused_projections(attention, fuse, arguments):
    (query,) = tensors(attention, (B, T, E))
    # Without scores Keras calls jax's own attention, which has no values of another size than the keys'.
    agree(attention, arguments, lambda layer: layer(query, query, return_attention_scores=True), fuse=fuse)


@pytest.mark.parametrize("axes", [None, 1, 2, -2, (1, 2), (2, 1)])
@pytest.mark.parametrize("masked", [False, True])
def test_four_dimensions(attention, axes, masked):
    query, value = tensors(attention, (B, 3, 4, E), (B, 3, 4, E))
    sizes = [
        (3, 4)[axis - 1 if axis > 0 else axis + 3] for axis in ((axes,) if isinstance(axes, int) else axes or (1, 2))
    ]
    given = {"attention_mask": mask(B, *sizes, *sizes)} if masked else {}
    call = lambda layer: layer(query, value, return_attention_scores=True, **given)  # noqa: E731
    agree(attention, {"attention_axes": axes}, call)


@pytest.mark.once
def test_symbolic_shapes_are_those_of_the_values(attention):
    layer = QMultiHeadAttention(2, 4, output_shape=(2, 3), attention_axes=2)
    query, value = keras.Input((3, 4, E)), keras.Input((3, 5, E))
    output, scores = layer(query, value, return_attention_scores=True)
    assert (output.shape, scores.shape) == ((None, 3, 4, 2, 3), (None, 3, 2, 4, 5))
    values = layer(*tensors(attention, (B, 3, 4, E), (B, 3, 5, E)), return_attention_scores=True)
    assert [tuple(each.shape) for each in values] == [(B, 3, 4, 2, 3), (B, 3, 2, 4, 5)]


@pytest.mark.parametrize("kind", LAYERS)
@pytest.mark.parametrize("use_gate", [False, True])
def test_fine_tables_are_near_keras(attention, kind, use_gate):
    """Quantized, but finely: within 1e-3 of Keras."""
    (query,) = tensors(attention, (B, T, E))
    fine = {
        "difference_quantizer": {"kind": "kif", "i": 5, "f": 10, "overflow_mode": "SAT"},
        "exp_quantizer": {"kind": "kif", "k": 0, "i": 1, "f": 16, "overflow_mode": "SAT"},
        "sum_quantizer": {"kind": "kif", "k": 0, "i": 3, "f": 12, "overflow_mode": "SAT"},
        "inverse_quantizer": {"kind": "kif", "k": 0, "i": 1, "f": 16, "overflow_mode": "SAT"},
    }
    if use_gate:
        fine["gate_quantizer"] = {"kind": "kif", "i": 4, "f": 12, "overflow_mode": "SAT"}
        fine["gate_table_quantizer"] = {"kind": "kif", "k": 0, "i": 0, "f": 16, "overflow_mode": "SAT"}
    agree(attention, {"use_gate": use_gate}, lambda layer: layer(query, query), kind, tolerance=1e-3, **fine)
