"""QDense: forward, cost, constructor; docs/numerics.md#7 and #9."""

from __future__ import annotations

import keras
import numpy as np
import pytest
from arrays import values
from survival import require_survival

from hgq2_core import ConfigError, defaults, ebops
from hgq2_core.quantizers.call import present_call
from hgq2_fixed_point import KBI, KIF
from hgq2_layers import QDense

GRANULARITIES = ["tensor", "channel", "element"]


def numbers(losses):
    return [float(keras.ops.convert_to_numpy(loss)) for loss in losses]


def loss(model):
    """What one call adds to the loss."""
    model(values(3, 4))
    return sum(numbers(model.losses))


@pytest.fixture
def no_bit_costs():
    """Leave only EBOPs in the loss."""
    weights, activations = KBI(b_regularizer=0.0), KIF(i_regularizer=0.0, f_regularizer=0.0)
    with defaults(weight=weights, bias=weights, activation=activations):
        yield


QUANTIZERS = [
    {},
    {"input_quantizer": KIF(overflow_mode="SAT"), "kernel_quantizer": KBI(overflow_mode="SAT")},
    {
        "input_quantizer": KBI(overflow_mode="SAT_ZERO"),
        "kernel_quantizer": KIF(overflow_mode="SAT_SYM", round_mode="TRN"),
    },
    {"output_quantizer": KIF(overflow_mode="SAT_SYM"), "bias_quantizer": KIF(overflow_mode="SAT")},
]


@pytest.mark.parametrize("activation", [None, "relu"])
@pytest.mark.parametrize("shape", [(4,), (3, 4), (2, 3, 4)])
@pytest.mark.parametrize("quantizers", QUANTIZERS)
def test_forward(independent, scatter, quantizers, shape, activation):
    layer = QDense(5, activation=activation, **quantizers)
    layer.build((None, *shape))
    scatter(layer)
    x = values(64, *shape)
    wanted = independent.quantized(layer.input_quantizer, x) @ independent.quantized(
        layer.kernel_quantizer, independent.numpy_of(layer.kernel)
    ) + independent.quantized(layer.bias_quantizer, independent.numpy_of(layer.bias))
    if activation == "relu":
        wanted = np.maximum(wanted, 0)
    if layer.output_quantizer is not None:
        wanted = independent.quantized(layer.output_quantizer, wanted)
    assert len(np.unique(wanted)) > 10
    assert np.array_equal(independent.numpy_of(layer(x)), wanted)


def test_forward_without_bias(independent, scatter):
    layer = QDense(5, use_bias=False)
    layer.build((None, 4))
    scatter(layer)
    x = values(64, 4)
    kernel = independent.quantized(layer.kernel_quantizer, independent.numpy_of(layer.kernel))
    assert layer.bias is None
    assert layer.bias_quantizer is None
    assert np.array_equal(independent.numpy_of(layer(x)), independent.quantized(layer.input_quantizer, x) @ kernel)


@pytest.mark.parametrize("granularity", GRANULARITIES)
@pytest.mark.parametrize("overflow_mode", ["SAT", "SAT_SYM", "WRAP"])
@pytest.mark.parametrize("shape", [(4,), (3, 4)])
def test_ebops(independent, scatter, granularity, overflow_mode, shape):
    layer = QDense(
        5,
        input_quantizer=KIF(granularity=granularity, overflow_mode=overflow_mode),
        kernel_quantizer=KBI(granularity=granularity, overflow_mode="SAT_SYM"),
        bias_quantizer=KBI(granularity=granularity, overflow_mode=overflow_mode),
    )
    layer.build((None, *shape))
    scatter(layer)
    x_bits = independent.counted(layer.input_quantizer, shape)
    k_bits = independent.counted(layer.kernel_quantizer, (4, 5))
    b_bits = independent.counted(layer.bias_quantizer, (5,))
    positions = 3 if len(shape) == 2 else 1
    wanted = (x_bits @ k_bits).sum() + b_bits.sum() * positions
    assert wanted > 0
    assert ebops(layer) == wanted


def test_ebops_by_hand():
    layer = QDense(
        2, kernel_quantizer=KBI(b=3), bias_quantizer=KBI(b=5), input_quantizer=KIF(i=1, f=3, overflow_mode="SAT")
    )
    layer.build((None, 4))
    assert ebops(layer) == 4 * 2 * (1 + 1 + 3) * 3 + 2 * 5


