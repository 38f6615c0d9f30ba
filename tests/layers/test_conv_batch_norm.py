"""Convolutions with a normalization folded in: equal to Keras' two layers, and costed as docs/numerics.md says."""

from __future__ import annotations

import keras
import numpy as np
import pytest
from arrays import numpy_of
from selection import one_in

from hgq2_core.schema.signature import parameters
from hgq2_fixed_point import KBI
from hgq2_layers import (
    QConv1DBatchNorm,
    QConv1DTransposeBatchNorm,
    QConv2DBatchNorm,
    QConv2DTransposeBatchNorm,
    QConv3DBatchNorm,
    QConv3DTransposeBatchNorm,
    QDepthwiseConv1DBatchNorm,
    QDepthwiseConv2DBatchNorm,
)

layers = keras.layers
Case = tuple[type, type, dict, tuple]
CASES: list[Case] = [
    (
        QConv2DBatchNorm,
        layers.Conv2D,
        {"filters": 4, "kernel_size": 2, "data_format": "channels_first"},
        (2, 5, 4),
    ),
    (QConv2DBatchNorm, layers.Conv2D, {"filters": 3, "kernel_size": 3, "groups": 3}, (4, 4, 6)),
    (QConv1DBatchNorm, layers.Conv1D, {"filters": 3, "kernel_size": 2, "padding": "causal"}, (6, 2)),
    (QConv3DBatchNorm, layers.Conv3D, {"filters": 3, "kernel_size": 2}, (3, 3, 3, 2)),
    (
        QDepthwiseConv2DBatchNorm,
        layers.DepthwiseConv2D,
        {"kernel_size": 2, "depth_multiplier": 3, "data_format": "channels_first"},
        (2, 4, 4),
    ),
    (QDepthwiseConv1DBatchNorm, layers.DepthwiseConv1D, {"kernel_size": 3, "depth_multiplier": 2}, (6, 3)),
    (QConv1DTransposeBatchNorm, layers.Conv1DTranspose, {"filters": 3, "kernel_size": 3, "strides": 2}, (4, 2)),
    (
        QConv2DTransposeBatchNorm,
        layers.Conv2DTranspose,
        {"filters": 3, "kernel_size": 2, "data_format": "channels_first"},
        (2, 3, 3),
    ),
    (QConv3DTransposeBatchNorm, layers.Conv3DTranspose, {"filters": 2, "kernel_size": 2, "strides": 2}, (2, 1, 2, 2)),
]


def values(*shape, seed=1):
    return np.random.default_rng(seed).normal(0.5, 1.5, size=shape).astype(np.float32)


def fill(layer):
    """Return a layer's kernel, normalization and statistics uneven values."""
    rng = np.random.default_rng(3)
    for variable in layer.variables:
        if variable.name in ("kernel", "gamma", "beta", "moving_mean", "moving_variance"):
            draws = rng.normal(size=tuple(variable.shape))
            variable.assign(0.5 + draws**2 if variable.name in ("moving_variance", "gamma") else draws)


class Transposed(layers.Layer):
    """Channels moved."""

    def __init__(self, order, name):
        super().__init__(name=name)
        self.order = order

    def call(self, x):
        return keras.ops.transpose(x, self.order)


def pair(cls, twin, arguments, shape):
    """Return a layer that quantizes nothing, and layers of Keras with the same weights."""
    slots = {name: "none" for name in parameters(cls) if name.endswith("_quantizer")}
    layer = cls(**arguments, **slots, momentum=0.8, epsilon=0.25, ebops_beta=0, activation="relu", name="fused")
    layer.build((None, *shape))
    fill(layer)
    conv = twin(**{**arguments, "data_format": "channels_last"}, use_bias=False, name="conv")
    norm = layers.BatchNormalization(momentum=0.8, epsilon=0.25, name="norm")
    stack = [conv, norm]
    if layer.data_format == "channels_first":  # which tensorflow has on a GPU alone
        first, last = (0, -1, *range(1, len(shape))), (0, *range(2, len(shape) + 1), 1)
        stack = [Transposed(last, name="last"), conv, norm, Transposed(first, name="first")]
    keras.Sequential([keras.Input(shape), *stack], name="stack")
    for variable in (*conv.variables, *norm.variables):
        variable.assign(next(numpy_of(each) for each in layer.variables if each.name == variable.name))
    return layer, stack


def assert_equal_weights(layer, twin):
    theirs = {variable.name: numpy_of(variable) for variable in twin.variables}
    for variable in layer.variables:
        if variable.name in theirs:
            np.testing.assert_allclose(
                numpy_of(variable), theirs[variable.name], rtol=1e-4, atol=1e-5, err_msg=variable.name
            )


