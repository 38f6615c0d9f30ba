"""The layers that normalize: without quantizers they are Keras' own, also where a mask comes with the inputs."""

from __future__ import annotations

import keras
import numpy as np
import pytest
from arrays import numpy_of
from batch_norms import OPTIONS, Norm, fill, own_variables, plain, values

from hgq2_core import ConfigError
from hgq2_layers import QBatchNormalization, QBatchNormDense, QDenseBatchNorm, QEinsumDenseBatchNorm


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