def test_an_axis_without_static_size_counts_once():
    layer = QDense(
        2, input_quantizer=KIF(i=1, f=3, overflow_mode="SAT_SYM", granularity="channel"), bias_quantizer=KBI(b=5)
    )
    layer.build((None, None, 3))
    assert ebops(layer) == 3 * 2 * 4 * 8 + 2 * 5


@pytest.mark.usefixtures("no_bit_costs")
def test_cost_is_in_the_loss_once():
    model = keras.Sequential([keras.Input((4,)), QDense(2, ebops_beta=0.5)])
    cost = ebops(model)
    assert cost > 0
    assert [loss(model) for _ in range(3)] == [0.5 * cost] * 3


@pytest.mark.usefixtures("no_bit_costs")
@pytest.mark.parametrize("order", ["base first", "subclass first"])
def test_a_subclass_counts_once(order):
    """docs/numerics.md#9.5: twice, depending on what was made first."""

    class MyDense(QDense):
        pass

    class MyOwnDense(MyDense):
        def call(self, inputs, training=None):
            return super().call(inputs, training)

    classes = [QDense, MyDense, MyOwnDense] if order == "base first" else [MyOwnDense, MyDense, QDense]
    expected = 4 * 2 * 10 * 8 + 2 * 8
    for cls in classes:
        quantizers = {"input_quantizer": KIF(i=3, f=6, overflow_mode="SAT")}
        model = keras.Sequential([keras.Input((4,)), cls(2, ebops_beta=1.0, **quantizers)])
        assert loss(model) == expected
        assert ebops(model) == expected


@pytest.mark.usefixtures("no_bit_costs")
def test_beta_zero_adds_nothing_but_counts():
    model = keras.Sequential([keras.Input((4,)), QDense(2, ebops_beta=0)])
    assert loss(model) == 0.0
    assert ebops(model) > 0


@pytest.mark.usefixtures("no_bit_costs")
def test_a_layer_that_does_not_count():
    model = keras.Sequential([keras.Input((4,)), QDense(2, ebops_beta=1.0, enable_ebops=False)])
    assert loss(model) == 0.0
    assert ebops(model) == 0.0


@pytest.mark.parametrize("counts", [True, False])
def test_bits_have_a_cost_of_their_own_beside_the_ebops(counts):
    layer = QDense(
        2,
        input_quantizer=KIF(i=1, f=3, overflow_mode="SAT", i_regularizer=0.5, f_regularizer=0.25),
        kernel_quantizer=KBI(b=3, i=1, b_regularizer=2.0, i_regularizer=4.0, granularity="channel"),
        bias_quantizer=KBI(b=5, b_regularizer=8.0),
        ebops_beta=0.5,
        enable_ebops=counts,
    )
    model = keras.Sequential([keras.Input((4,)), layer])
    bits = 0.5 * 4 * 1 + 0.25 * 4 * 3 + 2.0 * 2 * 3 + 4.0 * 2 * 1 + 8.0 * 2 * 5
    assert loss(model) == bits + (0.5 * (4 * 2 * 5 * 3 + 2 * 5) if counts else 0)


def test_untrainable_bits_cost_nothing():
    config = KBI(b_regularizer=2.0, trainable=False)
    layer = QDense(2, kernel_quantizer=config, use_bias=False, ebops_beta=0, input_quantizer=KIF(trainable=False))
    assert loss(keras.Sequential([keras.Input((4,)), layer])) == 0.0


def test_the_scope_sets_beta_and_counting():
    with defaults(ebops_beta=0.25, enable_ebops=False):
        layer, own = QDense(2), QDense(2, ebops_beta=0.5, enable_ebops=True)
    assert (numbers([layer.ebops_beta]), layer.enable_ebops) == ([0.25], False)
    assert (numbers([own.ebops_beta]), own.enable_ebops) == ([0.5], True)


@pytest.mark.usefixtures("no_bit_costs")
def test_a_layer_applied_twice_is_two_circuits():
    shared = QDense(4, ebops_beta=1.0, input_quantizer=KIF(overflow_mode="SAT"))
    inputs = keras.Input((4,))
    model = keras.Model(inputs, shared(shared(inputs)))
    once = ebops(shared)
    assert once > 0
    assert ebops(model) == 2 * once
    assert loss(model) == 2 * once