@pytest.mark.parametrize(("cls", "twin", "arguments", "shape"), [*one_in(5, CASES)])
def test_without_quantizers_it_is_a_convolution_and_a_normalization_of_keras(cls, twin, arguments, shape):
    layer, stack = pair(cls, twin, arguments, shape)
    model = keras.Sequential([*stack, layers.ReLU(name="relu")], name="model")
    x = values(16, *shape)
    for training in (False, True):
        wanted = model(x, training=training)
        np.testing.assert_allclose(numpy_of(layer(x, training=training)), numpy_of(wanted), rtol=1e-5, atol=1e-5)
    assert_equal_weights(layer, model)


@pytest.mark.parametrize(("cls", "twin", "arguments", "shape"), [*one_in(5, CASES)])
def test_without_quantizers_it_trains_as_the_layers_of_keras(cls, twin, arguments, shape):
    layer, stack = pair(cls, twin, arguments, shape)
    x = values(32, *shape)
    y = values(32, *layer.compute_output_shape((None, *shape))[1:], seed=2)
    model, twins = (
        keras.Sequential([keras.Input(shape), *each], name="model")
        for each in ([layer], [*stack, layers.ReLU(name="relu")])
    )
    for each in (model, twins):
        each.compile(keras.optimizers.SGD(0.1), "mse")
        each.fit(x, y, batch_size=16, epochs=1, shuffle=False, verbose=0)
    assert_equal_weights(layer, twins)


@pytest.mark.parametrize(
    ("cls", "arguments", "shape", "scaled"),
    [
        (QConv2DBatchNorm, {"filters": 3, "kernel_size": 2}, (3, 3, 2), lambda kernel, s: kernel * s),
        (
            QDepthwiseConv1DBatchNorm,
            {"kernel_size": 2, "depth_multiplier": 3},
            (4, 2),
            # The scale of pair (channel c, multiplier d) is number c * 3 + d.
            lambda kernel, s: np.stack([kernel[:, c] * s[3 * c : 3 * c + 3] for c in range(2)], axis=1),
        ),
        (QConv1DTransposeBatchNorm, {"filters": 3, "kernel_size": 2}, (4, 2), lambda kernel, s: kernel * s[:, None]),
    ],
)
def test_what_is_folded(cls, arguments, shape, scaled):
    layer = cls(**arguments, name="fused")
    layer.build((None, *shape))
    fill(layer)
    held = {variable.name: numpy_of(variable).astype(np.float64) for variable in layer.variables}
    s = held["gamma"] / np.sqrt(held["moving_variance"] + 1e-3)
    kernel, bias = (numpy_of(each) for each in layer.folded().values())
    np.testing.assert_allclose(kernel, scaled(held["kernel"], s), rtol=1e-5, atol=1e-6)
    np.testing.assert_allclose(bias, held["beta"] - held["moving_mean"] * s, rtol=1e-5, atol=1e-6)


@pytest.mark.once
def test_ebops_by_hand():
    layer = QConv2DBatchNorm(
        2,
        2,
        kernel_quantizer=KBI(b=3, granularity="channel"),
        bias_quantizer=KBI(b=5, granularity="tensor"),
        input_quantizer=KBI(b=4, granularity="tensor", overflow_mode="SAT_SYM"),
        name="fused",
    )
    layer.build((None, 3, 4, 2))
    # 2 x 3 positions, each of 2 filters of 2 x 2 taps and 2 channels; and a bias for each output.
    wanted = 2 * 3 * 2 * (2 * 2 * 2) * 3 * 4 + 2 * 3 * 2 * 5
    assert float(numpy_of(layer.ebops())) == wanted
    layer.parallelization_factor = 3
    assert float(numpy_of(layer.ebops())) == wanted / 2


@pytest.mark.once
@pytest.mark.filterwarnings("ignore:Layer 'conv':UserWarning", "ignore:fused. the mask:UserWarning")
def test_a_mask_has_no_part_in_the_statistics_as_in_keras():
    fused = QConv1DBatchNorm(2, 1, input_quantizer="none", momentum=0.0, name="fused")
    model = keras.Sequential([keras.Input((3, 2)), layers.Masking(-1.0, name="mask"), fused], name="model")
    x = values(8, 3, 2)
    x[:, 1:] = -1.0
    model(x, training=True)
    outputs = numpy_of(fused.product(keras.ops.where(x == -1.0, 0.0, x), fused.kernel))
    np.testing.assert_allclose(numpy_of(fused.moving_mean), outputs.mean((0, 1)), rtol=1e-5, atol=1e-6)
