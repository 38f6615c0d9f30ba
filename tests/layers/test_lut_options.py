"""Lookup-table networks: batch normalization in the tables, no bias, table sizes, data formats. docs/numerics.md#8."""

from __future__ import annotations

import keras
import numpy as np
import pytest
from arrays import float64_of
from arrays import unit_values as values

from hgq2_core import ConfigError, calibrate, ebops, freeze, load_model, verify
from hgq2_fixed_point import KBI, KIF, Identity
from hgq2_layers import QConv1DLUT, QConv2DLUT, QDenseLUT, QEinsumDenseLUT

NONE = {"input_quantizer": Identity(), "table_quantizer": Identity()}
NARROW = {
    "input_quantizer": KIF(i=2, f=2, overflow_mode="SAT", granularity="channel"),
    "table_quantizer": KBI(b=5, overflow_mode="SAT", granularity="element"),
}


def straight_lines(layer, x):
    """The tables' entries before they are normalized, of networks without hidden layers: (batch, inputs, outputs)."""
    (kernel, bias), *_ = [[float64_of(each) for each in stage] for stage in layer.stages]
    return x.astype(np.float64)[..., np.newaxis] * kernel[..., 0, 0] + bias[..., 0]


def test_statistics_are_of_the_inputs_that_an_output_sums():
    layer = QDenseLUT(3, hidden_layers=0, batch_norm=True, momentum=0.75, epsilon=0.01, **NONE)
    x = values(32, 2, 4)
    layer.build((None, 2, 4))
    gamma, beta = np.asarray([0.5, 1.0, -2.0]), np.asarray([0.25, 0.0, 1.0])
    layer.gamma.assign(gamma)
    layer.beta.assign(beta)
    entries = straight_lines(layer, x)
    mean, variance = entries.mean((0, 1, 2)), entries.var((0, 1, 2))
    moving_mean, moving_variance = mean * 0.25, 0.75 + variance * 0.25

    def normalized(mean, variance):
        return (((entries - mean) / np.sqrt(variance + 0.01) * gamma + beta) / np.sqrt(4)).sum(-2)

    np.testing.assert_allclose(float64_of(layer(x, training=True)), normalized(mean, variance), rtol=1e-4, atol=1e-5)
    wanted = normalized(moving_mean, moving_variance)
    np.testing.assert_allclose(float64_of(layer(x)), wanted, rtol=1e-4, atol=1e-5)


