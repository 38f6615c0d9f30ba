"""Lookup tables: trained as functions, deployed as data; QUnaryFunction and its kin. docs/numerics.md#7 and #8."""

from __future__ import annotations

import keras
import numpy as np
import pytest
from arrays import numpy_of, values
from differentiation import differentiate

from hgq2_core import (
    ConfigError,
    ExactnessError,
    QLayer,
    calibrate,
    defaults,
    ebops,
    freeze,
    load_model,
    summary,
    verify,
)
from hgq2_fixed_point import KBI, KIF, Binary, Identity, PowerOfTwo, quantize
from hgq2_layers import QAffineUnaryFunction, QHardSigmoid, QUnaryFunction
from hgq2_layers.activations.elementwise import ELEMENTWISE

NONE = Identity()
FINE = KIF(i=3, f=10, overflow_mode="SAT")


@keras.saving.register_keras_serializable("test_lookup_table")
def cube(x):
    return x * x * x


def alone(layer, *shape):
    inputs = keras.Input(shape)
    model = keras.Model(inputs, layer(inputs))
    calibrate(model, values(64, *shape))
    return model


def entries(frozen):
    """The inputs and the entries of a frozen layer's table."""
    return {name: numpy_of(value).astype(np.float64) for name, value in frozen.layers[-1].stored().items()}


# The function.


@pytest.mark.parametrize("activation", ["tanh", "gelu", "sigmoid", "exponential", "softplus", cube])
def test_without_quantizers_it_is_the_activation(activation):
    layer = QUnaryFunction(activation, input_quantizer=NONE, table_quantizer=NONE)
    x = values(64, 3, 2)
    np.testing.assert_allclose(numpy_of(layer(x)), numpy_of(keras.activations.get(activation)(x)), rtol=1e-6, atol=1e-6)


def test_a_fine_table_is_the_activation_to_the_step_of_its_grid():
    model = alone(QUnaryFunction("tanh", input_quantizer=FINE, table_quantizer=NONE), 4)
    x = np.clip(values(256, 4), -7.9, 7.9)
    got = freeze(model).predict(x, verbose=0)
    assert np.abs(got - np.tanh(x)).max() <= 2.0**-11 + 1e-6
    assert len(np.unique(got)) > 300


def test_affine_without_quantizers():
    layer = QAffineUnaryFunction("tanh", per_channel=True, input_quantizer=NONE, table_quantizer=NONE)
    x = values(16, 5, 3)
    layer.build(x.shape)
    scale, offset = np.array([0.5, -1.0, 2.0], np.float32), np.array([0.1, 0.2, -3.0], np.float32)
    layer.scale.assign(scale)
    layer.offset.assign(offset)
    np.testing.assert_allclose(numpy_of(layer(x)), np.tanh(scale * x + offset), rtol=1e-5, atol=1e-6)


def test_hard_sigmoid_is_that_of_keras():
    layer = QHardSigmoid(input_quantizer=NONE, table_quantizer=NONE)
    x = values(64, 3)
    np.testing.assert_allclose(numpy_of(layer(x)), numpy_of(keras.activations.hard_sigmoid(x)), rtol=1e-6, atol=1e-7)


def test_hard_sigmoid_of_a_dyadic_slope_is_shifts_and_adders():
    """docs/numerics.md#10: 0.65 a nonzero signed digit of the slope and a bit; 7/8 = 1 - 1/8 has two."""
    step = KIF(i=3, f=2, overflow_mode="SAT_SYM")
    for slope, digits in ((0.25, 1), (0.1875, 2), (0.875, 2), (1.0, 1)):
        model = alone(QHardSigmoid(slope=slope, input_quantizer=step), 3)
        assert ebops(model) == pytest.approx(0.65 * digits * 3 * 5)
        x = np.linspace(-6, 6, 64 * 3, dtype="float32").reshape(64, 3)
        wanted = np.clip(slope * quantize(x, 1, 3, 2, "RND", "SAT_SYM") + 0.5, 0, 1)
        assert (model.predict(x, verbose=0) == wanted).all()
        assert verify(model, x).ok
    with pytest.raises(ConfigError, match=r"slope is a sum of few powers of two, such as 0\.25"):
        QHardSigmoid(slope=0.2)


