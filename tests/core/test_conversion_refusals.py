"""What `quantize_model` cannot convert is named, with what may be done."""

from __future__ import annotations

import keras
import pytest
from keras import layers
from plain_models import plain_model, sequential

from hgq2_core import ConfigError, quantize_model


@pytest.mark.parametrize(
    ("layer", "rules", "message"),
    [
        (
            layers.Dense(3, name="a"),
            {"b": {}},
            "quantize_model: rules.0 converts no layer: none is of this name or class. Received: match='b'. Allowed: "
            "a; keras.Dense.",
        ),
        (layers.Dense(3, name="a"), {"keras.Dens": {}}, "Did you mean 'keras.Dense'?"),
        (layers.Dense(3, name="a"), [{"match": "a"}, {"match": "*"}], "rules.1 converts no layer"),
        (layers.ReLU(name="a"), {"a": {}}, "rules.0 converts no layer"),
        (
            layers.Dense(3, name="a", dtype="mixed_bfloat16"),
            {},
            "quantize_model: a computes in bfloat16 (dtype policy 'mixed_bfloat16'), in which sums are not exact. Make "
            "the model once more after keras.config.set_dtype_policy('float32'), and give it the weights",
        ),
        (layers.Dense(3, name="a"), [{"kind": "dense"}], "quantize_model: rules.0.match: is missing."),
        (layers.Dense(3, name="a"), ["a"], "quantize_model: rules.0: must be a mapping with `match`. Received: 'a'."),
        (layers.Dense(3, name="a"), {"a": {"kind": "dens"}}, "quantize_model: rules.0: unknown layer kind"),
        (layers.Dense(3, name="a"), {"a": {"kernel_quantiser": "kbi"}}, "Did you mean 'kernel_quantizer'?"),
        (layers.Dense(3, name="a"), {"a": {"kind": "keras.ReLU"}}, "rules.0: a is a keras.Dense, which"),
        (layers.Dense(3, "log_softmax", name="a"), {}, "a_activation': activation: must be a function of one number."),
        (
            layers.Dense(3, "tanh", name="a"),
            {"a": {"activation": "tanh"}},
            "QDense 'a': activation: the activation inside a quantized layer",
        ),
        (
            layers.BatchNormalization(renorm=True, renorm_momentum=0.5, name="a"),
            {},
            "a: QBatchNormalization has no renorm, renorm_clipping, renorm_momentum, which this BatchNormalization "
            "needs. Received: renorm=True, renorm_clipping={}, renorm_momentum=0.5.",
        ),
        (
            layers.Dense(3, name="a"),
            {"a": {"kind": "batch_normalization"}},
            "a: QBatchNormalization has no activation, units,",
        ),
        (
            layers.Dense(3, name="a"),
            {"a": {"kind": "dense_batch_norm"}},
            "a: QDenseBatchNorm stands for a linear layer and the BatchNormalization right behind that alone takes its "
            "output. Received: activation='linear', behind: none.",
        ),
        (
            layers.Dense(3, name="a"),
            {"a": {"kind": "batch_norm_dense"}},
            "a: QBatchNormDense stands for a BatchNormalization of the last axis and the Dense right behind that alone "
            "takes its output. Received: a Dense, behind: none.",
        ),
        (
            layers.UnitNormalization(name="a"),
            {},
            "quantize_model: a: UnitNormalization has no quantized form of its name, and no exact arithmetic "
            "(unbounded function: write a unary function (unary_function)). Write a rule for it, with the kind of a "
            "quantized layer (`hgq2 list layers`), or kind 'keras.UnitNormalization', which keeps it in "
            "floats. Did you mean 'normalization'?",
        ),
        (layers.ReLU(max_value=0.1, name="a"), {}, "or kind 'keras.ReLU', which keeps it in floats."),
    ],
)
def test_what_cannot_be_converted_is_named(layer, rules, message):
    with pytest.raises(ConfigError) as caught:
        quantize_model(sequential(layer), rules)
    assert message in str(caught.value)


def test_a_model_without_a_graph_is_refused():
    with pytest.raises(ConfigError, match="quantize_model: the graph of unbuilt"):
        quantize_model(keras.Sequential([layers.Dense(3)], name="unbuilt"))


def test_operations_without_exact_arithmetic_are_refused():
    inputs = keras.Input((4,))
    with pytest.raises(ConfigError, match=r"keras\.ops\.sinh, an operation on tensors, has no exact arithmetic"):
        quantize_model(keras.Model(inputs, keras.ops.sinh(layers.Dense(3)(inputs))))


@pytest.mark.parametrize("bits", [1, True, 8.0])
def test_bits_that_are_no_width(bits):
    with pytest.raises(ConfigError, match="bits is a width with its sign, 2 or more"):
        quantize_model(plain_model(), bits=bits)


def test_a_mask_that_the_quantized_layer_does_not_take_is_named():
    inputs, mask = keras.Input((4, 3)), keras.Input((4,), dtype="bool")
    model = keras.Model([inputs, mask], layers.GlobalAveragePooling1D(name="mean")(inputs, mask=mask))
    with pytest.raises(ConfigError, match=r"^mean: takes no mask: without masked=True all positions count in its mean"):
        quantize_model(model)
