"""Minifloats in layers: every role, cost, training, blocks, ranges, and the proof that integers agree."""

import re

import keras
import numpy as np
import pytest
from arrays import numpy_of
from differentiation import differentiate

from hgq2_core import ConfigError, calibrate, ebops, fit_ranges, freeze, summary, verify
from hgq2_core.exact import Integers, Intervals
from hgq2_core.exact.integers import equal, from_float, to_float
from hgq2_core.quantizers.config import Slot
from hgq2_core.testing import check_quantizer
from hgq2_fixed_point import KBI, KIF
from hgq2_layers import QDense, QEinsumDense
from hgq2_minifloat import (
    Float4E2M1FN,
    Float6E3M2FN,
    Float8E4M3FN,
    Float8E5M2,
    Minifloat,
    MXInt,
    quantize,
)
from hgq2_minifloat.exact import exact_quantize
from hgq2_minifloat.formats import STANDARDS, Format

SMALL = Minifloat(m=2, e=3, e0=1)


def built(config, shape=(4, 3), role="weight"):
    quantizer = config.build(Slot(role, "checked"))
    quantizer.build((None, *shape) if role in ("activation", "table") else shape)
    return quantizer


def normal(*shape, seed=0):
    return np.random.default_rng(seed).normal(size=shape).astype(np.float32) * 3


@pytest.mark.parametrize(
    "config",
    [
        Minifloat(round_mode="S_RND_CONV"),
        Minifloat(trainable=["m"], granularity="channel", e=0),
        Minifloat(m=-1, noise=0.5),
        Minifloat(m=7, e=7, e0=0, e_bounds=(0, 8), trainable=["m"]),
    ],
)
def test_the_conformance_kit_over_options(config):
    check_quantizer(config, imports=False)


@pytest.mark.parametrize("role", ["weight", "bias", "table", "activation"])
@pytest.mark.parametrize("granularity", ["tensor", "channel", "element", (1,)])
def test_every_role_and_granularity(role, granularity):
    batched = role in ("activation", "table")
    x = normal(50, 4, 3) if batched else normal(4, 3)
    quantizer = built(Minifloat(granularity=granularity), role=role)
    rng = np.random.default_rng(1)
    for variable, low, high in ((quantizer.m, -1, 5), (quantizer.e, 0, 4), (quantizer.e0, -2, 3)):
        variable.assign(rng.integers(low, high, size=variable.shape).astype(np.float32))
    m, e, e0 = (numpy_of(bits) for bits in (quantizer.m, quantizer.e, quantizer.e0))
    wanted = quantize(x, m, e, e0)
    np.testing.assert_array_equal(numpy_of(quantizer.quantize(keras.ops.convert_to_tensor(x))), wanted)
    assert equal(quantizer.exact(Integers(), from_float(x)), wanted).all()
    bits = np.where(m < 0, 0, 1 + e + m)
    if quantizer.slot.batched:  # the entries of a table share their bits, as samples do
        bits, x = bits[0], x[0]
    np.testing.assert_array_equal(numpy_of(quantizer.bits()), np.broadcast_to(bits, x.shape))


def model_of(weight, bias, activation, output=None):
    keras.utils.set_random_seed(2)
    shared = {"kernel_quantizer": weight, "bias_quantizer": bias, "bias_initializer": "random_normal"}
    inputs = keras.Input((3, 4))
    x = QEinsumDense("abc,cd->abd", [None, 5], bias_axes="d", activation="relu", input_quantizer=activation, **shared)(
        inputs
    )
    x = QDense(2, input_quantizer=activation, output_quantizer=output, **shared)(keras.layers.Flatten()(x))
    return keras.Model(inputs, x)


WRAP = KIF(overflow_mode="WRAP")
MODELS = {
    "minifloat alone": (SMALL, SMALL, SMALL, SMALL),
    "minifloat weights": (SMALL, None, WRAP),
    "minifloat activations": (KBI(b=4), None, SMALL),
    "standards": (Float4E2M1FN(block={"size": 2}), Float6E3M2FN(), Float8E4M3FN(), Float6E3M2FN()),
}


