"""Spiking neurons with parameters of their own, inhibition, surrogates and cells; docs/numerics.md#10."""

from __future__ import annotations

from textwrap import dedent
from typing import Any

import keras
import numpy as np
import pytest
from arrays import float64_of
from differentiation import differentiate

from hgq2_core import ConfigError, ModelFileError, calibrate, ebops, freeze, load_model, verify
from hgq2_fixed_point import KBI, KIF
from hgq2_layers import (
    QDense,
    QIntegrateAndFire,
    QIntegrateAndFireCell,
    QLeakyIntegrateAndFire,
    QLeakyIntegrateAndFireCell,
    QSum,
)

STEPS, NEURONS = 5, 4
UNQUANTIZED = {"input_quantizer": "none", "membrane_quantizer": "none"}
OF_EACH = {
    "learn_beta": True,
    "learn_threshold": True,
    "learn_graded_spikes_factor": True,
    "inhibition": True,
    "reset_mechanism": "subtract",
}
PARAMETERS = {
    "beta": [0.5, 0.75, 1.0, 0.25],
    "threshold": [0.5, 0.75, 1.0, 1.25],
    "graded_spikes_factor": [1.0, 0.5, 2.0, 1.5],
}


def values(*shape: int, seed: int = 1) -> np.ndarray:
    return (np.random.default_rng(seed).integers(-48, 96, size=shape) / 32).astype(np.float32)


def winners(above: np.ndarray) -> np.ndarray:
    return np.arange(above.shape[-1]) == above.argmax(-1)[..., np.newaxis]


def simulated(x: np.ndarray, reset: str, inhibition: bool, beta: Any, threshold: Any, factor: Any) -> tuple[Any, Any]:
    v, spikes = np.zeros_like(x[:, 0], dtype=np.float64), []
    for number in range(x.shape[1]):
        u = beta * v + x[:, number]
        fires = u > threshold
        v = {"subtract": u - threshold * fires, "zero": u * ~fires, "none": u}[reset]
        spikes.append(factor * (fires & winners(u - threshold) if inhibition else fires))
    return np.stack(spikes, axis=1), v


def with_parameters(layer: Any, shape: tuple[int | None, ...]) -> Any:
    layer.build(shape)
    for weight in layer.trainable_weights:
        if weight.name in PARAMETERS:
            weight.assign(PARAMETERS[weight.name])
    return layer


def applied(layer: Any, *shape: int) -> keras.Model:
    x = keras.Input(shape)
    return keras.Model(x, layer(x))


@pytest.mark.parametrize(("reset", "inhibition"), [("subtract", True), ("zero", True), ("none", False)])
def test_each_neuron_has_its_parameters(reset, inhibition):
    arguments = {**OF_EACH, "reset_mechanism": reset, "inhibition": inhibition, "return_state": True, **UNQUANTIZED}
    layer = with_parameters(QLeakyIntegrateAndFire(0.5, **arguments), (None, STEPS, NEURONS))
    x = values(32, STEPS, NEURONS)
    wanted = simulated(x, reset, inhibition, *map(np.array, PARAMETERS.values()))
    for got, each in zip(layer(x), wanted, strict=True):
        assert np.array_equal(float64_of(got), each)


def test_of_several_winners_the_first_spikes():
    x = np.array([[[1.5, 2.0, 2.0, 0.5]], [[0.25, 0.5, 1.0, 0.75]]], np.float32)
    layer = QIntegrateAndFire(inhibition=True, **UNQUANTIZED)
    assert float64_of(layer(x)).tolist() == [[[0, 1, 0, 0]], [[0, 0, 0, 0]]]


def test_beta_stays_within_its_bounds():
    layer = QLeakyIntegrateAndFire(1.0, 2.0**16, learn_beta=True, return_state=True, **UNQUANTIZED)
    layer.build((None, 2, 2))
    next(weight for weight in layer.weights if weight.name == "beta").assign([1.5, -0.5])
    _, v = layer(np.array([[[1.0, 1.0], [0.0, 0.0]]], np.float32))
    assert float64_of(v).tolist() == [[1, 0]]


