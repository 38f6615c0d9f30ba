"""Stochastic rounding: drawn in training, its deterministic twin everywhere else."""

from __future__ import annotations

import keras
import numpy as np
import pytest
from arrays import numpy_of
from differentiation import differentiate

from hgq2_core import ConfigError, HGQ2Error, calibrate, freeze, verify
from hgq2_core.config.model import ModelConfig
from hgq2_core.quantizers.config import Slot
from hgq2_core.quantizers.phase import calibrating
from hgq2_fixed_point import KBI, KIF, ops, quantize
from hgq2_fixed_point.modes import DETERMINISTIC
from hgq2_fixed_point.stochastic import draw
from hgq2_layers import QDense

MODES = pytest.mark.parametrize("round_mode", list(DETERMINISTIC))
LN2 = float(np.float32(np.log(2.0)))
DRAWS = 100_000

# Every way through the arithmetic: who is quantized, and how its range comes about.
WAYS = {
    f"{role} {kind.__name__} {overflow_mode} {granularity}": (kind, role, overflow_mode, granularity)
    for kind in (KBI, KIF)
    for role in ("weight", "activation")
    for overflow_mode in ("WRAP", "SAT", "SAT_SYM", "SAT_ZERO")
    for granularity in ("tensor", "element")
}
EVERY_WAY = pytest.mark.parametrize("way", WAYS.values(), ids=list(WAYS))


def tensor(values):
    return keras.ops.convert_to_tensor(np.asarray(values, np.float32))


def drawn(x, k=1.0, i=4.0, f=1.0, round_mode="S_RND", overflow_mode="SAT", seed=0):
    return numpy_of(
        ops.quantize(tensor(x), tensor(k), tensor(i), tensor(f), round_mode, overflow_mode, training=True, seed=seed)
    )


def quantizer(way, round_mode="S_RND", shape=(40,)):
    """A quantizer of i = 2, f = 2, whichever of the two follows the values."""
    kind, role, overflow_mode, granularity = way
    bits = {"b": 4.0} if kind is KBI else {"f": 2.0}
    config = kind(i=2.0, **bits, round_mode=round_mode, overflow_mode=overflow_mode, granularity=granularity)
    keras.utils.set_random_seed(5)
    made = config.build(Slot(role, "slot", "layer"))
    made.build((None, *shape) if role == "activation" else shape)
    return made


# --- the operation ---------------------------------------------------------------------------------------------------


@MODES
@pytest.mark.parametrize("value", [0.3, -0.3, 1.2, -1.2, 0.0625, -2.4375, 5.05, -7.45])
def test_it_is_unbiased(value, round_mode):
    x = np.full(DRAWS, value, np.float32)
    q = drawn(x, round_mode=round_mode)
    below, part = np.floor(2 * x[0]) / 2, np.float64(2 * x[0]) - np.floor(2 * x[0])
    assert set(q.tolist()) == {below, below + 0.5}
    sigma = 0.5 * np.sqrt(part * (1 - part) / DRAWS)
    assert abs(q.mean(dtype=np.float64) - np.float64(x[0])) < 5 * sigma


def test_values_on_the_grid_never_move():
    x = np.concatenate([np.arange(-32.0, 32.0) / 2, [0.0, -0.0]]).repeat(2000)
    np.testing.assert_array_equal(drawn(x, i=5.0), x.astype(np.float32))


@pytest.mark.parametrize("overflow_mode", ["SAT", "WRAP"])
def test_values_without_a_fraction_never_move_however_large(overflow_mode):
    x = np.float32([2**23, 2**23 + 1, 2**24 - 1, -(2**23) - 1, 2.0**40, -(2.0**60)])
    np.testing.assert_array_equal(drawn(x, i=62.0, f=0.0, overflow_mode=overflow_mode), x)


def test_halves_below_2_to_the_23_move_half_of_the_time():
    x = np.full(10_000, 2.0**22 + 0.5, np.float32)
    q = drawn(x, i=24.0, f=0.0)
    assert set(q.tolist()) == {2.0**22, 2.0**22 + 1}
    assert abs((q > x).mean() - 0.5) < 0.025


def test_what_is_not_finite_is_as_without_draws():
    x = np.float32([np.nan, np.inf, -np.inf])
    np.testing.assert_array_equal(drawn(x), np.float32([np.nan, 15.5, -16.0]))