@pytest.mark.parametrize("name", MODELS)
def test_integers_agree_trained_frozen_and_loaded(name, tmp_path):
    model = model_of(*MODELS[name])
    x, y = normal(1000, 3, 4), normal(1000, 2, seed=1)
    model.compile(keras.optimizers.SGD(0.1), "mean_squared_error")
    before = [numpy_of(variable).copy() for variable in model.trainable_variables]
    model.fit(x, y, batch_size=250, epochs=1, verbose=0)
    moved = [not np.array_equal(old, numpy_of(new)) for old, new in zip(before, model.trainable_variables, strict=True)]
    assert all(moved)
    calibrate(model, x)
    assert verify(model, x).mismatches == 0
    frozen = freeze(model)
    frozen.save(tmp_path / "frozen.keras")
    again = keras.saving.load_model(tmp_path / "frozen.keras")
    np.testing.assert_array_equal(again.predict(x, verbose=0), model.predict(x, verbose=0))


def test_the_cost_is_that_of_the_bits():
    layer = QDense(3, input_quantizer=SMALL, kernel_quantizer=Minifloat(m=1, e=2), bias_quantizer=Float6E3M2FN())
    layer.build((None, 4))
    layer.kernel_quantizer.m.assign(np.float32([[-1, 0, 3]] * 4))
    assert ebops(layer) == 4 * 6 * (0 + 3 + 6) + 3 * 6


def test_every_layer_counts_blocks_by_their_elements():
    layer = QDense(3, input_quantizer=KIF(i=2, f=2), kernel_quantizer=Float4E2M1FN(block={}), use_bias=False)
    layer.build((None, 40))
    assert ebops(layer) == 40 * 4 * 4 * 3


def block_reference(x, size, form):
    """OCP MX along axis 0: a shared exponent floor(log2(max)) - emax; elements quantized in units of 2 to it."""
    top = int(np.floor(np.log2(form.largest)))
    parts = []
    for start in range(0, len(x), size):
        part = x[start : start + size].astype(np.float64)
        largest = np.abs(part).max(axis=0, keepdims=True)
        scale = 2.0 ** np.where(largest > 0, np.floor(np.log2(np.where(largest > 0, largest, 1.0))) - top, 0)
        parts.append(quantize(part / scale, *form) * scale)
    return np.concatenate(parts)


@pytest.mark.parametrize("name", ["float4_e2m1fn", "float6_e2m3fn", "float6_e3m2fn", "float8_e4m3fn", "float8_e5m2"])
@pytest.mark.parametrize("size", [32, 7, 100])
def test_blocks_are_those_of_ocp_mx(name, size):
    form = STANDARDS[name]
    x = normal(70, 3) * np.exp2(np.random.default_rng(2).uniform(-30, 30, (70, 3))).astype(np.float32)
    x[:10] = 0.0
    config = {"kind": f"minifloat.{name}", "block": {"size": size}}
    layer = QDense(3, kernel_quantizer=config)
    layer.build((None, 70))
    q = numpy_of(layer.kernel_quantizer.quantize(keras.ops.convert_to_tensor(x)))
    np.testing.assert_array_equal(q, block_reference(x, size, form))
    np.testing.assert_array_equal(numpy_of(layer.kernel_quantizer.quantize(keras.ops.convert_to_tensor(q))), q)


@pytest.mark.parametrize("b", [8, 4])
def test_blocks_of_integers_are_those_of_ocp_mx(b):
    x = normal(70, 3) * np.exp2(np.random.default_rng(2).uniform(-30, 30, (70, 3))).astype(np.float32)
    x[:10], x[40] = 0.0, 1.999  # which rounds past the top
    layer = QDense(3, input_quantizer=KIF(i=2, f=2), kernel_quantizer=MXInt(b=b, block={}), use_bias=False)
    layer.build((None, 70))
    parts = []
    for start in range(0, 70, 32):
        part = x[start : start + 32].astype(np.float64)
        scale = 2.0 ** (np.frexp(np.abs(part).max(axis=0))[1] - 1)
        steps = 2 ** (b - 2)
        parts.append(np.clip(np.rint(part / scale * steps), 1 - 2 * steps, 2 * steps - 1) / steps * scale)
    q = numpy_of(layer.kernel_quantizer.quantize(keras.ops.convert_to_tensor(x)))
    np.testing.assert_array_equal(q, np.concatenate(parts))
    np.testing.assert_array_equal(numpy_of(layer.kernel_quantizer.quantize(keras.ops.convert_to_tensor(q))), q)
    assert ebops(layer) == 70 * 4 * (b - 1) * 3
    assert layer.kernel_quantizer.format_name() == f"mxint{b}, blocks of 32"


def test_the_gradient_of_an_integer_passes_and_its_width_is_trained():
    quantizer = built(MXInt(b=4, block={"size": 2}, trainable=True), (4,))
    x = [1.96, 0.3, -0.7, 0.1]
    q, gradient = differentiate(quantizer.quantize, x)
    assert q.tolist() == [1.75, 0.25, -0.75, 0.125]
    assert gradient.tolist() == [1.0] * 4
    assert [variable.name for variable in quantizer.trainable_variables] == ["m"]


