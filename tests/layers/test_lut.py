"""Lookup-table networks: a table for each pair of an input and an output. docs/numerics.md#7."""

from __future__ import annotations

import keras
import numpy as np
import pytest
from arrays import float64_of
from arrays import unit_values as values

from hgq2_core import ConfigError, calibrate, ebops, freeze, load_model, verify
from hgq2_fixed_point import KBI, KIF, Identity, quantize
from hgq2_layers import QConv1DLUT, QConv2DLUT, QDenseLUT, QEinsumDenseLUT

NONE = Identity()
NARROW = KIF(i=2, f=2, overflow_mode="SAT", granularity="channel")
PAIRS = KBI(b=5, overflow_mode="SAT", granularity="element")


def alone(layer, *shape):
    inputs = keras.Input(shape)
    model = keras.Model(inputs, layer(inputs))
    calibrate(model, values(64, *shape))
    return model


def network(layer, i, o, x):
    """The small network of one pair, in plain numpy."""
    hidden = np.asarray(x, np.float64)[..., np.newaxis]
    *inner, last = [[float64_of(variable)[i, o] for variable in stage] for stage in layer.stages]
    for kernel, bias in inner:
        hidden = np.tanh(hidden @ kernel / np.sqrt(len(kernel)) + bias)
    kernel, bias = last
    return (hidden @ kernel + bias)[..., 0] / np.sqrt(len(kernel) * layer.terms)


@pytest.mark.parametrize("hidden_layers", [0, 1, 2])
def test_an_output_is_the_sum_of_a_network_for_each_input(hidden_layers):
    layer = QDenseLUT(3, hidden_layers=hidden_layers, hidden_units=4, input_quantizer=NONE, table_quantizer=NONE)
    x = values(32, 2, 4)
    got = float64_of(layer(x))
    wanted = [sum(network(layer, i, o, x[..., i]) for i in range(4)) for o in range(3)]
    np.testing.assert_allclose(got, np.stack(wanted, axis=-1), rtol=1e-4, atol=1e-5)
    assert np.std(got) > 0.1


def test_the_frozen_form_is_a_table_for_each_pair():
    layer = QDenseLUT(2, input_quantizer=NARROW, table_quantizer=PAIRS)
    frozen = freeze(alone(layer, 3))
    points = np.arange(-16, 16) / 4
    stored = {name: float64_of(value) for name, value in frozen.layers[-1].stored().items()}
    assert np.array_equal(stored["table_inputs"], points)
    assert stored["table"].shape == (32, 3, 2)
    for i, o in np.ndindex(3, 2):
        wanted = quantize(network(layer, i, o, points), 1, 2, 3, "RND_CONV", "SAT")
        # A function in float32 may fall on the other side of a half step.
        assert (stored["table"][:, i, o] != wanted).sum() <= 1
    assert not [variable for variable in frozen.variables if "kernel" in variable.name]


@pytest.mark.parametrize(
    ("cls", "twin", "shape", "arguments"),
    [
        (QConv1DLUT, keras.layers.Conv1D, (7, 2), {"kernel_size": 3}),
        (QConv1DLUT, keras.layers.Conv1D, (7, 2), {"kernel_size": 3, "strides": 2, "padding": "same"}),
        (QConv1DLUT, keras.layers.Conv1D, (8, 1), {"kernel_size": 3, "dilation_rate": 2, "padding": "same"}),
        (QConv2DLUT, keras.layers.Conv2D, (5, 6, 2), {"kernel_size": [2, 3], "strides": [2, 1]}),
        (QConv2DLUT, keras.layers.Conv2D, (5, 6, 2), {"kernel_size": 3, "strides": 2, "padding": "same"}),
        (QConv2DLUT, keras.layers.Conv2D, (6, 5, 1), {"kernel_size": 2, "dilation_rate": [2, 1]}),
    ],
)
def test_straight_lines_without_offset_are_keras_convolution(cls, twin, shape, arguments):
    layer = cls(3, **arguments, hidden_layers=0, bias_initializer="zeros", input_quantizer=NONE, table_quantizer=NONE)
    other = twin(3, **arguments, use_bias=False)
    x = values(4, *shape)
    got, same_shape = float64_of(layer(x)), float64_of(other(x)).shape
    kernel = float64_of(layer.stages[0][0])[:, :, 0, 0] / np.sqrt(layer.stages[0][0].shape[0])
    other.kernel.assign(kernel.reshape(other.kernel.shape))
    assert got.shape == same_shape == (4, *layer.compute_output_shape((4, *shape))[1:])
    np.testing.assert_allclose(got, float64_of(other(x)), rtol=1e-4, atol=1e-5)


