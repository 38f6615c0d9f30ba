"""The layers that normalize: equal to Keras' own, folded and costed as docs/numerics.md#8 and #7 say."""

from __future__ import annotations

import keras
import numpy as np
import pytest
from arrays import numpy_of
from selection import one_in
from survival import require_survival

from hgq2_core import ConfigError, calibrate, ebops, freeze, load_model, verify
from hgq2_core.quantizers.phase import calibrating, fitting
from hgq2_core.schema.signature import parameters
from hgq2_fixed_point import KBI, KIF
from hgq2_layers import QBatchNormalization, QBatchNormDense, QDenseBatchNorm, QEinsumDenseBatchNorm

CLASSES = [QDenseBatchNorm, QBatchNormDense, QEinsumDenseBatchNorm, QBatchNormalization]
SATURATING = {"kind": "kif", "overflow_mode": "SAT_SYM"}


def values(*shape, seed=1):
    return np.random.default_rng(seed).normal(0.5, 1.5, size=shape).astype(np.float32)


def slots(cls):
    return [name for name in parameters(cls) if name.endswith("_quantizer")]


def plain(cls, *args, **kwargs):
    """Return a layer that quantizes nothing."""
    return cls(*args, **dict.fromkeys(slots(cls), "none"), ebops_beta=0, **kwargs)


def make(cls, **kwargs):
    """Return a layer of the class, for inputs of shape (4,) and more."""
    required = {QDenseBatchNorm: [5], QBatchNormDense: [5], QEinsumDenseBatchNorm: ["...a,ab->...b", 5, None, "b"]}
    return cls(*required.get(cls, []), **kwargs)


def fill(layer, seed=0):
    """Return weights and moving statistics uneven values."""
    rng = np.random.default_rng(seed)
    for variable in own_variables(layer):
        draws = rng.normal(size=tuple(variable.shape))
        variable.assign(0.5 + draws**2 if variable.name in ("moving_variance", "gamma") else draws)


def own_variables(layer):
    names = ("kernel", "bias", "gamma", "beta", "moving_mean", "moving_variance")
    return [variable for variable in layer.variables if variable.name in names]


# Equal to Keras' own layers.

Norm = keras.layers.BatchNormalization
OPTIONS = {"momentum": 0.8, "epsilon": 0.25}


def dense(options, shape):
    return plain(QDenseBatchNorm, 5, "relu", **options), [
        keras.layers.Dense(5, use_bias=False),
        Norm(**options),
        keras.layers.ReLU(),
    ]


def dense_of_normalized(options, shape):
    options = {name: option for name, option in options.items() if name != "center"}
    return plain(QBatchNormDense, 5, "relu", **options), [
        Norm(center=False, **options),
        keras.layers.Dense(5, "relu"),
    ]


def einsum(equation, output_shape, normalize_axes, axis):
    def layers(options, shape):
        layer = plain(QEinsumDenseBatchNorm, equation, output_shape, normalize_axes=normalize_axes, **options)
        return layer, [keras.layers.EinsumDense(equation, output_shape), Norm(axis=axis, **options)]

    return layers


def einsum_of_two_axes(options, shape):
    # Keras has no normalization of two axes: it normalizes them as one.
    return plain(QEinsumDenseBatchNorm, "abc,ced->abde", (None, 2, 5), normalize_axes="de", **options), [
        keras.layers.EinsumDense("abc,ced->abde", (None, 2, 5)),
        keras.layers.Reshape((-1, 10)),
        Norm(**options),
        keras.layers.Reshape((-1, 2, 5)),
    ]


def alone(axis):
    return lambda options, shape: (plain(QBatchNormalization, axis, **options), [Norm(axis=axis, **options)])


TWINS = [
    (dense, (4,)),
    (dense, (3, 4)),
    (dense_of_normalized, (4,)),
    (dense_of_normalized, (3, 4)),
    (einsum("...a,ab->...b", 5, "b", -1), (3, 4)),
    (einsum("ab...,bc->ac...", 5, "c", 1), (4, 3)),
    (einsum("abc,dc->adb", (5, None), "d", 1), (3, 4)),
    (einsum("abc,bcd->abd", (3, 5), "b", 1), (3, 4)),
    (einsum_of_two_axes, (3, 4)),
    (alone(-1), (4,)),
    (alone(1), (3, 4)),
    (alone(-2), (2, 3, 4)),
]
OPTIONS_OF = [OPTIONS, {"center": False}, {"scale": False, "momentum": 0.0}]