@pytest.mark.parametrize("k", [0.0, 1.0])
@pytest.mark.parametrize("overflow_mode", ["SAT", "SAT_SYM", "SAT_ZERO"])
def test_results_are_neighbours_on_the_grid_and_in_range(overflow_mode, k):
    rng = np.random.default_rng(0)
    i, f = rng.integers(-2, 4, (1, 64)).astype(np.float32), rng.integers(-1, 5, (1, 64)).astype(np.float32)
    x = (rng.normal(size=(500, 64)) * 2.0**i).astype(np.float32)
    q = drawn(x, k, i, f, overflow_mode=overflow_mode)
    choices = [quantize(x, int(k), i, f, round_mode, overflow_mode) for round_mode in ("TRN", "RND_CONV")]
    choices.append(quantize(-quantize(-x, 1, 30, f, "TRN", "SAT"), int(k), i, f, "TRN", overflow_mode))  # the ceiling
    assert np.all(np.any([q == choice for choice in choices], axis=0))
    assert np.any(q != choices[1])


@MODES
@pytest.mark.parametrize("overflow_mode", ["WRAP", "SAT"])
def test_outside_training_it_is_the_deterministic_twin(overflow_mode, round_mode):
    x = np.arange(-40.0, 40.0, dtype=np.float32) / 4
    for op, first, second in ((ops.quantize, 2.0, 1.0), (ops.quantize_kbi, 3.0, 2.0)):
        q = op(tensor(x), tensor(1.0), tensor(first), tensor(second), round_mode, overflow_mode, seed=1)
        np.testing.assert_array_equal(numpy_of(q), quantize(x, 1, 2, 1, DETERMINISTIC[round_mode], overflow_mode))
    twin = quantize(x, 1, 2, 1, DETERMINISTIC[round_mode], overflow_mode)
    np.testing.assert_array_equal(quantize(x, 1, 2, 1, round_mode, overflow_mode), twin)


def test_a_seed_repeats_and_a_generator_goes_on():
    x = np.linspace(-3, 3, 1000, dtype=np.float32)
    np.testing.assert_array_equal(drawn(x, seed=3), drawn(x, seed=3))
    assert np.any(drawn(x, seed=3) != drawn(x, seed=4))
    generator = keras.random.SeedGenerator(3)
    first, second = drawn(x, seed=generator), drawn(x, seed=generator)
    assert np.any(first != second)
    np.testing.assert_array_equal(first, drawn(x, seed=keras.random.SeedGenerator(3)))


@MODES
@pytest.mark.parametrize("op", [ops.quantize, ops.quantize_kbi])
def test_training_without_a_seed_is_an_error(op, round_mode):
    with pytest.raises(ConfigError) as raised:
        op(tensor([0.3]), tensor(1.0), tensor(2.0), tensor(2.0), round_mode, "SAT", training=True)
    assert str(raised.value) == (
        f"round_mode='{round_mode}' draws in training and needs a seed. Received: seed=None. "
        "Allowed: a keras.random.SeedGenerator, or an integer, which draws the same numbers in every call."
    )


def test_other_modes_need_no_seed():
    q = ops.quantize(tensor([0.3]), tensor(1.0), tensor(2.0), tensor(2.0), "RND", "SAT", training=True)
    assert numpy_of(q).tolist() == [0.25]


def test_sign_magnitude_does_not_wrap_what_is_drawn():
    with pytest.raises(HGQ2Error, match="overflow_mode='WRAP_SM' is not defined with round_mode='S_RND'"):
        ops.quantize(tensor([0.3]), tensor(1.0), tensor(2.0), tensor(2.0), "S_RND", "WRAP_SM", training=True, seed=1)


@pytest.mark.parametrize("overflow_mode", ["WRAP", "SAT", "SAT_SYM", "SAT_ZERO"])
def test_the_gradients_are_those_of_the_value_drawn(overflow_mode):
    x = np.linspace(-5, 5, 300, dtype=np.float32)  # i = 2, f = 1: from -4 or -3.5 to 3.5
    bits = np.full((2, 300), [[2.0], [1.0]], np.float32)

    def quantized(x, i, f):
        return ops.quantize(x, np.float32(1.0), i, f, "S_RND", overflow_mode, training=True, seed=2)

    q, d_x, d_i, d_f = differentiate(quantized, x, *bits)
    assert np.any(q != differentiate(lambda x: ops.quantize(x, np.float32(1), *bits, "RND", overflow_mode), x)[0])
    wraps, symmetric = overflow_mode == "WRAP", overflow_mode == "SAT_SYM"
    above, below = (x > 3.5) & (not wraps), (x < (-3.5 if symmetric else -4.0)) & (not wraps)
    np.testing.assert_array_equal(d_x, 1.0 - (above | below))
    np.testing.assert_allclose(d_i, LN2 * 4.0 * (above * 1.0 - below), rtol=1e-6)
    np.testing.assert_allclose(d_f, LN2 * np.where(above, 0.5, np.where(below, -0.5 * symmetric, x - q)), rtol=1e-6)


