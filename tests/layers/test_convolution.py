"""Convolutions: the same as Keras' without quantizers, cost by Keras' own convolution of the bits, constructors."""

from __future__ import annotations

import keras
import numpy as np
import pytest
from arrays import float64_of, values

import hgq2_layers
from hgq2_core import ConfigError, defaults, ebops
from hgq2_fixed_point import KBI, KIF

FIRST = {"data_format": "channels_first"}

CASES = [
    ("Conv1D", {"filters": 4, "kernel_size": 3}, (7, 2)),
    ("Conv1D", {"filters": 4, "kernel_size": 2, "strides": 2, "padding": "same"}, (7, 2)),
    ("Conv1D", {"filters": 4, "kernel_size": 3, "strides": 3, "padding": "causal"}, (8, 2)),
    ("Conv1D", {"filters": 4, "kernel_size": 3, "padding": "causal", "dilation_rate": 2, "groups": 2}, (7, 4)),
    ("Conv1D", {"filters": 4, "kernel_size": 3, "padding": "same", **FIRST}, (2, 7)),
    ("Conv2D", {"filters": 3, "kernel_size": 3, "use_bias": False}, (6, 5, 2)),
    ("Conv2D", {"filters": 3, "kernel_size": (2, 3), "strides": (3, 2), "padding": "same"}, (7, 6, 2)),
    ("Conv2D", {"filters": 3, "kernel_size": (3, 2), "dilation_rate": (1, 3), "padding": "same"}, (5, 6, 2)),
    ("Conv2D", {"filters": 6, "kernel_size": 2, "strides": 2, "groups": 3, "activation": "relu"}, (6, 5, 6)),
    ("Conv2D", {"filters": 4, "kernel_size": 2, "strides": (2, 1), "padding": "same", "groups": 2, **FIRST}, (4, 5, 6)),
    ("Conv3D", {"filters": 2, "kernel_size": (2, 1, 3), "strides": (1, 2, 1)}, (4, 3, 5, 2)),
    ("Conv3D", {"filters": 2, "kernel_size": 2, "strides": 2, "padding": "same", **FIRST}, (2, 4, 3, 4)),
    ("Conv1DTranspose", {"filters": 3, "kernel_size": 3, "strides": 2}, (4, 2)),
    ("Conv1DTranspose", {"filters": 3, "kernel_size": 2, "strides": 3, "padding": "same"}, (4, 2)),
    ("Conv1DTranspose", {"filters": 3, "kernel_size": 3, "dilation_rate": 2, "padding": "same", **FIRST}, (2, 5)),
    ("Conv2DTranspose", {"filters": 3, "kernel_size": (4, 3), "strides": 2, "padding": "same"}, (3, 4, 2)),
    ("Conv2DTranspose", {"filters": 3, "kernel_size": (2, 3), "strides": (3, 2), "output_padding": (1, 0)}, (3, 2, 2)),
    (
        "Conv2DTranspose",
        {"filters": 2, "kernel_size": 3, "strides": 2, "padding": "same", "output_padding": 1},
        (3, 4, 2),
    ),
    (
        "Conv3DTranspose",
        {"filters": 2, "kernel_size": (2, 1, 3), "strides": (1, 1, 2), "padding": "same"},
        (2, 2, 2, 2),
    ),
    ("DepthwiseConv1D", {"kernel_size": 3, "depth_multiplier": 2, "strides": 2, "padding": "same"}, (7, 3)),
    ("DepthwiseConv2D", {"kernel_size": 3, "dilation_rate": 2, "padding": "same"}, (5, 6, 3)),
    ("DepthwiseConv2D", {"kernel_size": (2, 3), "depth_multiplier": 2, "strides": 2, **FIRST}, (3, 5, 6)),
    ("SeparableConv1D", {"filters": 3, "kernel_size": 3, "depth_multiplier": 2, "padding": "same"}, (6, 2)),
    ("SeparableConv2D", {"filters": 3, "kernel_size": 2, "strides": 2, "padding": "same"}, (5, 6, 2)),
    ("SeparableConv2D", {"filters": 3, "kernel_size": (2, 3), "use_bias": False, **FIRST}, (2, 5, 6)),
]
EACH = pytest.mark.parametrize(("name", "arguments", "shape"), CASES, ids=str)
"""Every kind of convolution; names without the Q are Keras'."""


def ours(name, arguments, shape):
    layer = getattr(hgq2_layers, f"Q{name}")(**arguments)
    layer.build((None, *shape))
    return layer


def twin_of(name, arguments, shape):
    """Keras' own layer, which on the CPU computes the channels last alone."""
    layer = getattr(keras.layers, name)(**{**arguments, "data_format": "channels_last"})
    layer.build((None, *(np.roll(shape, -1) if arguments.get("data_format") else shape)))
    return layer