def pair(twins, shape, options, seed=3):
    """Return a model of the layer and one of Keras' layers, with the same weights."""
    layer, theirs = twins(options, shape)
    model, twin = (keras.Sequential([keras.Input(shape), *each]) for each in ([layer], theirs))
    fill(layer, seed)
    weights = {variable.name: numpy_of(variable) for variable in own_variables(layer)}
    for variable in twin.variables:
        if variable.name in weights:
            variable.assign(weights[variable.name].reshape(variable.shape))
    return model, twin


def assert_equal_weights(model, twin):
    theirs = {variable.name: numpy_of(variable) for variable in twin.variables}
    for variable in own_variables(model.layers[0]):
        wanted = theirs[variable.name].reshape(variable.shape)
        np.testing.assert_allclose(numpy_of(variable), wanted, rtol=2e-5, atol=2e-6, err_msg=variable.name)


@pytest.mark.parametrize("options", OPTIONS_OF, ids=str)
@pytest.mark.parametrize(("twins", "shape"), TWINS)
def test_without_quantizers_it_is_keras_own_layer(twins, shape, options):
    model, twin = pair(twins, shape, options)
    x = values(64, *shape)
    np.testing.assert_allclose(numpy_of(model(x)), numpy_of(twin(x)), rtol=1e-6, atol=4e-6)
    np.testing.assert_allclose(
        numpy_of(model(x, training=True)), numpy_of(twin(x, training=True)), rtol=1e-6, atol=4e-6
    )
    assert_equal_weights(model, twin)


@pytest.mark.parametrize("options", OPTIONS_OF, ids=str)
@pytest.mark.parametrize(("twins", "shape"), TWINS)
def test_without_quantizers_it_trains_as_keras_own_layer(twins, shape, options):
    model, twin = pair(twins, shape, options)
    x = values(64, *shape)
    y = values(64, *model.output_shape[1:], seed=2)
    start = [numpy_of(variable) for variable in own_variables(model.layers[0])]
    for each in (model, twin):
        each.compile(keras.optimizers.SGD(0.1), "mse")
        each.fit(x, y, batch_size=16, epochs=1, shuffle=False, verbose=0)
    assert_equal_weights(model, twin)
    # Gradients reach every weight through the statistics, and the statistics follow.
    for before, variable in zip(start, own_variables(model.layers[0]), strict=True):
        assert not np.array_equal(before, numpy_of(variable)), variable.name


def keras_masked(x, mask, layers, permute=None):
    *products, norm = layers
    for layer in products:
        x = layer(x)
    if permute:
        x = keras.ops.transpose(x, permute)
    outputs = norm(x, training=True, mask=mask)
    return keras.ops.transpose(outputs, np.argsort(permute).tolist()) if permute else outputs