def test_an_einsum_has_statistics_for_the_kernel_axes_of_the_output():
    layer = QEinsumDenseLUT("abc,cbd->abd", (2, 3), hidden_layers=0, batch_norm=True, **NONE)
    x = values(64, 2, 4)
    layer.build((None, 2, 4))
    kernel, bias = (float64_of(each).reshape(4, 2, 3) for each in layer.stages[0])
    entries = np.einsum("abc,cbd->abcd", x.astype(np.float64), kernel) + bias.transpose(1, 0, 2)
    mean, variance = (of((0, 2), keepdims=True) for of in (entries.mean, entries.var))
    wanted = ((entries - mean) / np.sqrt(variance + 1e-3) / np.sqrt(4)).sum(2)
    assert layer.gamma.shape == (6,)
    np.testing.assert_allclose(float64_of(layer(x, training=True)), wanted, rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize(
    ("layer", "shape"),
    [
        (lambda: QDenseLUT(2, "relu", batch_norm=True, name="tables", **NARROW), (3,)),
        (
            lambda: QConv2DLUT(
                2, 2, 2, batch_norm=True, scale=False, data_format="channels_first", name="tables", **NARROW
            ),
            (2, 4, 3),
        ),
        (lambda: QEinsumDenseLUT("abc,cbd->adb", (2, None), batch_norm=True, name="tables", **NARROW), (2, 3)),
    ],
)
def test_a_normalization_is_part_of_the_frozen_tables(layer, shape, tmp_path):
    keras.utils.set_random_seed(2)
    model = keras.Sequential([keras.Input(shape), layer()], name="normalized")
    x = values(200, *shape) * 2
    y = np.ones((200, *model.output_shape[1:]), np.float32)
    model.compile("adam", "mse")
    model.fit(x, y, epochs=2, batch_size=50, verbose=0)
    calibrate(model, x)
    assert np.abs(float64_of(model.layers[0].moving_mean)).max() > 0.01
    assert verify(model, x).mismatches == 0
    frozen = freeze(model)
    assert not [variable.path for variable in frozen.variables if "moving" in variable.path or "gamma" in variable.path]
    frozen.save(tmp_path / "frozen.keras")
    again = load_model(tmp_path / "frozen.keras")
    assert np.array_equal(again.predict(x, verbose=0), model.predict(x, verbose=0))
    model.save(tmp_path / "model.keras")
    again = load_model(tmp_path / "model.keras")
    assert np.array_equal(again.predict(x, verbose=0), model.predict(x, verbose=0))


@pytest.mark.once
def test_networks_without_a_bias():
    layer = QDenseLUT(2, hidden_layers=1, use_bias=False, name="tables", **NONE)
    layer.build((None, 3))
    assert sorted(variable.name for variable in layer.trainable_variables) == ["kernel_0", "kernel_1"]
    assert np.array_equal(float64_of(layer(np.zeros((1, 3), np.float32))), np.zeros((1, 2)))


@pytest.mark.once
@pytest.mark.parametrize(
    ("table_inputs", "each"),
    [
        ((6, 5), 2 ** (7 - 5) * 3 / 2 + 3),
        (6, 2 ** (7 - 6) * 3 + 3),
        ((8, 6), 2 ** (7 - 6) * 3 / 4 + 3),
        ((10, 8), 7 / 8 * 3 / 4 + 3),
    ],
)
def test_the_cost_in_tables_of_another_size(table_inputs, each):
    """Seven bits of input, three of an entry, six pairs."""
    layer = QDenseLUT(
        2,
        table_inputs=table_inputs,
        input_quantizer=KIF(i=3, f=4, overflow_mode="SAT_SYM"),
        table_quantizer=KBI(b=3, overflow_mode="SAT_SYM"),
    )
    layer.build((None, 3))
    assert np.isclose(ebops(layer), 6 * each, rtol=1e-6)
    assert QDenseLUT.from_config(layer.get_config()).table_inputs == layer.table_inputs


@pytest.mark.once
@pytest.mark.parametrize(
    ("cls", "shape", "arguments"),
    [(QConv1DLUT, (7, 2), {"kernel_size": 3}), (QConv2DLUT, (5, 6, 2), {"kernel_size": [2, 3], "strides": [2, 1]})],
)
def test_channels_may_come_first(cls, shape, arguments):
    last, first = (cls(3, **arguments, data_format=f"channels_{end}", **NARROW) for end in ("last", "first"))
    x = values(4, *shape)
    turned = np.moveaxis(x, -1, 1)
    last(x), first(turned)
    for own, other in zip(first.weights, last.weights, strict=True):
        own.assign(other)
    assert first.compute_output_shape(turned.shape) == tuple(first(turned).shape)
    assert np.array_equal(np.moveaxis(float64_of(first(turned)), 1, -1), float64_of(last(x)))
    assert ebops(first) == ebops(last)


def masked():
    inputs = keras.Input((4, 3))
    return QDenseLUT(2, batch_norm=True, name="tables")(keras.layers.Masking(name="hidden")(inputs))


@pytest.mark.once
@pytest.mark.parametrize(
    ("make", "message"),
    [
        (
            masked,
            "tables: takes no mask: the statistics inside its tables are those of all positions. Received: one, which "
            "an earlier layer, such as Masking or Embedding(mask_zero=True), makes. Let the padding be zeros in the "
            "data, and leave Masking and mask_zero=True out.",
        ),
        (
            lambda: QConv1DLUT(2, 3, data_format="channels_first", name="tables").build((None, 2, None)),
            "tables: takes (batch, channels, 1 spatial axes), each but the batch of a static size. "
            "Received: (None, 2, None).",
        ),
        (
            lambda: QDenseLUT(2, table_inputs=[6, 7], name="tables"),
            "tables: table_inputs are those of a whole table, and fewer or as many of each half. Received: [6, 7].",
        ),
    ],
)
def test_what_is_refused(make, message):
    with pytest.raises(ConfigError) as error:
        make()
    assert str(error.value) == message