@pytest.mark.usefixtures("no_bit_costs")
def test_nested_models_count():
    """docs/numerics.md#9.10: the total was 0."""
    inner = keras.Sequential([keras.Input((4,)), QDense(4, ebops_beta=1.0), QDense(3, ebops_beta=1.0)])
    inputs = keras.Input((4,))
    middle = keras.Model(inputs, inner(inputs))
    model = keras.Sequential([keras.Input((4,)), middle, QDense(2, ebops_beta=1.0)])
    wanted = sum(ebops(layer) for layer in [*inner.layers, model.layers[-1]])
    assert ebops(model) == wanted
    assert ebops(inner) == sum(ebops(layer) for layer in inner.layers) > 0
    assert loss(model) == wanted


def test_layers_of_a_subclassed_model_count():
    class Own(keras.Model):
        def __init__(self):
            super().__init__()
            self.first, self.second = QDense(4), QDense(2)

        def call(self, x):
            return self.second(self.first(x))

    model = Own()
    model(values(3, 4))
    assert ebops(model) == ebops(model.first) + ebops(model.second) > 0


def test_training_mixes_with_plain_keras_layers():
    model = keras.Sequential(
        [keras.Input((4,)), QDense(8, activation="relu"), keras.layers.Dense(8, activation="tanh"), QDense(1)]
    )
    model.compile(keras.optimizers.Adam(0.01), "mse")
    x = values(256, 4)
    y = x[:, :1] - x[:, 1:2]
    before = [variable.numpy().copy() for variable in model.trainable_variables]
    losses = model.fit(x, y, epochs=4, batch_size=64, verbose=0).history["loss"]
    assert losses[-1] < losses[0]
    moved = [not np.array_equal(a, b.numpy()) for a, b in zip(before, model.trainable_variables, strict=True)]
    assert all(moved)


def test_untrainable_layer_trains_nothing_in_a_model_either():
    layer = QDense(2, trainable=False)
    model = keras.Sequential([keras.Input((4,)), layer])
    assert layer.trainable_variables == model.trainable_variables == []
    layer.trainable = True
    assert {variable.name for variable in model.trainable_variables} == {"kernel", "bias", "b", "i", "f"}


def test_the_loss_shrinks_bits():
    layer = QDense(2, ebops_beta=1.0, input_quantizer=KIF(overflow_mode="SAT_SYM"))
    model = keras.Sequential([keras.Input((4,)), layer])
    model.compile(keras.optimizers.SGD(0.01), "mse")
    x = values(64, 4)
    before = ebops(model)
    model.fit(x, np.zeros((64, 2)), epochs=20, verbose=0)
    assert ebops(model) < before


ARGUMENTS = {
    "units": 3,
    "activation": "relu",
    "use_bias": False,
    "kernel_initializer": "he_normal",
    "bias_initializer": "ones",
    "kernel_regularizer": "l2",
    "bias_regularizer": "l1",
    "kernel_constraint": "non_neg",
    "bias_constraint": "unit_norm",
    "kernel_quantizer": KBI(b=3, granularity="channel"),
    "bias_quantizer": KIF(f=2, overflow_mode="SAT"),
    "input_quantizer": KBI(b=5, overflow_mode="SAT_ZERO"),
    "output_quantizer": KIF(f=1, overflow_mode="SAT"),
    "accumulator_bits": 12,
    "parallelization_factor": 2,
    "ebops_factor": 0.5,
    "ebops_beta": 0.25,
    "enable_ebops": False,
    "name": "somewhere",
    "dtype": "float64",
    "trainable": False,
    "activity_regularizer": "l2",
}


def test_every_argument_is_tested():
    from hgq2_core.schema.signature import parameters

    assert set(ARGUMENTS) == set(parameters(QDense))


@pytest.mark.parametrize("argument", sorted(set(ARGUMENTS) - {"units"}))
def test_every_argument_survives(argument):
    fields = {"units": 3, "name": "default", argument: ARGUMENTS[argument]}
    if argument == "accumulator_bits":
        fields["kernel_quantizer"] = KIF(round_mode="TRN_ZERO", overflow_mode="SAT_SYM")
    layer = QDense(**fields)
    require_survival(layer, QDense(3, name="default"), argument)


def test_ebops_beta_survives_as_it_is_now():
    layer = QDense(3)
    layer.ebops_beta.assign(0.5)
    assert QDense.from_config(layer.get_config()).get_config()["ebops_beta"] == 0.5