def test_the_gradient_of_the_gates_is_that_of_the_inside_at_their_ends():
    layer = QHardSigmoid(slope=0.25, input_quantizer=NONE)
    _, slope = differentiate(layer, [[-3.0, -2.0, 0.0, 2.0, 3.0]])
    assert slope.tolist() == [[0.0, 0.25, 0.25, 0.25, 0.0]]


def test_gradients_reach_the_values_and_the_bits_of_both_quantizers():
    torch = pytest.importorskip("torch")
    if keras.backend.backend() != "torch":
        pytest.skip("the gradient is taken by torch")
    table = KBI(b=5, i=0, overflow_mode="SAT")
    layer = QUnaryFunction("tanh", input_quantizer=KIF(i=2, f=3, overflow_mode="SAT"), table_quantizer=table)
    x = torch.tensor(values(64, 3) / 3, requires_grad=True)
    layer(x, training=True).sum().backward()
    q = layer.input_quantizer.quantize(x.detach())
    inside = torch.tanh(q).abs() <= 31 / 32
    slope = 1 - torch.tanh(q) ** 2
    torch.testing.assert_close(x.grad[inside], slope[inside], rtol=1e-5, atol=1e-6)
    bits = [layer.input_quantizer.f, layer.table_quantizer.b]
    assert all(variable.value.grad.abs().sum() > 0 for variable in bits)


def test_training_moves_bits_scale_and_offset():
    layer = QAffineUnaryFunction("tanh", ebops_beta=1e-2, table_quantizer=KBI(b=8, granularity="tensor"))
    inputs = keras.Input((3,))
    model = keras.Model(inputs, layer(inputs))
    model.compile(keras.optimizers.Adam(0.1), "mse")
    before = {variable.path: numpy_of(variable).copy() for variable in model.trainable_variables}
    model.fit(values(64, 3), np.tanh(2 * values(64, 3) + 1), epochs=3, verbose=0)
    assert {"scale", "offset", "f", "b"} <= {variable.name for variable in model.trainable_variables}
    assert not [v.path for v in model.trainable_variables if np.array_equal(before[v.path], numpy_of(v))]


# Its frozen form.


def test_entries_are_the_quantized_function_at_every_value_of_the_input():
    iq, oq = KIF(i=1, f=2, overflow_mode="SAT"), KBI(b=4, i=0, overflow_mode="SAT", round_mode="RND_CONV")
    frozen = freeze(alone(QUnaryFunction("tanh", input_quantizer=iq, table_quantizer=oq), 3))
    points = np.arange(-8, 8) / 4
    assert np.array_equal(entries(frozen)["table_inputs"], points)
    assert np.array_equal(entries(frozen)["table"], quantize(np.tanh(points), 1, 0, 4, "RND_CONV", "SAT"))


def test_formats_per_element_share_one_table_of_the_finest_step_and_the_widest_range():
    layer = QUnaryFunction("tanh", input_quantizer=KIF(overflow_mode="SAT"))
    model = alone(layer, 3)
    layer.input_quantizer.i.assign([[1.0, 3.0, -9.0]])
    layer.input_quantizer.f.assign([[4.0, 0.0, 2.0]])
    assert np.array_equal(entries(freeze(model))["table_inputs"], np.arange(-8 * 16, 7 * 16 + 1) / 16)
    assert verify(model, values(500, 3)).ok


@pytest.mark.parametrize(
    ("iq", "points"),
    [
        (Binary(), [-1, 1]),
        (PowerOfTwo(lowest=-1, highest=1), [-2, -1, -0.5, 0, 0.5, 1, 2]),
        (KIF(i=0, f=1, k=0, overflow_mode="SAT"), [0, 0.5]),
        (KIF(i=0, f=1, overflow_mode="SAT_SYM"), [-0.5, 0, 0.5]),
        (KIF(i=-3, f=2, overflow_mode="SAT"), [0]),
    ],
)
def test_each_quantizer_gives_its_values(iq, points):
    model = alone(QUnaryFunction("gelu", input_quantizer=iq), 3)
    assert entries(freeze(model))["table_inputs"].tolist() == points
    assert verify(model, values(200, 3)).ok


