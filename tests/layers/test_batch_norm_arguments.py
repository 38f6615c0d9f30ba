"""The layers that normalize: every argument survives and is used, a wrong one is refused."""

from __future__ import annotations

import keras
import numpy as np
import pytest
from arrays import numpy_of
from batch_norms import CLASSES, Norm, fill, make, plain, statistics, values
from selection import one_in
from survival import require_survival

from hgq2_core import ConfigError
from hgq2_core.schema.signature import parameters
from hgq2_fixed_point import KBI, KIF
from hgq2_layers import QBatchNormalization, QBatchNormDense, QDenseBatchNorm, QEinsumDenseBatchNorm

KERNEL = {
    "accumulator_bits": 12,
    "parallelization_factor": 1,
    "ebops_factor": 0.5,
    "activation": "relu",
    "kernel_initializer": "he_normal",
    "kernel_regularizer": "l2",
    "kernel_constraint": "non_neg",
    "kernel_quantizer": KBI(b=3, granularity="channel"),
    "bias_quantizer": KIF(f=2, overflow_mode="SAT"),
}
BIAS = {"bias_initializer": "ones", "bias_regularizer": "l1", "bias_constraint": "unit_norm", "use_bias": False}
OFFSET = {"center": False, "beta_initializer": "ones", "beta_regularizer": "l1", "beta_constraint": "non_neg"}
COMMON = {
    "momentum": 0.5,
    "epsilon": 0.01,
    "scale": False,
    "gamma_initializer": "he_normal",
    "gamma_regularizer": "l2",
    "gamma_constraint": "non_neg",
    "moving_mean_initializer": "ones",
    "moving_variance_initializer": "zeros",
    "input_quantizer": KBI(b=5, overflow_mode="SAT_ZERO"),
    "output_quantizer": KIF(f=1, overflow_mode="SAT"),
    "ebops_beta": 0.25,
    "enable_ebops": False,
    "name": "somewhere",
    "dtype": "float64",
    "trainable": False,
    "activity_regularizer": "l2",
}
ARGUMENTS = {
    QDenseBatchNorm: {"units": 3, **KERNEL, **OFFSET, **COMMON},
    QBatchNormDense: {"units": 3, **KERNEL, **BIAS, **COMMON},
    QEinsumDenseBatchNorm: {
        "equation": "...b,bc->...c",
        "output_shape": (6,),
        "bias_axes": "c",
        "normalize_axes": "c",
        **KERNEL,
        **OFFSET,
        **COMMON,
    },
    QBatchNormalization: {
        "axis": 1,
        "scale_quantizer": KBI(b=3),
        "offset_quantizer": KIF(f=2, overflow_mode="SAT"),
        **OFFSET,
        **COMMON,
    },
}
REQUIRED = {
    QDenseBatchNorm: {"units": 5},
    QBatchNormDense: {"units": 5},
    QEinsumDenseBatchNorm: {"equation": "ac,cb->ab", "output_shape": 5, "bias_axes": "b"},
    QBatchNormalization: {},
}
NOT_HERE = {"synchronized"}
"""Refused but on tensorflow, where it is tested above."""


@pytest.mark.parametrize("cls", CLASSES)
def test_every_argument_is_tested(cls):
    assert set(ARGUMENTS[cls]) | NOT_HERE == set(parameters(cls))


@pytest.mark.parametrize(
    ("cls", "argument"), list(one_in(4, [(cls, argument) for cls in CLASSES for argument in ARGUMENTS[cls]]))
)
def test_every_argument_survives(cls, argument):
    required = {"name": "default", **REQUIRED[cls]}
    changed = {**required, argument: ARGUMENTS[cls][argument]}
    if argument == "accumulator_bits":
        changed["kernel_quantizer"] = KIF(round_mode="TRN_ZERO", overflow_mode="SAT_SYM")
    elif argument == "equation":
        changed["bias_axes"] = "c"
    elif argument == "bias_axes":
        changed["equation"] = "ab,bc->ac"
    elif argument == "normalize_axes":
        changed = {**changed, "equation": "ab,bc->ac", "bias_axes": None}
    require_survival(cls(**changed), cls(**required), argument)


