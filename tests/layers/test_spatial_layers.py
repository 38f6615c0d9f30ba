"""What convolutions and pooling share: every argument survives, training moves the bits, frozen files predict."""

from __future__ import annotations

import keras
import numpy as np
import pytest
from arrays import numpy_of
from survival import require_survival

import hgq2_layers
from hgq2_core import calibrate, freeze
from hgq2_core.quantizers.bit_variables import is_bit_variable
from hgq2_core.schema.signature import parameters
from hgq2_fixed_point import KBI, KIF

ARGUMENTS = {
    "filters": 4,
    "kernel_size": (1, 2),
    "strides": (1, 2),
    "padding": "same",
    "output_padding": (0, 1),
    "data_format": "channels_first",
    "dilation_rate": (1, 2),
    "groups": 2,
    "depth_multiplier": 3,
    "pool_size": (1, 3),
    "keepdims": True,
    "activation": "relu",
    "use_bias": False,
    **{f"{name}_initializer": "he_normal" for name in ("kernel", "depthwise", "pointwise")},
    **{f"{name}_regularizer": "l2" for name in ("kernel", "depthwise", "pointwise", "bias", "activity")},
    **{f"{name}_constraint": "non_neg" for name in ("kernel", "depthwise", "pointwise", "bias")},
    "bias_initializer": "ones",
    "kernel_quantizer": KBI(b=3, round_mode="TRN_ZERO"),
    "accumulator_bits": 12,
    **{f"{name}_quantizer": KBI(b=3) for name in ("depthwise", "pointwise", "bias", "reciprocal")},
    **{f"{name}_quantizer": KIF(f=1, overflow_mode="SAT") for name in ("input", "intermediate", "output")},
    "parallelization_factor": 2,
    "ebops_factor": 0.5,
    "ebops_beta": 0.25,
    "enable_ebops": False,
    "name": "somewhere",
    "dtype": "float64",
    "trainable": False,
}
LAYERS = [
    "QConv2D",
    "QConv2DTranspose",
    "QDepthwiseConv2D",
    "QSeparableConv2D",
    "QMaxPooling2D",
    "QAveragePooling2D",
    "QGlobalMaxPooling2D",
    "QGlobalAveragePooling2D",
]
KERAS_OWN = {
    "QConv1D": "filters kernel_size strides padding data_format dilation_rate groups activation use_bias",
    "QConv3D": "filters kernel_size strides padding data_format dilation_rate groups activation use_bias",
    "QConv2DTranspose": (
        "filters kernel_size strides padding output_padding data_format dilation_rate activation use_bias"
    ),
    "QDepthwiseConv1D": ("kernel_size strides padding depth_multiplier data_format dilation_rate activation use_bias"),
    "QSeparableConv2D": (
        "filters kernel_size strides padding data_format dilation_rate depth_multiplier activation use_bias"
    ),
    "QAveragePooling3D": "pool_size strides padding data_format",
    "QMaxPooling1D": "pool_size strides padding data_format",
    "QGlobalMaxPooling2D": "data_format keepdims",
}


@pytest.mark.parametrize("name", KERAS_OWN)
def test_arguments_by_position_are_in_keras_order(name):
    found = [parameter.name for parameter in parameters(getattr(hgq2_layers, name)).values()]
    positional = KERAS_OWN[name].split()
    assert found[: len(positional)] == positional
    assert [
        each.name for each in parameters(getattr(hgq2_layers, name)).values() if not each.keyword_only
    ] == positional


@pytest.mark.parametrize("without", ["dilation_rate", "strides"], ids="without {}".format)
@pytest.mark.parametrize("name", LAYERS)
def test_every_argument_survives(name, without):
    cls = getattr(hgq2_layers, name)
    left_out = {without, "output_padding"} if without == "strides" else {without}
    arguments = {each: ARGUMENTS[each] for each in parameters(cls) if each not in left_out}
    required = {each: ARGUMENTS[each] for each, parameter in parameters(cls).items() if parameter.required}
    require_survival(cls(**arguments), cls(**required), *(arguments.keys() - required))


MODELS = [
    ("QConv1D", {"filters": 2, "kernel_size": 3, "padding": "causal"}, (5, 2)),
    ("QConv2D", {"filters": 4, "kernel_size": 2, "groups": 2}, (4, 4, 2)),
    ("QConv2DTranspose", {"filters": 2, "kernel_size": 3, "strides": 2}, (2, 2, 2)),
    ("QDepthwiseConv2D", {"kernel_size": 2, "depth_multiplier": 2}, (3, 3, 2)),
    ("QSeparableConv2D", {"filters": 3, "kernel_size": 2}, (3, 3, 2)),
    ("QMaxPooling2D", {}, (4, 4, 2)),
    ("QAveragePooling2D", {"pool_size": 3, "strides": 1, "reciprocal_quantizer": KBI(b=4, i=0)}, (4, 4, 2)),
]


@pytest.mark.parametrize(("name", "arguments", "shape"), MODELS, ids=[name for name, _, _ in MODELS])
def test_training_moves_everything_and_a_frozen_file_predicts_the_same(name, arguments, shape, tmp_path):
    keras.utils.set_random_seed(2)
    layer = getattr(hgq2_layers, name)(**arguments, ebops_beta=1e-3)
    model = keras.Sequential([keras.Input(shape), layer, keras.layers.Flatten(), hgq2_layers.QDense(1)])
    x = np.random.default_rng(1).normal(size=(64, *shape)).astype(np.float32) * 3
    before = {variable.path: numpy_of(variable).copy() for variable in layer.trainable_variables}
    model.compile(keras.optimizers.Adam(0.05), "mse")
    model.fit(x, x.reshape(64, -1)[:, :1], epochs=2, batch_size=16, verbose=0)
    still = [each.path for each in layer.trainable_variables if np.array_equal(numpy_of(each), before[each.path])]
    assert any(is_bit_variable(each) for each in layer.trainable_variables)
    assert still == []
    calibrate(model, x)
    frozen = freeze(model)
    wanted = model.predict(x, verbose=0)
    assert np.array_equal(frozen.predict(x, verbose=0), wanted)
    frozen.save(tmp_path / "frozen.keras")
    again = keras.saving.load_model(tmp_path / "frozen.keras")
    assert again.trainable_variables == []
    assert np.array_equal(again.predict(x, verbose=0), wanted)