def test_ebops():
    three = KIF(i=1, f=2, overflow_mode="SAT_SYM", granularity="tensor")
    bits = {"input_quantizer": three, "membrane_quantizer": three}
    weight = KBI(b=5, i=1, granularity="tensor")
    layer = QLeakyIntegrateAndFire(
        0.5, **OF_EACH, **bits, beta_quantizer=weight, threshold_quantizer=weight, graded_spikes_quantizer=weight
    )
    layer.build((None, STEPS, NEURONS))
    sums = 0.65 * 3 * NEURONS * 3  # u, u > threshold, v
    inhibition = 2 * 3 * (NEURONS - 1) + 2 * 0.65 * 3 * NEURONS
    wanted = sums + 3 * 5 * NEURONS + 5 * NEURONS + inhibition  # the leak, the values of spikes
    assert np.isclose(ebops(layer), STEPS * wanted, rtol=1e-6)


@pytest.mark.parametrize(
    "quantizers", [{}, {"beta_quantizer": "fixed_point.power_of_two", "threshold_quantizer": KBI(b=4, i=1)}]
)
def test_it_trains_and_is_exact(quantizers, tmp_path):
    layer = QLeakyIntegrateAndFire(0.75, **OF_EACH, **quantizers, surrogate="triangular", name="it")
    model = keras.Sequential([keras.Input((STEPS, 3)), QDense(NEURONS), layer, QSum(1)])
    before = {weight.name: float64_of(weight) for weight in layer.trainable_weights if weight.name in PARAMETERS}
    assert set(before) == set(PARAMETERS)
    model.compile(keras.optimizers.Adam(0.02), "mse")
    x = values(64, STEPS, 3)
    model.fit(x, np.abs(x).sum(1)[:, [0, 1, 2, 0]], epochs=2, verbose=0)
    after = {weight.name: float64_of(weight) for weight in layer.trainable_weights}
    assert all((before[name] != after[name]).any() for name in before)
    calibrate(model, x)
    report = verify(model, x)
    assert report.ok, str(report)
    frozen = freeze(model)
    frozen.save(tmp_path / "frozen.keras")
    assert np.array_equal(load_model(tmp_path / "frozen.keras").predict(x, verbose=0), frozen.predict(x, verbose=0))


@keras.saving.register_keras_serializable("tests")
def bell(z: Any) -> Any:
    return keras.ops.exp(-z * z)


@keras.saving.register_keras_serializable("tests")
def registered_too(z: Any) -> Any:
    return z


def unregistered(z: Any) -> Any:
    return z


DERIVATIVES = {
    "sigmoid": (25.0, lambda z: 25 / (1 + np.exp(-25 * z)) / (1 + np.exp(25 * z))),
    "triangular": (1.0, lambda z: np.maximum(0, 1 - np.abs(z))),
    "straight_through": (1.0, np.ones_like),
    "bell": (None, lambda z: np.exp(-z * z)),
}


@pytest.mark.parametrize("name", DERIVATIVES)
def test_surrogates(name, tmp_path):
    layer = QIntegrateAndFire(0.75, surrogate=bell if name == "bell" else name, **UNQUANTIZED)
    model = applied(layer, 1, 1)
    model.save(tmp_path / "model.keras")
    x = values(64, 1, 1)
    for each in (layer, keras.saving.load_model(tmp_path / "model.keras").layers[-1]):
        _, got = differentiate(lambda x, each=each: each(x, training=True), x)
        np.testing.assert_allclose(got, DERIVATIVES[name][1](x.astype(np.float64) - 0.75), rtol=1e-4, atol=1e-5)


@pytest.mark.once
def test_a_file_names_a_surrogate_of_ones_own(tmp_path):
    file, x = tmp_path / "model.keras", values(8, 2, 3)
    model = applied(QIntegrateAndFire(surrogate=bell, name="fire"), 2, 3)
    model.save(file)
    with pytest.raises(ModelFileError, match=r"no.* function of Keras\. Received: 'tests>bell'\. Allowed besides"):
        load_model(file)
    with pytest.raises(ModelFileError, match="'tests>bell'"):
        load_model(file, functions=[registered_too])
    with pytest.raises(ConfigError, match="functions: must be registered with Keras"):
        load_model(file, functions=[unregistered])
    for no_list in (bell, "bell"):
        with pytest.raises(ConfigError, match=r"functions: must be a list of functions.*functions=\[my_function\]"):
            load_model(file, functions=no_list)
    with pytest.raises(ConfigError, match=r"must be registered with Keras. Received: 'bell'"):
        load_model(file, functions=["bell"])
    again = load_model(file, functions=[bell])
    assert again.get_layer("fire").surrogate is bell
    assert np.array_equal(again.predict(x, verbose=0), model.predict(x, verbose=0))