EQUATIONS = pytest.mark.parametrize(
    ("equation", "output_shape", "shape", "terms"),
    [
        ("ab,bc->ac", 3, (4,), 4),
        ("abc,cd->abd", (None, 3), (2, 4), 4),
        ("abc,cd->adb", (3, None), (2, 4), 4),
        ("abc,bcd->ad", 3, (2, 4), 8),
        ("abc,bd->adc", (3, None), (2, 4), 2),
        ("abc,bcd->abd", (2, 3), (2, 4), 4),  # a kernel of its own for each b
        ("abc,cbed->adeb", (3, 2, 2), (2, 4), 4),
        ("abc,cd->ad", 3, (2, 4), 8),  # which sums what the kernel does not have
        ("abc,bc->abc", (2, 4), (2, 4), 1),
        ("...b,bc->...c", 3, (2, 4), 4),
        ("ab...,bc->ac...", 3, (2, 4), 2),
    ],
)


@EQUATIONS
def test_an_einsum_of_straight_lines_is_keras_einsum(equation, output_shape, shape, terms):
    layer = QEinsumDenseLUT(
        equation,
        output_shape,
        hidden_layers=0,
        bias_initializer="zeros",
        input_quantizer=NONE,
        table_quantizer=NONE,
    )
    other = keras.layers.EinsumDense(equation, output_shape)
    x = values(5, *shape)
    got, same_shape = float64_of(layer(x)), float64_of(other(x)).shape
    # The tables lie by the letters that the input has too, then by the others, each in the kernel's order.
    inputs, kernel = equation.partition("->")[0].split(",")
    letters = sorted(kernel, key=lambda letter: letter not in inputs)
    sizes = [other.kernel.shape[kernel.index(letter)] for letter in letters]
    factors = float64_of(layer.stages[0][0]).reshape(sizes) / np.sqrt(terms)
    other.kernel.assign(factors.transpose([letters.index(letter) for letter in kernel]))
    assert got.shape == same_shape == tuple(layer.compute_output_shape((5, *shape)))
    np.testing.assert_allclose(got, float64_of(other(x)), rtol=1e-4, atol=1e-5)


def test_an_einsum_over_the_last_axis_is_a_dense_one():
    arguments = {"hidden_units": 4, "input_quantizer": NARROW, "table_quantizer": PAIRS}
    einsum, dense = QEinsumDenseLUT("abc,cd->abd", (None, 3), **arguments), QDenseLUT(3, **arguments)
    x = values(16, 2, 4)
    einsum(x), dense(x)
    for own, other in zip(einsum.stages, dense.stages, strict=True):
        for variable, twin in zip(own, other, strict=True):
            variable.assign(twin)
    assert np.array_equal(float64_of(einsum(x)), float64_of(dense(x)))
    assert ebops(einsum) == ebops(dense) > 0


@pytest.mark.parametrize("granularity", ["tensor", "channel", "element"])
@pytest.mark.parametrize("shape", [(4,), (2, 4)])
def test_ebops(independent, granularity, shape):
    layer = QDenseLUT(
        3,
        input_quantizer=KIF(overflow_mode="SAT_SYM", granularity=granularity),
        table_quantizer=KBI(overflow_mode="SAT", granularity=granularity),
    )
    layer.build((None, *shape))
    rng = np.random.default_rng(3)
    for variable in (layer.input_quantizer.i, layer.input_quantizer.f, layer.table_quantizer.b):
        variable.assign(rng.integers(0, 5, size=variable.shape).astype(np.float32))
    entered = independent.counted(layer.input_quantizer, (*shape, 3))
    given = np.broadcast_to(np.rint(float64_of(layer.table_quantizer.b))[0] + 1, (4, 3))
    wanted = 0.0
    for *position, i, o in np.ndindex(*shape, 3):
        bits = entered[(*position, i, o)]
        wanted += (2.0 ** (bits - 5) if bits >= 5 else bits / 5) * given[i, o] * 2.0 ** (5 - 6) + given[i, o]
    assert wanted > 0
    assert np.isclose(ebops(layer), wanted, rtol=1e-5)


