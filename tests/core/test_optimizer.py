"""BitOptimizer: two copies of one optimizer, the second for the bits with a scaled learning rate."""

from __future__ import annotations

import keras
import numpy as np
import pytest
from arrays import numpy_of

from hgq2_core import ConfigError
from hgq2_core.optimizer import BitOptimizer
from hgq2_core.quantizers.bit_variables import is_bit_variable
from hgq2_fixed_point import KIF
from hgq2_layers import QDense


def make():
    keras.utils.set_random_seed(3)
    config = KIF(overflow_mode="SAT")
    return keras.Sequential(
        [
            keras.Input((4,)),
            QDense(6, "relu", input_quantizer=config, ebops_beta=1e-4),
            keras.layers.Dense(3),
            QDense(1, input_quantizer=config, ebops_beta=1e-4),
        ]
    )


def data(count=64):
    x = np.random.default_rng(0).normal(size=(count, 4)).astype(np.float32)
    return x, x[:, :1] - x[:, 1:2]


def trained(optimizer, steps=1, model=None, callbacks=()):
    model = model or make()
    model.compile(optimizer, "mse")
    x, y = data()
    model.fit(x, y, batch_size=64, epochs=steps, shuffle=False, verbose=0, callbacks=list(callbacks))
    return model


def moves(model):
    """How far each variable went from its first value: bits, then weights."""
    pairs = list(zip(make().trainable_variables, model.trainable_variables, strict=True))
    bits = [numpy_of(b) - numpy_of(a) for a, b in pairs if is_bit_variable(b)]
    return bits, [numpy_of(b) - numpy_of(a) for a, b in pairs if not is_bit_variable(b)]


def test_there_are_bits_and_weights():
    bits, weights = moves(make())
    assert (len(bits), len(weights)) == (2 * 5, 2 * 3)


@pytest.mark.parametrize("scale", [0.5, 4.0, 8.0])
def test_one_adam_step_moves_bits_by_the_scale_and_weights_as_ever(scale):
    # Powers of two: the step itself scales exactly, and each sum with bits in [8, 16) rounds by at most 2^-21.
    plain = trained(keras.optimizers.Adam(2.0**-7))
    ours = trained(BitOptimizer(keras.optimizers.Adam(2.0**-7), bit_learning_rate_scale=scale))
    for a, b in zip(moves(plain)[1], moves(ours)[1], strict=True):
        assert np.array_equal(a, b)
    moved = 0
    for a, b in zip(moves(plain)[0], moves(ours)[0], strict=True):
        assert np.abs(b - scale * a).max() <= (scale + 1) * 2.0**-21
        moved += int((np.abs(a) > 0).sum())
    assert moved > 30


@pytest.mark.parametrize("name", ["adam", "sgd", "rmsprop", "nadam"])
def test_scale_one_is_the_optimizer_itself(name):
    plain, ours = trained(keras.optimizers.get(name), 5), trained(BitOptimizer(name, 1.0), 5)
    for a, b in zip(plain.trainable_variables, ours.trainable_variables, strict=True):
        assert np.array_equal(numpy_of(a), numpy_of(b))


def test_weights_alone_and_bits_alone():
    for freeze_bits in (True, False):
        model = make()
        chosen = [v for v in model.trainable_variables if is_bit_variable(v) is not freeze_bits]
        optimizer = BitOptimizer("adam", 4.0)
        before = [numpy_of(variable) for variable in chosen]
        optimizer.apply([keras.ops.ones_like(variable.value) for variable in chosen], chosen)
        assert all((numpy_of(b) < a).all() for a, b in zip(before, chosen, strict=True))


def test_variables_without_gradient_stay():
    model = make()
    variables = model.trainable_variables
    optimizer = BitOptimizer("sgd")
    optimizer.build(variables)
    before = [numpy_of(variable) for variable in variables]
    with pytest.warns(UserWarning, match="Gradients do not exist"):
        optimizer.apply([keras.ops.ones_like(variables[0].value), *[None] * (len(variables) - 1)], variables)
    changed = [not np.array_equal(a, numpy_of(b)) for a, b in zip(before, variables, strict=True)]
    assert changed == [True] + [False] * (len(variables) - 1)


@pytest.mark.parametrize("scale", [0, -1.0, float("nan")])
def test_the_scale_is_positive(scale):
    with pytest.raises(ConfigError, match="bit_learning_rate_scale must be positive"):
        BitOptimizer("adam", scale)