@pytest.mark.parametrize(
    ("layer", "twin", "permute"),
    [
        (plain(QDenseBatchNorm, 5), [keras.layers.Dense(5, use_bias=False), Norm()], None),
        (
            plain(QEinsumDenseBatchNorm, "abc,cd->abd", (None, 5), None, "d"),
            [keras.layers.Dense(5, use_bias=False), Norm()],
            None,
        ),
        (
            plain(QEinsumDenseBatchNorm, "abc,cd->adb", (5, None), None, "d"),
            [keras.layers.EinsumDense("abc,cd->adb", (5, None)), Norm()],
            (0, 2, 1),
        ),
        (plain(QBatchNormalization), [Norm()], None),
        (plain(QBatchNormalization, axis=1), [Norm(axis=1)], None),
    ],
)
def test_masked_positions_have_no_part_in_the_statistics(layer, twin, permute):
    x, mask = values(16, 3, 4), np.random.default_rng(4).random((16, 3)) < 0.5
    model = keras.Sequential([keras.Input((3, 4)), layer])
    fill(layer)
    masked = x.copy()
    masked[~mask] = 1e3
    keras_masked(x, mask, twin, permute)
    names = {variable.name: variable for each in twin for variable in each.variables}
    for variable in own_variables(layer):
        names[variable.name].assign(numpy_of(variable).reshape(names[variable.name].shape))
    outputs = numpy_of(layer(masked, training=True, mask=mask))
    wanted = numpy_of(keras_masked(masked, mask, twin, permute))
    np.testing.assert_allclose(outputs, wanted, rtol=1e-4, atol=1e-5)
    for variable in own_variables(model.layers[0]):
        wanted = numpy_of(names[variable.name]).reshape(variable.shape)
        np.testing.assert_allclose(numpy_of(variable), wanted, rtol=1e-5, atol=1e-6)
    kept = numpy_of(layer(x, training=True, mask=mask))
    places = mask if permute is None else np.broadcast_to(mask[:, None], kept.shape)
    np.testing.assert_allclose(kept[places], outputs[places], rtol=1e-6, atol=1e-6)


def test_statistics_of_masked_inputs():
    x, mask = values(16, 3, 4), np.random.default_rng(4).random((16, 3)) < 0.5
    layer = plain(QBatchNormDense, 5, momentum=0.0)
    layer(x, training=True, mask=mask)
    np.testing.assert_allclose(numpy_of(layer.moving_mean), x[mask].mean(0), rtol=1e-5)
    np.testing.assert_allclose(numpy_of(layer.moving_variance), x[mask].var(0), rtol=1e-5)


def test_a_mask_comes_from_the_layers_in_front():
    x = values(16, 3, 4)
    x[:, 1:] = -1.0
    layer = plain(QDenseBatchNorm, 5, momentum=0.0)
    model = keras.Sequential([keras.Input((3, 4)), keras.layers.Masking(-1.0), layer])
    model(x, training=True)
    np.testing.assert_allclose(
        numpy_of(layer.moving_mean), (x[:, 0] @ numpy_of(layer.kernel)).mean(0), rtol=1e-4, atol=1e-6
    )


def test_a_mask_over_what_is_summed_is_refused():
    layer = QEinsumDenseBatchNorm("abc,bcd->ad", 5, "relu", "d", name="summed")
    with pytest.raises(ConfigError) as caught:
        layer(values(2, 3, 4), training=True, mask=np.ones((2, 3), bool))
    assert (
        "summed: the mask covers axes ['b'] of 'abc,bcd->ad', which the outputs do not have. "
        "Received: a mask of rank 2."
    ) in str(caught.value)


# Folding.