def test_a_model_of_integers_in_blocks_is_exact(tmp_path):
    model = model_of(MXInt(block={"size": 2}), None, MXInt(b=6, overflow_gradient=0))
    x = normal(200, 3, 4)
    calibrate(model, x)
    assert verify(model, x).mismatches == 0
    model.save(tmp_path / "model.keras")
    again = keras.saving.load_model(tmp_path / "model.keras")
    np.testing.assert_array_equal(again.predict(x, verbose=0), model.predict(x, verbose=0))


@pytest.mark.once
def test_a_width_out_of_bounds_is_refused():
    with pytest.raises(ConfigError) as error:
        MXInt(b=1)
    assert str(error.value) == "MXInt: b must lie within b_bounds=[2.0, 12.0]. Received: b=1.0."


def test_blocks_lie_along_any_axis():
    x = normal(3, 20)
    along_last = built(Float4E2M1FN(block={"axis": -1, "size": 8}), (3, 20))
    q = numpy_of(along_last.quantize(keras.ops.convert_to_tensor(x)))
    np.testing.assert_array_equal(q, block_reference(x.T, 8, STANDARDS["float4_e2m1fn"]).T)


def test_blocks_are_refused_where_there_are_none():
    with pytest.raises(ConfigError) as error:
        QDense(2, name="a", bias_quantizer=Float4E2M1FN(block={}))
    assert str(error.value) == (
        "a.bias: block scales weights and the inputs of layers. Received: block of the role 'bias'. Leave it out here."
    )
    with pytest.raises(
        ConfigError, match=r"checked: no such axis\. Received: block\.axis=2\. Allowed: -2 to 1 for shape"
    ):
        built(Float4E2M1FN(block={"axis": 2}))


def test_rounding_by_chance_is_for_training_alone():
    quantizer, x = built(Minifloat(round_mode="S_RND_CONV"), (1000,)), np.full(1000, 1.03, np.float32)
    tensor = keras.ops.convert_to_tensor(x)
    assert set(numpy_of(quantizer.quantize(tensor, training=True))) == {1.0, 1.125}
    assert set(numpy_of(quantizer.quantize(tensor))) == {1.0}


def test_noise_blends_quantization_in():
    quantizer, x = built(Minifloat(noise=0.25), (1,)), keras.ops.convert_to_tensor(np.float32([1.03]))
    assert numpy_of(quantizer.quantize(x, training=True)) == pytest.approx(0.25 * 1.0 + 0.75 * 1.03)
    assert numpy_of(quantizer.quantize(x)).tolist() == [1.0]


@pytest.mark.parametrize(
    ("fit", "values", "e", "e0"),
    [
        ({}, [0.1, -5.0], 3, -1),  # up to 7 · 2^-1 ... 2^2 · 1.75
        ({}, [0.1, 7.4], 3, -1),  # rounds to 7
        ({}, [0.1, 7.6], 3, 0),  # rounds to 8
        ({"margin": 2}, [0.1, -5.0], 3, 1),
        ({"percentile": 50}, [1.0, 1.0, 1.0, 100.0], 3, -3),
        ({}, [0.0, 0.0], 3, -3),
        ({"normal": 0.1}, [0.5, 1.0, 3.0], 2, 0),  # from 2^-1 to 2^1: three binades
        ({"normal": 0.1}, [0.001, 0.0, 3.0], 4, -6),  # from 2^-10 to 2^1: twelve
        ({"normal": 0.1}, [1.0, 1.2], 1, 0),
    ],
)
def test_exponents_fitted_to_values(fit, values, e, e0):
    model = keras.Sequential([keras.Input((len(values),))])
    weight = Minifloat(m=2, e=3, granularity="tensor", fit_to=fit)
    model.add(QDense(1, kernel_quantizer=weight, use_bias=False))
    (layer,) = model.layers
    layer.kernel.assign(np.float32(values)[:, np.newaxis])
    assert fit_ranges(model, normal(5, len(values))) == (f"{layer.name}.kernel",)
    quantizer = layer.kernel_quantizer
    assert (numpy_of(quantizer.e).item(), numpy_of(quantizer.e0).item()) == (e, e0)