def test_a_scope_is_not_needed_again():
    with defaults(weight=KBI(b=3), activation=KIF(f=1, overflow_mode="SAT")):
        layer = QDense(3)
    again = QDense.from_config(layer.get_config())
    assert again.kernel_quantizer.config == layer.kernel_quantizer.config
    assert (again.kernel_quantizer.config.b, again.input_quantizer.config.f) == (3, 1)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"units": "5"}, "units"),
        ({"units": -1}, "units"),
        ({"units": 0}, "units"),
        ({"units": 2.0}, "units"),
        ({"units": True}, "units"),
        ({"units": 5, "activation": "tanh"}, "activation.*relu"),
        ({"units": 5, "use_bias": 1}, "use_bias"),
        ({"units": 5, "kernal_quantizer": "kbi"}, "unknown field 'kernal_quantizer'.*Did you mean 'kernel_quantizer'"),
        ({"units": 5, "kernel_quantizer": "kbii"}, "kernel_quantizer.*Did you mean 'kbi'"),
        ({"units": 5, "kernel_quantizer": {"kind": "kbi", "bits": 4}}, "kernel_quantizer.*unknown field 'bits'"),
        ({"units": 5, "kernel_quantizer": {"b": 4}}, "kernel_quantizer.*`kind`"),
        ({"units": 5, "kernel_quantizer": 8}, "kernel_quantizer"),
        ({"units": 5, "kernel_initializer": "glorot"}, "kernel_initializer"),
        ({"units": 5, "dtype": "mixed_float16"}, "dtype.*mixed_float16"),
        ({"units": 5, "dtype": "bfloat16"}, "dtype"),
        ({"units": 5, "ebops_beta": -1.0}, "ebops_beta"),
        ({"units": 5, "ebops_beta": float("nan")}, "ebops_beta"),
        ({}, "units: is missing"),
    ],
)
def test_a_wrong_argument_is_refused_at_once(arguments, message):
    with pytest.raises(ConfigError, match=message) as caught:
        QDense(**arguments)
    assert str(caught.value).startswith("QDense")


def test_messages_name_the_layer():
    with pytest.raises(ConfigError, match=r"QDense 'logits'.*units"):
        QDense(-1, name="logits")


def test_the_last_axis_needs_a_static_size():
    with pytest.raises(ConfigError) as caught:
        QDense(3, name="logits").build((None, 4, None))
    for part in ("logits", "(None, 4, None)"):
        assert part in str(caught.value)


def test_an_unknown_size_with_bits_of_its_own_names_the_slot():
    with pytest.raises(ConfigError, match=r"logits\.input: axis 1"):
        QDense(3, name="logits").build((None, None, 4))


@pytest.mark.parametrize("features", [1, 3, 5])
@pytest.mark.parametrize("granularity", GRANULARITIES)
def test_inputs_of_another_size_are_refused(features, granularity):
    layer = QDense(3, input_quantizer=KIF(granularity=granularity))
    layer.build((None, 4))
    with pytest.raises(ValueError, match="incompatible"):
        layer(values(2, features))


def test_output_shape():
    assert QDense(3).compute_output_shape((None, 7, 4)) == (None, 7, 3)


def test_weights_of_a_saved_model_survive(tmp_path):
    model = keras.Sequential([keras.Input((4,)), QDense(3, activation="relu", name="a"), QDense(2, name="b")])
    model.compile(keras.optimizers.Adam(0.05), "mse")
    x = values(64, 4)
    model.fit(x, np.ones((64, 2)), epochs=2, verbose=0)
    model.save(tmp_path / "model.keras")
    again = keras.saving.load_model(tmp_path / "model.keras")
    for a, b in zip(model.variables, again.variables, strict=True):
        assert np.array_equal(a.numpy(), b.numpy())
    assert np.array_equal(model.predict(x, verbose=0), again.predict(x, verbose=0))
    assert ebops(again) == ebops(model)


def test_bits_prepared_in_a_call_do_not_outlive_it():
    layer = QDense(3)
    layer(np.zeros((2, 4), "float32"), training=True)
    layer.kernel_quantizer.b.assign(np.full((4, 3), 5.0))
    assert (keras.ops.convert_to_numpy(layer.kernel_quantizer.bits()) == 5.0).all()


def test_a_call_that_fails_leaves_no_prepared_bits():
    layer = QDense(3)
    layer.build((None, 4))
    with pytest.raises(ValueError, match="incompatible"):
        layer(np.zeros((2, 5), "float32"))
    assert layer.kernel_quantizer.cost_in_call is None
    assert present_call() is None