@pytest.mark.parametrize("per_channel", [False, True])
@pytest.mark.parametrize("overflow_mode", ["SAT", "WRAP"])
def test_frozen_saved_and_loaded_predictions_are_the_same_bits(per_channel, overflow_mode, tmp_path):
    table = KIF(f=5, overflow_mode=overflow_mode, granularity="channel")
    layer = QAffineUnaryFunction("silu", per_channel=per_channel, table_quantizer=table)
    model = alone(layer, 2, 3)
    layer.scale.assign(np.linspace(0.3, 3, 3) if per_channel else 0.7)
    calibrate(model, values(64, 2, 3))
    assert verify(model, values(1000, 2, 3) * 2).mismatches == 0
    frozen = freeze(model)
    frozen.save(tmp_path / "frozen.keras")
    x = values(100, 2, 3) * 2
    assert np.array_equal(load_model(tmp_path / "frozen.keras").predict(x, verbose=0), frozen.predict(x, verbose=0))


def test_prediction_of_a_frozen_model_calls_no_function(monkeypatch):
    frozen = freeze(alone(QUnaryFunction(cube), 3))
    monkeypatch.setattr(frozen.layers[-1], "activation", None)
    table = entries(frozen)
    got = frozen.predict(table["table_inputs"][:, np.newaxis].repeat(3, 1), verbose=0)
    assert np.array_equal(got[:, 0], table["table"])


def test_a_frozen_table_keeps_nan():
    frozen = freeze(alone(QUnaryFunction("tanh", input_quantizer=KIF(i=1, f=2, overflow_mode="SAT")), 1))
    table = frozen.layers[-1].table
    got = numpy_of(table(keras.ops.convert_to_tensor(np.array([-2.0, 1.75, np.nan], np.float32))))
    stored = entries(frozen)["table"]
    assert got[:2].tolist() == [stored[0], stored[-1]]
    assert np.isnan(got[2])


def test_a_grid_that_changed_since_freezing_is_refused():
    frozen = freeze(alone(QUnaryFunction("tanh", input_quantizer=KIF(i=1, f=2, overflow_mode="SAT"), name="bend"), 3))
    frozen.layers[-1].input_quantizer.f.assign([[5.0, 5.0, 5.0]])
    with pytest.raises(ExactnessError) as error:
        verify(frozen, values(50, 3))
    assert str(error.value) == (
        "bend.table: the lookup table has no entry for some input. Its input quantizer has changed since the model was "
        "frozen: freeze the trainable model again."
    )


# Its cost.


@pytest.mark.parametrize("granularity", ["tensor", "channel", "element"])
@pytest.mark.parametrize(("shape", "per_channel"), [((3,), False), ((2, 3), False), ((2, 3), True)])
def test_ebops(independent, granularity, shape, per_channel):
    layer = QAffineUnaryFunction(
        "tanh",
        per_channel=per_channel,
        input_quantizer=KIF(overflow_mode="SAT", granularity=granularity),
        table_quantizer=KBI(granularity=granularity, overflow_mode="SAT_SYM"),
    )
    layer.build((None, *shape))
    rng = np.random.default_rng(1)
    for variable in (layer.input_quantizer.i, layer.input_quantizer.f, layer.table_quantizer.b):
        variable.assign(rng.integers(0, 6, size=variable.shape).astype(np.float32))
    entered = independent.counted(layer.input_quantizer, shape)
    given = np.maximum(np.rint(independent.numpy_of(layer.table_quantizer.b))[0], 0)
    wanted = 1e-4 * (2.0**entered * given).sum()
    assert wanted > 0
    assert np.isclose(ebops(layer), wanted, rtol=1e-5)


def test_a_wrapping_table_pays_for_the_range_of_its_entries():
    table = KIF(f=3, overflow_mode="WRAP")
    model = alone(
        QUnaryFunction("exponential", input_quantizer=KIF(i=1, f=0, overflow_mode="SAT"), table_quantizer=table), 1
    )
    # e^-2 to e^1 rounds to at most 2.75, which takes two integer bits.
    assert np.isclose(ebops(model), 1e-4 * 2**2 * (2 + 3), rtol=1e-5)
    assert [row.mean for row in summary(model).layers[-1].slots] == [2.0, 5.0]