@pytest.mark.parametrize("cls", CLASSES)
def test_initializers_regularizers_and_constraints_are_used(cls):
    layer = make(
        cls,
        gamma_initializer=keras.initializers.Constant(-2.0),
        gamma_regularizer=keras.regularizers.L1(0.5),
        gamma_constraint="non_neg",
        moving_mean_initializer="ones",
        moving_variance_initializer="zeros",
    )
    layer.build((None, 4))
    assert [np.unique(numpy_of(each)).tolist() for each in (layer.gamma, *statistics(layer))] == [[-2.0], [1.0], [0.0]]
    size = layer.gamma.shape[0]
    regularization = numpy_of(layer.gamma.regularizer(layer.gamma))
    assert regularization == 0.5 * 2.0 * size
    assert not numpy_of(layer.gamma.constraint(layer.gamma.value)).any()


@pytest.mark.parametrize(
    ("cls", "arguments", "message"),
    [
        (
            QEinsumDenseBatchNorm,
            {"equation": "ab,bc->ac", "output_shape": 5},
            "here: normalize_axes or bias_axes must name axes of both kernel and output of 'ab,bc->ac'. "
            "Received: normalize_axes=None, bias_axes=None.",
        ),
        (
            QEinsumDenseBatchNorm,
            {"equation": "abc,cd->abd", "output_shape": (3, 5), "normalize_axes": "bd"},
            "here: normalize_axes ['b'] are not axes of both kernel and output of 'abc,cd->abd'. "
            "Received: normalize_axes='bd', bias_axes=None.",
        ),
        (
            QEinsumDenseBatchNorm,
            {
                "equation": "abc,cd->abd",
                "output_shape": (3, 5),
                "normalize_axes": "d",
                "bias_axes": "bd",
                "center": False,
            },
            "here: bias_axes are those of beta, which center=False leaves out. "
            "Received: bias_axes='bd', normalize_axes='d'.",
        ),
        (QBatchNormalization, {"momentum": 1.5}, None),
        (QBatchNormalization, {"epsilon": 0.0}, None),
        (QBatchNormalization, {"renorm": True}, None),
        (QDenseBatchNorm, {"units": 2, "use_bias": True}, None),
        (QDenseBatchNorm, {"units": 2, "bias_initializer": "ones"}, None),
        (QBatchNormDense, {"units": 2, "center": True}, None),
        (QDenseBatchNorm, {"units": 2, "activation": "tanh"}, None),
    ],
)
def test_a_wrong_argument_is_refused_at_once(cls, arguments, message):
    with pytest.raises(ConfigError) as caught:
        cls(name="here", **arguments)
    if message is None:
        assert next(reversed(arguments)) in str(caught.value)
        assert "here" in str(caught.value)
    else:
        assert str(caught.value) == message


@pytest.mark.parametrize(
    ("axis", "shape"), [(0, (None, 4)), (-2, (None, 4)), (2, (None, 4)), (1, (None, None, 4)), (-4, (None, 3, 4))]
)
def test_an_axis_that_cannot_be_normalized_is_named(axis, shape):
    with pytest.raises(ConfigError) as caught:
        QBatchNormalization(axis, name="here").build(shape)
    assert str(caught.value) == (
        "here: `axis` must name an axis of the input besides the batch, of static size. "
        f"Received: axis={axis} for shape {shape}."
    )


def test_beta_can_have_more_axes_than_the_statistics():
    layer = plain(QEinsumDenseBatchNorm, "abc,cd->abd", (3, 5), bias_axes="bd", normalize_axes="d")
    x = values(16, 3, 4)
    layer(x)
    fill(layer)
    assert (tuple(layer.beta.shape), tuple(layer.gamma.shape)) == ((3, 5), (5,))
    norm = Norm(center=False)
    norm.build((None, 3, 5))
    for name in ("gamma", "moving_mean", "moving_variance"):
        getattr(norm, name).assign(getattr(layer, name))
    wanted = numpy_of(norm(x @ numpy_of(layer.kernel))) + numpy_of(layer.beta)
    np.testing.assert_allclose(numpy_of(layer(x)), wanted, rtol=1e-5, atol=4e-6)