@pytest.mark.once
def test_a_fresh_process_has_the_surrogate_where_its_module_is_imported(tmp_path, fresh_python):
    (tmp_path / "mine.py").write_text(
        "import hgq2_core, keras\n\n\n@keras.saving.register_keras_serializable('mine')\ndef flat(z):\n"
        "    return keras.ops.ones_like(z)\n"
    )
    script = """
        import json, mine, keras, hgq2_core
        {0}
        print(json.dumps(model.get_layer("fire").get_config()["surrogate"]))
    """
    makes = """
        from hgq2_layers import QIntegrateAndFire
        model = keras.Sequential([keras.Input((2, 3)), QIntegrateAndFire(surrogate=mine.flat, name="fire")])
        model.save("model.keras")
    """
    saved, loaded = (
        fresh_python(dedent(script).format(dedent(each)))
        for each in (makes, 'model = hgq2_core.load_model("model.keras", functions=[mine.flat])')
    )
    assert saved == loaded
    assert saved["config"] == "mine>flat"


CELLS = [
    (QIntegrateAndFire, QIntegrateAndFireCell, {"inhibition": True}),
    (QLeakyIntegrateAndFire, QLeakyIntegrateAndFireCell, {"beta": 0.75, **OF_EACH}),
]


@pytest.mark.parametrize(("cls", "of_step", "arguments"), CELLS)
def test_a_cell_in_a_loop_is_the_layer(cls, of_step, arguments, tmp_path):
    saturating = KIF(overflow_mode="SAT", granularity="tensor")
    layer = cls(**arguments, input_quantizer=saturating)
    cell = of_step(NEURONS, **arguments, input_quantizer=saturating, parallelization_factor=STEPS)
    with_parameters(layer, (None, STEPS, NEURONS))
    with_parameters(cell, (None, NEURONS))
    ours = applied(layer, STEPS, NEURONS)
    theirs = applied(keras.layers.RNN(cell, return_sequences=True, name="loop"), STEPS, NEURONS)
    x = values(32, STEPS, NEURONS)
    assert np.array_equal(float64_of(ours(x)), float64_of(theirs(x)))
    assert np.isclose(ebops(ours), ebops(theirs), rtol=1e-6)
    losses = [sum(float64_of(loss) for loss in model.losses) for model in (ours, theirs)]
    assert np.isclose(*losses, rtol=1e-5)
    assert losses[0] > 0
    theirs.save(tmp_path / "model.keras")
    report = verify(load_model(tmp_path / "model.keras"), x)
    assert report.ok, str(report)


@pytest.mark.skipif(keras.backend.backend() != "jax", reason="only jax compiles a loop faster than its steps")
def test_on_jax_steps_are_one_loop():
    import jax

    def loops(layer: Any) -> bool:
        return "scan" in str(jax.make_jaxpr(lambda x: layer(x, training=True))(values(2, STEPS, NEURONS)))

    assert loops(QLeakyIntegrateAndFire(0.5, **OF_EACH))
    assert not loops(QLeakyIntegrateAndFire(0.5, membrane_quantizer=KIF(overflow_mode="WRAP")))


def test_what_is_refused():
    def refused(make: Any) -> str:
        with pytest.raises(ConfigError) as error:
            make()
        return str(error.value)

    assert refused(lambda: QIntegrateAndFire(surrogate=bell, slope=2.0, name="fire")) == (
        "fire: a surrogate of one's own is a function of z alone. Received: slope=2.0. Leave slope out."
    )
    assert refused(lambda: QIntegrateAndFire(surrogate="arctangent", name="fire")) == (
        "QIntegrateAndFire 'fire': surrogate: not allowed. Received: 'arctangent' (str). Allowed: arctan, "
        "fast_sigmoid, sigmoid, straight_through, triangular, or a function of z that is registered with Keras. Did "
        "you mean 'arctan'?"
    )
    assert refused(lambda: QIntegrateAndFire(inhibition=True, name="fire").build((None, 3))) == (
        "fire: neurons with parameters of their own, or that inhibit each other, are of static number. Received: a "
        "step of shape []."
    )
    assert refused(lambda: QIntegrateAndFireCell(3, name="fire").build((None, 4))) == (
        "fire: takes (batch, units), 3 units. Received: (None, 4)."
    )