@pytest.mark.parametrize(
    "rate", [0.01, keras.optimizers.schedules.ExponentialDecay(0.02, 2, 0.5)], ids=["number", "schedule"]
)
def test_training_goes_on_after_saving(tmp_path, rate):
    straight = trained(BitOptimizer(keras.optimizers.Adam(rate), 8.0), 3)
    straight.save(tmp_path / "model.keras")
    again = keras.saving.load_model(tmp_path / "model.keras")
    assert isinstance(again.optimizer, BitOptimizer)
    assert again.optimizer.bit_learning_rate_scale == 8.0
    assert int(numpy_of(again.optimizer.iterations)) == 3
    assert len(again.optimizer.variables) == len(straight.optimizer.variables)
    x, y = data()
    for model in (straight, again):
        model.fit(x, y, batch_size=64, epochs=3, shuffle=False, verbose=0)
    for a, b in zip(straight.variables, again.variables, strict=True):
        assert np.array_equal(numpy_of(a), numpy_of(b))


def test_a_changed_rate_survives_saving(tmp_path):
    model = trained(BitOptimizer(keras.optimizers.Adam(0.01), 8.0))
    model.optimizer.learning_rate = 0.25
    model.save(tmp_path / "model.keras")
    assert float(numpy_of(keras.saving.load_model(tmp_path / "model.keras").optimizer.learning_rate)) == 0.25


def test_config_survives():
    optimizer = BitOptimizer(keras.optimizers.Adam(0.125, beta_1=0.5, clipnorm=1.0), 8.0, name="mine")
    again = keras.optimizers.deserialize(keras.optimizers.serialize(optimizer))
    assert again.get_config() == optimizer.get_config()
    assert (again.weight_optimizer.beta_1, again.bit_optimizer.beta_1, again.name) == (0.5, 0.5, "mine")


def test_schedules_act_on_both():
    steps = keras.optimizers.schedules.PiecewiseConstantDecay([1], [0.5, 0.0])
    model = trained(BitOptimizer(keras.optimizers.SGD(steps), 2.0), 2)  # the first two steps move
    before = [numpy_of(variable) for variable in model.trainable_variables]
    x, y = data()
    model.fit(x, y, batch_size=64, epochs=2, verbose=0)
    assert all(np.array_equal(a, numpy_of(b)) for a, b in zip(before, model.trainable_variables, strict=True))
    bits, weights = moves(model)
    assert max(np.abs(move).max() for move in bits) > 0
    assert max(np.abs(move).max() for move in weights) > 0


def test_callbacks_act_on_both():
    rates = {0: 0.01, 1: 0.0}
    schedule = keras.callbacks.LearningRateScheduler(lambda epoch, rate: rates[epoch])
    short = trained(BitOptimizer("adam", 8.0), 1, callbacks=[schedule])
    long = trained(BitOptimizer("adam", 8.0), 2, callbacks=[schedule])
    for a, b in zip(short.trainable_variables, long.trainable_variables, strict=True):
        assert np.array_equal(numpy_of(a), numpy_of(b))
    assert max(np.abs(move).max() for move in moves(short)[0]) == pytest.approx(0.08, rel=1e-3)
    assert max(np.abs(move).max() for move in moves(short)[1]) == pytest.approx(0.01, rel=1e-3)


def test_steps_are_counted_once():
    model = trained(BitOptimizer("adam", 8.0), 3)
    assert int(numpy_of(model.optimizer.iterations)) == 3


def test_bits_stay_within_their_bounds():
    model = trained(BitOptimizer(keras.optimizers.SGD(1e3), 1e3), 3)
    for layer in (model.layers[0], model.layers[2]):
        b = numpy_of(layer.kernel_quantizer.b)
        assert b.min() >= 0
        assert b.max() <= 23
    assert any((numpy_of(layer.kernel_quantizer.b) == 0).any() for layer in (model.layers[0], model.layers[2]))


@pytest.mark.parametrize("argument", [{"clipnorm": 1e-3}, {"clipvalue": 1e-4}, {"global_clipnorm": 1e-3}])
def test_clipping_acts(argument):
    free = trained(BitOptimizer(keras.optimizers.SGD(0.01)))
    clipped = trained(BitOptimizer(keras.optimizers.SGD(0.01, **argument)))
    furthest = [max(np.abs(move).max() for move in moves(model)[1]) for model in (free, clipped)]
    assert furthest[1] < furthest[0] / 10


def test_its_variables_are_its_own():
    model = trained(BitOptimizer("adam"))
    own = {id(variable) for variable in model.optimizer.variables}
    assert not own & {id(variable) for variable in model.variables}


@pytest.mark.parametrize("cls", [keras.optimizers.AdamW, keras.optimizers.Adam])
def test_decay_pulls_weights_and_no_bits(cls):
    optimizer = BitOptimizer(cls(0.01, weight_decay=0.5), 4.0)
    model = make()
    before = [numpy_of(variable) for variable in model.trainable_variables]
    variables = model.trainable_variables
    optimizer.apply([keras.ops.zeros_like(variable.value) for variable in variables], variables)
    for old, variable in zip(before, variables, strict=True):
        assert np.array_equal(numpy_of(variable), old) == (is_bit_variable(variable) or not old.any())