def twin_output(twin, arguments, x):
    dilated = arguments.get("dilation_rate", 1) != 1
    if keras.backend.backend() == "tensorflow" and dilated and type(twin).__name__.endswith("Transpose"):
        pytest.skip("tensorflow has transposed convolutions with a dilation on some processors only")
    if not arguments.get("data_format"):
        return float64_of(twin(x))
    return np.moveaxis(float64_of(twin(np.moveaxis(x, 1, -1))), -1, 1)


@EACH
def test_without_quantizers_it_is_keras_own(name, arguments, shape):
    with defaults(weight="none", bias="none", activation="none"):
        layer = ours(name, arguments, shape)
    twin = twin_of(name, arguments, shape)
    weights = [values(*weight.shape, seed=seed) for seed, weight in enumerate(twin.get_weights())]
    twin.set_weights(weights)
    for variable, weight in zip(layer.folded().values(), weights, strict=True):
        variable.assign(weight)
    x = values(4, *shape)
    wanted = twin_output(twin, arguments, x)
    assert np.abs(wanted).max() > 1
    np.testing.assert_allclose(float64_of(layer(x)), wanted, rtol=1e-6, atol=1e-5)
    assert layer.compute_output_shape((None, *shape)) == (None, *wanted.shape[1:])


def scattered_over(granularity):
    """Quantizers that share their bits so."""
    return defaults(
        weight=KBI(granularity=granularity, overflow_mode="SAT_SYM"),
        bias=KBI(granularity=granularity, overflow_mode="SAT_SYM"),
        activation=KIF(granularity=granularity, overflow_mode="SAT"),
    )


GRANULARITIES = pytest.mark.parametrize("granularity", ["tensor", "channel", "element"])


@GRANULARITIES
@pytest.mark.parametrize(
    ("name", "arguments", "shape"), [case for case in CASES if not case[0].startswith("Separable")], ids=str
)
def test_the_cost_is_keras_own_convolution_of_the_bits(name, arguments, shape, granularity, independent, scatter_bits):
    if "Transpose" in name and arguments.get("padding") == "same" and keras.__version__.startswith("3.14."):
        pytest.skip("Keras before 3.15 places this convolution otherwise on torch, as it warns")
    with scattered_over(granularity):
        layer = ours(name, {**arguments, "activation": None}, shape)
    scatter_bits(layer)
    twin = twin_of(name, {**arguments, "activation": None}, shape)
    twin.set_weights(
        [
            independent.counted(layer.slot_quantizer(slot), tuple(variable.shape))
            for slot, variable in layer.folded().items()
        ]
    )
    bits = independent.counted(layer.input_quantizer, shape).astype(np.float32)
    wanted = twin_output(twin, arguments, bits[np.newaxis]).sum()
    assert wanted > 0
    assert ebops(layer) == pytest.approx(wanted, rel=1e-6)


@GRANULARITIES
def test_the_cost_of_a_separable_convolution_is_that_of_its_two_products(granularity, independent, scatter_bits):
    arguments = {"kernel_size": (2, 3), "strides": 2, "padding": "same"}
    with scattered_over(granularity):
        layer = ours("SeparableConv2D", {"filters": 3, **arguments}, (5, 6, 2))
    scatter_bits(layer, seed=7)
    counted = {
        slot: independent.counted(layer.slot_quantizer(slot), shape)
        for slot, shape in {
            "input": (5, 6, 2),
            "depthwise": (2, 3, 2, 1),
            "intermediate": (3, 3, 2),
            "pointwise": (1, 1, 2, 3),
            "bias": (3,),
        }.items()
    }
    twin = keras.layers.DepthwiseConv2D(**arguments, use_bias=False)
    twin.build((None, 5, 6, 2))
    twin.set_weights([counted["depthwise"]])
    first = float64_of(twin(counted["input"][np.newaxis].astype(np.float32))).sum()
    second = (counted["intermediate"] @ counted["pointwise"][0, 0]).sum()
    assert min(first, second) > 0
    assert ebops(layer) == first + second + 9 * counted["bias"].sum()


def test_the_bias_is_counted_at_output_positions():
    """docs/numerics.md#9.12: at input positions."""
    counts = {"input_quantizer": "none", "kernel_quantizer": KBI(b=3), "bias_quantizer": KBI(b=5)}
    layer = hgq2_layers.QConv2D(4, 3, strides=2, **counts)
    layer.build((None, 9, 7, 2))
    assert ebops(layer) == 4 * 3 * 4 * 5


