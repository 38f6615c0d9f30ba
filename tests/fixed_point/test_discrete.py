"""Binary, ternary, power-of-two, and no quantization (docs/numerics.md#6)."""

import keras
import numpy as np
import pytest
from differentiation import differentiate

from hgq2_core import ConfigError, calibrate, ebops, verify
from hgq2_fixed_point import KIF, Binary, Identity, PowerOfTwo, Ternary
from hgq2_layers import QDense

X = [-9.0, -0.75, -0.5, -0.4, -0.0, 0.0, 0.3, 0.5, 0.74, 0.75, 1.0, 1.5, 7.0]


def quantized(config, x=X):
    quantizer = config.build()
    quantizer.build((len(x),))
    return keras.ops.convert_to_numpy(quantizer.quantize(np.asarray(x, "float32"))).tolist()


def test_binary_is_the_sign_and_that_of_zero_is_plus():
    assert quantized(Binary()) == [-1] * 4 + [1] * 9


def test_ternary_is_the_sign_from_half_on():
    assert quantized(Ternary()) == [-1, -1, -1, 0, 0, 0, 0, 1, 1, 1, 1, 1, 1]


def test_power_of_two_is_the_nearest_power_halfway_the_larger():
    q = quantized(PowerOfTwo(lowest=-1, highest=1))
    assert q == [-2.0, -1.0, -0.5, -0.5, 0.0, 0.0, 0.5, 0.5, 0.5, 1.0, 1.0, 2.0, 2.0]


def test_scales_and_thresholds():
    assert quantized(Binary(scale=0.25, threshold=0.5)) == [-0.25] * 7 + [0.25] * 6
    assert quantized(Ternary(scale=2.0)) == [-2.0] + [0.0] * 9 + [2.0] * 3
    assert quantized(Ternary(scale=0.5, threshold=0.75)) == [-0.5, -0.5] + [0.0] * 7 + [0.5] * 4


def test_a_threshold_is_compared_as_a_float32():
    config = Ternary(threshold=0.3)
    assert config.threshold == float(np.float32(0.3)) != 0.3
    assert Ternary.model_validate({"threshold": config.threshold}) == config
    assert quantized(config, [0.3, 0.29999998]) == [1.0, 0.0]


def test_powers_of_two_without_a_sign():
    q = quantized(PowerOfTwo(k=0, lowest=-1, highest=1))
    assert q == [0.0] * 6 + [0.5, 0.5, 0.5, 1.0, 1.0, 2.0, 2.0]
    quantizer = PowerOfTwo(k=0, lowest=-2, highest=0).build()
    quantizer.build((5,))
    assert keras.ops.convert_to_numpy(quantizer.bits()).tolist() == [2.0] * 5
    _, gradient = differentiate(quantizer.quantize, [-0.5, 0.0, 0.5, 1.0, 1.5])
    assert gradient.tolist() == [0.0, 1.0, 1.0, 1.0, 0.0]
    assert quantizer.grid(9).tolist() == [0.0, 0.25, 0.5, 1.0]


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (
            lambda: Binary(scale=0.75),
            "Binary: scale: must be a power of two from 2^-60 to 2^60. Received: 0.75 (float).",
        ),
        (lambda: Ternary(threshold=0), "Ternary: threshold: must be greater than 0. Received: 0 (int)."),
        (
            lambda: Ternary(threshold=1e-50),
            "Ternary: threshold: must be greater than 0 as a float32. Received: 1e-50 (float).",
        ),
    ],
)
def test_scales_that_are_refused(make, message):
    with pytest.raises(ConfigError) as error:
        make()
    assert str(error.value) == message


def test_none_changes_nothing():
    assert quantized(Identity()) == np.asarray(X, "float32").tolist()


@pytest.mark.parametrize("config", [Binary(), Ternary(), PowerOfTwo(), Identity()])
def test_nan_stays_nan_and_infinity_is_large(config):
    nan, *rest = quantized(config, [float("nan"), float("inf"), -float("inf")])
    assert np.isnan(nan)
    assert rest == ([np.inf, -np.inf] if config == Identity() else [1.0, -1.0])


@pytest.mark.parametrize(
    ("config", "bits"),
    [
        (Binary(), 1),
        (Ternary(), 2),
        (Identity(), 0),
        (PowerOfTwo(lowest=0, highest=0), 2),
        (PowerOfTwo(lowest=-2, highest=0), 3),
        (PowerOfTwo(lowest=-7, highest=0), 5),
    ],
)
def test_bits(config, bits):
    quantizer = config.build()
    quantizer.build((2, 3))
    assert keras.ops.convert_to_numpy(quantizer.bits()).tolist() == [[bits] * 3] * 2


@pytest.mark.parametrize(("config", "largest"), [(Binary(), 1.0), (Ternary(), 1.0), (PowerOfTwo(highest=3), 8.0)])
def test_the_gradient_passes_up_to_the_largest_value(config, largest):
    x = [-2 * largest, -largest, 0.1, largest, 1.01 * largest]
    quantizer = config.build()
    quantizer.build((5,))
    _, gradient = differentiate(quantizer.quantize, x, upstream=np.arange(1, 6, dtype="float32"))
    assert gradient.tolist() == [0.0, 2.0, 3.0, 4.0, 0.0]


def test_an_empty_range_of_exponents_is_refused():
    with pytest.raises(ConfigError, match=r"lowest must not exceed highest\. Received: lowest=1, highest=0"):
        PowerOfTwo(lowest=1, highest=0)


@pytest.mark.parametrize("kernel", [Binary(), Ternary(scale=0.25, threshold=0.2), PowerOfTwo()])
@pytest.mark.parametrize(
    "inputs",
    [Binary(scale=2.0, threshold=-0.5), PowerOfTwo(k=0), Ternary(), PowerOfTwo(lowest=-3, highest=2), KIF(i=3, f=2)],
)
def test_layers_of_them_are_exact_and_cost_their_bits(kernel, inputs):
    layers = [QDense(5, kernel_quantizer=kernel, input_quantizer=inputs, activation="relu"), QDense(3)]
    model = keras.Sequential([keras.Input((4,)), *layers])
    x = np.random.default_rng(0).normal(size=(500, 4)).astype("float32")
    calibrate(model, x)
    assert verify(model, x).mismatches == 0
    first = layers[0]
    input_bits, bias_bits = (keras.ops.convert_to_numpy(q.bits(first.bias)) for q in first.quantizers[::2])
    products = float(np.sum(np.broadcast_to(input_bits, 4))) * 5 * kernel.bits
    assert ebops(first) == products + float(np.sum(bias_bits))


def test_without_quantization_a_layer_is_its_keras_twin():
    none = Identity()
    layer = QDense(3, kernel_quantizer=none, bias_quantizer=none, input_quantizer=none, activation="relu")
    twin = keras.layers.Dense(3, activation="relu")
    x = np.random.default_rng(0).normal(size=(20, 4)).astype("float32")
    layer(x), twin(x)
    twin.set_weights([layer.kernel, layer.bias])
    np.testing.assert_array_equal(*(keras.ops.convert_to_numpy(each(x)) for each in (layer, twin)))
    assert ebops(layer) == 0