def test_the_default_table_has_a_sign_only_where_the_function_is_negative():
    names = {"sigmoid": 0, "softplus": 0, "relu6": 0, "tanh": 1, "silu": 1}
    assert {name: QUnaryFunction(name).table_quantizer.config.k for name in names} == names
    assert QUnaryFunction("sigmoid", table_quantizer=KBI(b=5)).table_quantizer.config.k == 1
    with defaults(table=KBI(b=5)):
        assert QUnaryFunction("sigmoid").table_quantizer.config.k == 1


# What is refused.


def test_a_table_may_not_be_too_large():
    model = alone(QUnaryFunction("tanh", input_quantizer=KIF(i=4, f=13, overflow_mode="SAT"), name="bend"), 2)
    with pytest.raises(ExactnessError) as error:
        freeze(model)
    assert str(error.value) == (
        "bend.input: a lookup table may have 65536 entries. Received: 262144, from -16 to 15.9999 in steps of "
        "0.00012207. Give it fewer integer or fraction bits."
    )


def test_a_table_needs_a_finite_set_of_inputs():
    with pytest.raises(ExactnessError) as error:
        freeze(alone(QUnaryFunction("tanh", input_quantizer=NONE, name="bend"), 2))
    assert str(error.value) == "bend.input: Identity gives no finite set of values to tabulate."


@pytest.mark.parametrize(
    ("activation", "message"),
    [
        ("softmax", "must be a function of one number. Received: 'softmax' (str)."),
        ("glu", "must be a function of one number. Received: 'glu' (str)."),
        ("threshold", "must be a function of one number. Received: 'threshold' (str)."),
        (
            lambda x: x,
            "must be one of Keras' activations by name, or a function that "
            "keras.saving.register_keras_serializable() has registered.",
        ),
        (
            {"class_name": "__lambda__", "config": {"value": "x"}},
            "must be one of Keras' activations by name, or a function that "
            "keras.saving.register_keras_serializable() has registered.",
        ),
        ("tanhh", "Did you mean 'tanh'?"),
    ],
)
def test_what_is_no_function_of_one_number_is_refused(activation, message):
    with pytest.raises(ConfigError) as error:
        QUnaryFunction(activation, name="bend")
    assert "QUnaryFunction 'bend'" in str(error.value)
    assert message in str(error.value)


def test_a_registered_function_comes_back_from_its_config():
    config = QUnaryFunction(cube).get_config()
    assert QLayer.from_config(config).activation is cube
    assert ELEMENTWISE.to_config(keras.activations.tanh) == "tanh"


def test_a_table_per_channel_needs_a_static_size():
    with pytest.raises(ConfigError) as error:
        QAffineUnaryFunction("tanh", per_channel=True, name="bend").build((None, 3, None))
    assert str(error.value) == (
        "bend: per_channel needs a static size of the last axis, besides the batch. Received: (None, 3, None)."
    )


# Looking up.


@pytest.mark.parametrize(
    "config",
    [
        KIF(i=2, f=3, granularity="element"),
        KIF(i=2, f=-1, overflow_mode="SAT_SYM"),
        KIF(k=0, i=-2, f=2, overflow_mode="SAT"),
        Binary(),
    ],
    ids=str,
)
def test_entries_at_even_spacing_are_indexed_and_are_those_that_a_search_finds(config, monkeypatch):
    frozen = freeze(alone(QUnaryFunction("tanh", input_quantizer=config), 6))
    x = np.concatenate([values(64, 6, seed=2), np.full((1, 6), np.nan), np.full((1, 6), 1e9)]).astype(np.float32)
    assert frozen.layers[-1].input_quantizer.uniform_grid
    indexed = numpy_of(frozen(x))
    monkeypatch.setattr(type(frozen.layers[-1].input_quantizer), "uniform_grid", False)
    np.testing.assert_array_equal(indexed, numpy_of(frozen(x)))
    assert np.isnan(indexed[-2]).all()