@pytest.mark.parametrize("cls", CLASSES)
@pytest.mark.parametrize("options", [OPTIONS, {"scale": False}], ids=str)
def test_what_is_folded(cls, options):
    layer = make(cls, **options)
    layer.build((None, 4))
    fill(layer)
    held = {variable.name: numpy_of(variable).astype(np.float64) for variable in own_variables(layer)}
    s = held.get("gamma", 1.0) / np.sqrt(held["moving_variance"] + layer.epsilon)
    mean = held["moving_mean"]
    if cls is QBatchNormalization:
        wanted = {"scale": s, "offset": held["beta"] - mean * s}
    elif cls is QBatchNormDense:
        wanted = {"kernel": s[:, None] * held["kernel"], "bias": held["bias"] - mean @ (s[:, None] * held["kernel"])}
    else:
        wanted = {"kernel": held["kernel"] * s, "bias": held["beta"] - mean * s}
    folded = layer.folded()
    assert set(folded) == set(wanted)
    for name, value in wanted.items():
        np.testing.assert_allclose(numpy_of(folded[name]), value, rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize("cls", CLASSES)
def test_outputs_are_those_of_the_quantized_constants(independent, cls):
    layer = make(cls, input_quantizer=SATURATING)
    layer.build((None, 4))
    fill(layer)
    x = independent.quantized(layer.input_quantizer, values(64, 4))
    constants = {
        name: independent.quantized(layer.slot_quantizer(name), numpy_of(value))
        for name, value in layer.folded().items()
    }
    first, second = constants.values()
    wanted = x * first + second if cls is QBatchNormalization else x @ first + second
    assert len(np.unique(wanted)) > 10
    assert np.array_equal(numpy_of(layer(values(64, 4))), wanted)


@pytest.mark.parametrize("cls", CLASSES)
def test_a_trained_model_predicts_the_same_frozen_saved_and_loaded(cls, tmp_path):
    keras.utils.set_random_seed(2)
    model = keras.Sequential([keras.Input((4,)), make(cls, momentum=0.5), make(cls, momentum=0.5)])
    model.compile(keras.optimizers.Adam(0.01), "mse")
    x = values(128, 4)
    bits = [numpy_of(v) for v in model.trainable_variables if getattr(v, "is_bit_width", False)]
    model.fit(x, values(128, *model.output_shape[1:]), epochs=3, batch_size=32, verbose=0)
    moved = [
        not np.array_equal(before, numpy_of(v))
        for before, v in zip(
            bits, [v for v in model.trainable_variables if getattr(v, "is_bit_width", False)], strict=True
        )
    ]
    assert all(moved)
    calibrate(model, x)
    assert verify(model, values(1000, 4, seed=5)).mismatches == 0
    model.save(tmp_path / "model.keras")
    frozen = freeze(model)
    frozen.save(tmp_path / "frozen.keras")
    wanted = model.predict(x, verbose=0)
    assert np.isfinite(wanted).all()
    for each in (frozen, load_model(tmp_path / "model.keras"), load_model(tmp_path / "frozen.keras")):
        assert np.array_equal(each.predict(x, verbose=0), wanted)
    held = {variable.name for variable in frozen.layers[0].variables}
    assert held.isdisjoint({"gamma", "beta", "moving_mean", "moving_variance"})


# Statistics.


def statistics(layer):
    return [numpy_of(layer.moving_mean), numpy_of(layer.moving_variance)]


@pytest.mark.parametrize("cls", CLASSES)
def test_moving_statistics_follow_once_a_call_in_training_only(cls):
    layer = make(cls, momentum=0.75)
    x = values(64, 4)
    layer(x)
    assert [np.unique(each).tolist() for each in statistics(layer)] == [[0.0], [1.0]]
    model = keras.Sequential([keras.Input((4,)), layer])
    calibrate(model, x)
    with calibrating():
        layer(x, training=True)
    with fitting():
        layer(x, training=True)
    assert [np.unique(each).tolist() for each in statistics(layer)] == [[0.0], [1.0]]
    layer(x, training=True)
    once = statistics(layer)[0]
    layer(x, training=True)
    np.testing.assert_allclose(statistics(layer)[0], once * 1.75, rtol=1e-5)


@pytest.mark.parametrize("cls", CLASSES)
def test_an_untrainable_layer_uses_its_moving_statistics(cls):
    layer = make(cls, trainable=False, input_quantizer=SATURATING)
    x = values(64, 4)
    outputs = numpy_of(layer(x))
    assert np.array_equal(numpy_of(layer(x, training=True)), outputs)
    assert [np.unique(each).tolist() for each in statistics(layer)] == [[0.0], [1.0]]


@pytest.mark.parametrize("cls", CLASSES)
def test_synchronized_statistics_are_for_tensorflow(cls):
    if keras.backend.backend() == "tensorflow":
        assert make(cls, synchronized=True).get_config()["synchronized"] is True
        return
    with pytest.raises(ConfigError) as caught:
        make(cls, synchronized=True, name="everywhere")
    assert str(caught.value) == (
        "everywhere: Keras synchronizes statistics on tensorflow only. "
        f"Received: synchronized=True on {keras.backend.backend()}."
    )


# The predecessor's faults.


@pytest.mark.parametrize("cls", CLASSES)
def test_fault_6_the_layer_has_its_own_epsilon(cls):
    layer = make(cls)
    layer.build((None, 4))
    layer.moving_variance.assign(np.full(layer.moving_variance.shape, 0.0))
    assert layer.epsilon == 1e-3
    np.testing.assert_allclose(numpy_of(layer.factors(layer.moving_variance)), 1 / np.sqrt(1e-3), rtol=1e-6)


@pytest.mark.parametrize("options", [{"momentum": 0.5}, {"scale": False}, {"center": False}], ids=str)
def test_fault_6_a_loaded_model_trains_on_as_the_saved_one(options, tmp_path):
    model = keras.Sequential(
        [
            keras.Input((3, 4)),
            QEinsumDenseBatchNorm("abc,cd->abd", (None, 5), "relu", normalize_axes="d", **options),
            QEinsumDenseBatchNorm("...a,ab->...b", 2, bias_axes="b", **options),
        ]
    )
    model.compile(keras.optimizers.SGD(0.01), "mse")
    x, y = values(32, 3, 4), values(32, 3, 2)
    model.train_on_batch(x, y)
    model.save(tmp_path / "model.keras")
    again = keras.saving.load_model(tmp_path / "model.keras")
    for each in (model, again):
        each.train_on_batch(x, y)
    for variable, other in zip(model.variables, again.variables, strict=True):
        assert np.array_equal(numpy_of(variable), numpy_of(other)), variable.path


def test_fault_7_the_offset_of_normalized_inputs_has_the_scale():
    layer = plain(QBatchNormDense, 1, epsilon=1.0)
    layer.build((None, 2))
    for name, value in {"kernel": [[2.0], [1.0]], "bias": [0.5], "gamma": [6.0, 4.0]}.items():
        getattr(layer, name).assign(np.array(value))
    layer.moving_mean.assign([5.0, 7.0])
    layer.moving_variance.assign([3.0, 15.0])
    # s = 6/2 and 4/4; at the mean only the bias is left.
    assert numpy_of(layer.folded()["bias"]).tolist() == [0.5 - (5 * 3 * 2 + 7 * 1 * 1)]
    assert numpy_of(layer(np.array([[5.0, 7.0]], np.float32))).tolist() == [[0.5]]


@pytest.mark.parametrize("cls", [QBatchNormalization, QDenseBatchNorm, QEinsumDenseBatchNorm])
def test_fault_7_without_center_nothing_is_added(cls):
    layer = make(cls, center=False)
    layer.build((None, 4))
    assert layer.beta is None
    name = "offset" if cls is QBatchNormalization else "bias"
    assert not numpy_of(layer.folded()[name]).any()
    assert not numpy_of(layer(np.zeros((1, 4), np.float32))).any()


# Cost.


@pytest.mark.parametrize("granularity", ["tensor", "channel", "element"])
@pytest.mark.parametrize("shape", [(4,), (3, 4)])
@pytest.mark.parametrize("cls", CLASSES)
def test_ebops(independent, cls, shape, granularity):
    names = {name: {"kind": "kbi", "granularity": granularity, "overflow_mode": "SAT"} for name in slots(cls)}
    layer = make(cls, **names, ebops_beta=1.0)
    layer.build((None, *shape))
    rng = np.random.default_rng(1)
    for quantizer in layer.quantizers:
        quantizer.b.assign(rng.integers(1, 8, size=tuple(quantizer.b.shape)))
    x_bits = independent.counted(layer.input_quantizer, shape)
    first, second = (
        independent.counted(layer.slot_quantizer(name), tuple(value.shape)) for name, value in layer.folded().items()
    )
    products = x_bits * first if cls is QBatchNormalization else x_bits @ first
    assert ebops(layer) == products.sum() + np.broadcast_to(second, products.shape).sum() > 0


@pytest.mark.parametrize("axis", [1, 2])
def test_ebops_along_another_axis(axis):
    layer = QBatchNormalization(
        axis, input_quantizer=KIF(i=1, f=2, overflow_mode="SAT_SYM"), offset_quantizer=KBI(b=5, overflow_mode="SAT_SYM")
    )
    layer.build((None, 2, 3, 4))
    channels = [2, 3][axis - 1]
    layer.scale_quantizer.b.assign(np.arange(1, channels + 1))
    each = 24 // channels
    assert ebops(layer) == each * 3 * sum(range(1, channels + 1)) + 24 * 5


# Arguments.

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