def test_without_exponent_bits_the_range_is_fitted_too():
    weight = Minifloat(m=3, e=0, granularity="channel", fit_to={})
    model = keras.Sequential([keras.Input((1,)), QDense(3, kernel_quantizer=weight, use_bias=False)])
    (layer,) = model.layers
    layer.kernel.assign(np.float32([[0.875, 0.99, 1.0]]))
    fit_ranges(model, normal(5, 1))
    assert numpy_of(layer.kernel_quantizer.e0).tolist() == [[0.0, 1.0, 1.0]]


def test_the_summary_names_standards():
    layer = QDense(3, input_quantizer=Float8E4M3FN(), kernel_quantizer=Float4E2M1FN(block={}), name="a")
    trained = QDense(2, input_quantizer=Minifloat(m=3, e=2, e0=1), kernel_quantizer=Minifloat(m=3, e=2, e0=2), name="b")
    model = keras.Sequential([keras.Input((4,)), layer, trained])
    found = {(row.name, slot.name): slot.format for row in summary(model).layers for slot in row.slots}
    assert found == {
        ("a", "input"): "float8_e4m3fn",
        ("a", "kernel"): "float4_e2m1fn, blocks of 32",
        ("a", "bias"): "",
        ("b", "input"): "float6_e2m3fn",
        ("b", "kernel"): "",
        ("b", "bias"): "",
    }
    assert re.search(r"input float8_e4m3fn [│ ]+8\.00 ", str(summary(model)))


def test_verify_says_how_wide_the_sums_are():
    x = normal(100, 4)

    def required(activation, weight):
        layer = QDense(
            1, input_quantizer=activation, kernel_quantizer=weight, use_bias=False, kernel_initializer="ones"
        )
        model = keras.Sequential([keras.Input((4,)), layer])
        calibrate(model, x)
        (row,) = verify(model, x).layers
        return row.required_bits, row.float32_enough

    # 4 products of 6 with steps of 1/2; of 448 with 2^-9; of 57344 with 2^-16.
    assert required(Float4E2M1FN(), Float4E2M1FN()) == (6, True)
    assert required(Float8E4M3FN(), Float8E4M3FN()) == (20, True)
    assert required(Float8E5M2(), Float8E5M2()) == (34, False)


@pytest.mark.parametrize(
    "form", [STANDARDS["float4_e2m1fn"], STANDARDS["float8_e4m3fn"], Format(0, 3, 0), Format(3, 0, 1)]
)
@pytest.mark.parametrize(("low", "high", "f"), [(-3.0, 2.75, 2), (0.0, 40.0, 3), (-700.0, 1.0, 5), (-0.5, 600.0, 40)])
def test_intervals_are_tight(form, low, high, f):
    intervals = Intervals()
    result = exact_quantize(intervals, intervals.between([[low]], [[high]], f), np.array([[form[:3]]]), form.max_value)
    ends = quantize(np.array([low, high]), *form)
    assert [to_float(result.lo).item(), to_float(result.hi).item()] == ends.tolist()
    values = np.array(form.magnitudes())
    reached = quantize(np.arange(low, high + 2.0**-5, 2.0 ** -min(f, 5)), *form)
    finest = {abs(value) for value in (reached if f <= 5 else values)}
    step = max(int(np.ceil(-np.log2(np.gcd.reduce([int(v * 2**20) for v in finest]) / 2**20))), -30)
    assert result.step.item() == step


def test_doctor_is_told_what_overflows():
    quantizer = built(Float8E4M3FN(), (6,), "activation")
    x = np.float32([[447.0, 463.9, 464.0, 464.1, -500.0, 1.0]])  # halfway to the next step, ties go to even
    check = quantizer.check_range(x)
    assert check.outside.tolist() == [[False, False, False, True, True, False]]
    assert (check.low.item(), check.high.item()) == (-448.0, 448.0)


def test_a_layer_applied_twice_is_fitted_to_both():
    activation = Minifloat(m=3, e=3, granularity="tensor", fit_to={})
    layer = QDense(4, kernel_initializer="identity", kernel_quantizer="none", input_quantizer=activation)
    inputs = keras.Input((4,))
    model = keras.Model(inputs, layer(0.125 * layer(inputs)))
    for largest in (96.0, 3.0):  # each time anew, and to the larger of both
        fit_ranges(model, np.full((5, 4), largest, "float32"))
        alone = keras.Sequential([keras.Input((4,)), QDense(4, kernel_quantizer="none", input_quantizer=activation)])
        fit_ranges(alone, np.full((5, 4), largest, "float32"))
        found, wanted = (numpy_of(each.input_quantizer.e0).item() for each in (layer, alone.layers[0]))
        assert found == wanted