# --- the quantizer ---------------------------------------------------------------------------------------------------


@EVERY_WAY
def test_every_way_draws_in_training_and_only_there(way):
    rng = np.random.default_rng(1)
    x = rng.uniform(-3, 3, (200, 40) if way[1] == "activation" else (200 * 40,)).astype(np.float32)
    made, twin = (quantizer(way, mode, (40,) if way[1] == "activation" else x.shape) for mode in ("S_RND", "RND"))
    with calibrating():
        np.testing.assert_array_equal(numpy_of(made.quantize(tensor(x))), numpy_of(twin.quantize(tensor(x))))
    first, second = (numpy_of(made.quantize(tensor(x), training=True)) for _ in range(2))
    assert np.mean(first != second) > 0.1
    np.testing.assert_array_equal(numpy_of(made.quantize(tensor(x))), numpy_of(twin.quantize(tensor(x))))
    inside = abs(x) < 2.5
    assert abs((first - x)[inside].mean(dtype=np.float64)) < 5 * 0.25 / np.sqrt(inside.sum())


def smallest_range(x, u, fixed_width, signed, shared):
    """By trying: the smallest i of -4 to 5 whose range holds what is drawn with its f, and what that is."""
    tried, drawn, holds = np.arange(-4, 6), [], []
    for i in tried:
        f = 3.0 - i if fixed_width else 3.0
        z = x * np.float32(2.0**f)
        drawn.append((np.floor(z) + (u < z - np.floor(z))) * 2.0**-f * (signed | (x > 0)))
        held = (drawn[-1] == 0) | (drawn[-1] >= -(2.0**i)) & (drawn[-1] <= 2.0**i - 2.0**-f) | (i == 5)
        holds.append(held & held.all(0) if shared else held)
    return np.select(holds, [np.full(x.shape, i) for i in tried]), np.select(holds, drawn)


@pytest.fixture(scope="module")
def near_powers_of_two():
    """Values that need another integer bit or not, as the draw falls."""
    rng = np.random.default_rng(2)
    x = rng.choice([-1, 1], (4, 1000)) * 2.0 ** rng.integers(-3, 5, (4, 1000)) * rng.uniform(0.8, 1.2, (4, 1000))
    return x.astype(np.float32)


@pytest.mark.parametrize("shared", [True, False])
@pytest.mark.parametrize("fixed_width", [True, False])
@pytest.mark.parametrize("signed", [True, False])
def test_a_dynamic_range_is_the_smallest_that_holds_what_is_drawn(signed, fixed_width, shared, near_powers_of_two):
    x, bits = near_powers_of_two, np.full((1 if shared else 4, 1000), 3.0)
    axes = (0,) if shared else ()
    options = ops.Options("S_RND", fixed_width=fixed_width, signed=signed, axes=axes, bounds=(-4, 5))
    q, counted, _ = ops.backend().quantize_dynamic(tensor(x), tensor(bits), options, seed=7)
    i, wanted = smallest_range(x, numpy_of(draw(tensor(x), "S_RND", 7)), fixed_width, signed, shared)
    np.testing.assert_array_equal(numpy_of(q), wanted)
    np.testing.assert_array_equal(
        np.broadcast_to(numpy_of(counted), x.shape), 3.0 if fixed_width else np.maximum(i + 3.0, 0.0)
    )


@pytest.mark.parametrize("shared", [True, False])
@pytest.mark.parametrize("fixed_width", [True, False])
def test_an_observed_range_is_the_smallest_that_holds_what_is_drawn(fixed_width, shared, near_powers_of_two):
    x, bits = near_powers_of_two, np.full((1 if shared else 4, 1000), 3.0)
    options = ops.Options("S_RND", fixed_width=fixed_width, axes=(0,) if shared else (), bounds=(-4, 5))
    k, i = tensor(0 * bits), tensor(0 * bits - 4.0)
    q, _, _, i, k = ops.backend().quantize_observed(tensor(x), k, i, tensor(bits), options, 0.0, seed=7)
    smallest, wanted = smallest_range(x, numpy_of(draw(tensor(x), "S_RND", 7)), fixed_width, True, shared)
    np.testing.assert_array_equal(numpy_of(q), wanted)
    np.testing.assert_array_equal(np.broadcast_to(numpy_of(i), x.shape), smallest)
    negative = (wanted < 0).any(0, keepdims=True) if shared else wanted < 0
    np.testing.assert_array_equal(numpy_of(k), negative)