def test_training_learns_and_moves_bits():
    keras.utils.set_random_seed(1)
    layer = QDenseLUT(1, table_quantizer=PAIRS, ebops_beta=1e-5)
    model = alone(layer, 2)
    x = values(256, 2)
    y = np.abs(x[:, :1]) - np.sin(2 * x[:, 1:])
    model.compile(keras.optimizers.Adam(0.03), "mse")
    before = float64_of(layer.table_quantizer.b).copy(), float64_of(layer.input_quantizer.f).copy()
    losses = model.fit(x, y, epochs=12, batch_size=64, verbose=0).history["loss"]
    assert losses[-1] < losses[0] / 2
    assert not np.array_equal(before[0], float64_of(layer.table_quantizer.b))
    assert not np.array_equal(before[1], float64_of(layer.input_quantizer.f))


@pytest.mark.parametrize(
    ("layer", "shape"),
    [
        (lambda: QDenseLUT(3, "relu"), (2, 4)),
        (lambda: QConv2DLUT(2, 2, 2, padding="same", input_quantizer=NARROW), (3, 5, 1)),
        (lambda: QEinsumDenseLUT("abc,cbd->adb", (2, None), "relu", table_quantizer=PAIRS), (2, 3)),
    ],
)
def test_frozen_saved_and_loaded_predictions_are_the_same_bits(layer, shape, tmp_path):
    model = alone(layer(), *shape)
    x = values(200, *shape) * 2
    assert verify(model, x).mismatches == 0
    frozen = freeze(model)
    frozen.save(tmp_path / "frozen.keras")
    assert np.array_equal(load_model(tmp_path / "frozen.keras").predict(x, verbose=0), frozen.predict(x, verbose=0))


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (
            lambda: QDenseLUT(2, name="pairs").build((None, None)),
            "pairs: the last axis of the input, besides the batch, needs a static size. Received: (None, None).",
        ),
        (
            lambda: QEinsumDenseLUT("abc,cd->abd", (None, 2), name="pairs").build((None, 3, None)),
            "pairs: kernel axis 'c' of 'abc,cd->abd' needs a static size. "
            "Received: input shape (None, 3, None), output_shape=(None, 2).",
        ),
        (
            lambda: QEinsumDenseLUT("abc,acd->abd", (None, 2), name="pairs").build((5, 3, 4)),
            "pairs: the input's first axis is the batch, which no kernel has. Received: equation='abc,acd->abd'.",
        ),
        (
            lambda: QEinsumDenseLUT("abc,cd->ad", 2, name="pairs").build((None, None, 4)),
            "pairs: axes ['b', 'c'] of 'abc,cd->ad', over which it sums, need static sizes. Received: (None, None, 4).",
        ),
        (
            lambda: QConv2DLUT(2, [1, 2, 3]),
            "QConv2DLUT: kernel_size is a number, or a list of 2. Received: kernel_size=[1, 2, 3]",
        ),
        (
            lambda: QConv1DLUT(2, 3, name="conv").build((None, None, 2)),
            "conv: takes (batch, 1 spatial axes, channels), each but the batch of a static size. "
            "Received: (None, None, 2).",
        ),
        (
            lambda: QConv1DLUT(2, 3, name="conv").build((None, 2, 2)),
            "conv: no window of kernel_size=[3] fits. Received: (None, 2, 2).",
        ),
    ],
)
def test_what_is_refused(make, message):
    with pytest.raises(ConfigError) as error:
        make()
    assert str(error.value) == message