def test_channels_have_bits_of_their_own():
    channel = {"granularity": "channel", "overflow_mode": "SAT"}
    with defaults(weight=KBI(**channel), bias=KBI(**channel), activation=KIF(**channel)):
        first = ours("Conv2D", {"filters": 3, "kernel_size": 2, **FIRST, "output_quantizer": "kif"}, (2, 5, 5))
        last = ours("Conv2D", {"filters": 3, "kernel_size": 2, "output_quantizer": "kif"}, (5, 5, 2))
    shapes = {name: first.slot_quantizer(name).variables[0].shape for name in ("input", "kernel", "bias", "output")}
    assert shapes == {"input": (1, 2, 1, 1), "kernel": (1, 1, 1, 3), "bias": (3,), "output": (1, 3, 1, 1)}
    assert last.input_quantizer.variables[0].shape == (1, 1, 1, 2)
    assert last.output_quantizer.variables[0].shape == (1, 1, 1, 3)


def test_the_parallelization_factor_scales_the_cost():
    arguments = {"filters": 3, "kernel_size": 2, "input_quantizer": KIF(overflow_mode="SAT")}
    whole = ours("Conv2D", arguments, (5, 6, 2))
    part = ours("Conv2D", {**arguments, "parallelization_factor": 4}, (5, 6, 2))
    assert ebops(part) == ebops(whole) * 4 / 20


def test_an_axis_without_static_size_counts_one_window():
    shared = KIF(i=1, f=3, overflow_mode="SAT_SYM", granularity="channel")
    layer = hgq2_layers.QConv2D(
        5, (3, 2), padding="same", input_quantizer=shared, kernel_quantizer=KBI(b=4), bias_quantizer=KBI(b=7)
    )
    layer.build((None, None, 4, 2))
    assert layer.compute_output_shape((None, None, 4, 2)) == (None, None, 4, 5)
    windows = 2 * 4 - 1
    assert ebops(layer) == 3 * windows * 2 * 5 * 4 * 4 + 4 * 5 * 7
    assert layer(values(2, 6, 4, 2)).shape == (2, 6, 4, 5)


@pytest.mark.parametrize(
    ("name", "arguments", "message"),
    [
        ("Conv2D", {"filters": 4}, "QConv2D: kernel_size: is missing."),
        (
            "Conv2D",
            {"filters": 4, "kernel_size": (3, 3, 3)},
            "kernel_size must be a number, or 2 of them. Received: kernel_size=[3, 3, 3]",
        ),
        (
            "Conv2D",
            {"filters": 4, "kernel_size": 3, "padding": "causal"},
            "padding='causal' is for one dimension. Received: padding='causal'",
        ),
        (
            "Conv1D",
            {"filters": 4, "kernel_size": 3, "groups": 3},
            "groups must divide filters. Received: groups=3, filters=4",
        ),
        (
            "Conv1D",
            {"filters": 4, "kernel_size": 3, "strides": 2, "dilation_rate": 2},
            "strides or dilation_rate must be 1. Received: strides=[2], dilation_rate=[2]",
        ),
        (
            "Conv1D",
            {"filters": 4, "kernel_size": 3, "padding": "sane"},
            "QConv1D: padding: not allowed. Received: 'sane' (str). Allowed: 'valid', 'same', 'causal'. "
            "Did you mean 'same'?",
        ),
    ],
)
def test_wrong_arguments_are_refused(name, arguments, message):
    with pytest.raises(ConfigError) as caught:
        getattr(hgq2_layers, f"Q{name}")(**arguments)
    assert str(caught.value) == message


@pytest.mark.parametrize(
    ("arguments", "shape", "message"),
    [
        (
            {},
            (8, 8),
            "seen: the input has a batch axis, 2 spatial axes, and channels of a static size (channels_last). "
            "Received: (None, 8, 8).",
        ),
        (
            FIRST,
            (None, 8, 8),
            "seen: the input has a batch axis, 2 spatial axes, and channels of a static size (channels_first). "
            "Received: (None, None, 8, 8).",
        ),
        (
            {},
            (2, 8, 3),
            "seen: no window fits into the input. Received: (None, 2, 8, 3) for kernel_size=[3, 3] and "
            "dilation_rate=[1, 1].",
        ),
        ({"groups": 2}, (8, 8, 3), "seen: groups must divide the input's channels. Received: groups=2 for 3 channels."),
        (
            {"parallelization_factor": 37},
            (8, 8, 3),
            "seen: parallelization_factor is at most the number of output positions. "
            "Received: parallelization_factor=37. Allowed: 1 to 36.",
        ),
    ],
)
def test_inputs_that_do_not_fit_are_refused(arguments, shape, message):
    layer = hgq2_layers.QConv2D(4, 3, name="seen", **arguments)
    with pytest.raises(ConfigError) as caught:
        layer.build((None, *shape))
    assert str(caught.value) == message