def test_a_range_holds_what_was_drawn_and_not_what_would_have_been_rounded():
    made = quantizer((KIF, "activation", "WRAP", "element"), shape=(1,))
    made.range.reset()
    seen = {}
    for _ in range(50):  # between 3.75 and 4 on a grid of 1/4: i = 2 or i = 3
        made.i.assign([[2.0]])
        q = numpy_of(made.quantize(tensor([[3.9]]), training=True)).item()
        seen[q] = numpy_of(made.i).item()
    assert seen == {3.75: 2.0, 4.0: 3.0}


def test_a_width_keeps_its_grid_where_a_draw_needs_another_integer_bit():
    made = quantizer((KBI, "activation", "WRAP", "element"), shape=(1,))
    seen = {}
    for _ in range(50):  # b = 4: 3.75 + 1/8 with i = 2; 4.0 needs i = 3
        made.i.assign([[2.0]])
        q = numpy_of(made.quantize(tensor([[3.875]]), training=True)).item()
        seen[q] = numpy_of(made.i).item()
    assert seen == {3.75: 2.0, 4.0: 3.0}


def test_a_sign_that_is_drawn_is_kept():
    made = quantizer((KIF, "activation", "WRAP", "element"), shape=(1,))
    for _ in range(50):
        made.k.assign([[0.0]])
        q = numpy_of(made.quantize(tensor([[-0.05]]), training=True)).item()
        assert numpy_of(made.k).item() == float(q < 0)


def test_quantizers_draw_for_themselves():
    keras.utils.set_random_seed(0)
    first, second = (KBI(round_mode="S_RND").build() for _ in range(2))
    x = tensor(np.linspace(-1, 1, 1000))
    for made in (first, second):
        made.build((1000,))
    assert np.any(numpy_of(first.quantize(x, training=True)) != numpy_of(second.quantize(x, training=True)))


# --- a model ---------------------------------------------------------------------------------------------------------

DOCUMENT = {
    "seed": 3,
    "defaults": {
        "weight": {"kind": "kbi", "b": 3, "round_mode": "S_RND"},
        "bias": {"kind": "kbi", "b": 3, "round_mode": "S_RND_CONV"},
        "activation": {"kind": "kif", "i": 2, "f": 2, "round_mode": "S_RND", "overflow_mode": "WRAP"},
    },
    "model": {
        "inputs": {"values": {"shape": [4]}},
        "layers": [{"kind": "dense", "name": "hidden", "units": 5}, {"kind": "dense", "name": "out", "units": 2}],
    },
}


def trained(seed=3):
    model = ModelConfig.parse({**DOCUMENT, "seed": seed}).build()
    model.compile("adam", "mse")
    x = np.random.default_rng(0).normal(size=(64, 4)).astype(np.float32)
    losses = model.fit(x, x[:, :2], epochs=2, batch_size=32, verbose=0, shuffle=False).history["loss"]
    return model, x, losses


def test_a_model_built_from_a_config_repeats_and_another_seed_draws_otherwise():
    (model, x, losses), (again, _, same), (_, _, other) = trained(), trained(), trained(4)
    assert losses == same
    assert losses != other
    np.testing.assert_array_equal(model.predict(x, verbose=0), again.predict(x, verbose=0))
    seeds = [numpy_of(v).tolist() for v in model.variables if "seed_generator" in v.path]
    assert len(seeds) == len({seed for seed, _ in seeds}) == 6
    assert {steps for _, steps in seeds} == {4}


def test_it_trains_freezes_verifies_and_predicts_without_draws():
    model, x, _ = trained()
    calibrate(model, x)
    predicted = model.predict(x, verbose=0)
    frozen = freeze(model)
    np.testing.assert_array_equal(frozen.predict(x, verbose=0), predicted)
    assert verify(frozen, x).mismatches == 0


def test_a_saved_model_keeps_the_mode_and_predicts_the_same(tmp_path):
    model, x, _ = trained()
    model.save(tmp_path / "model.keras")
    loaded = keras.saving.load_model(tmp_path / "model.keras")
    np.testing.assert_array_equal(loaded.predict(x, verbose=0), model.predict(x, verbose=0))
    assert loaded.get_layer("out").bias_quantizer.config.round_mode == "S_RND_CONV"
    loaded.fit(x, x[:, :2], epochs=1, verbose=0)


def test_a_layer_of_its_own_trains():
    layer = QDense(3, kernel_quantizer=KBI(round_mode="S_RND"), input_quantizer=KIF(round_mode="S_RND"))
    x = tensor(np.random.default_rng(0).normal(size=(8, 4)))
    layer(x)
    assert np.any(numpy_of(layer(x, training=True)) != numpy_of(layer(x, training=True)))
    np.testing.assert_array_equal(numpy_of(layer(x)), numpy_of(layer(x)))
