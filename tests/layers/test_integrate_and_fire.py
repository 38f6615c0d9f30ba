"""Spiking neurons: equations, surrogate gradients, cost, what is refused, and a network that learns.

See docs/numerics.md#7.
"""

from __future__ import annotations

import keras
import numpy as np
import pytest
from arrays import float64_of
from differentiation import differentiate

from hgq2_core import ConfigError, calibrate, defaults, ebops, freeze, load_model, verify
from hgq2_fixed_point import KIF, quantize
from hgq2_layers import QDense, QIntegrateAndFire, QLeakyIntegrateAndFire, QSum
from hgq2_training.datasets.digits import Digits

UNQUANTIZED = {"input_quantizer": "none", "membrane_quantizer": "none"}


def values(*shape, seed=1):
    """Multiples of 1/32, whose sums float32 holds."""
    return (np.random.default_rng(seed).integers(-48, 96, size=shape) / 32).astype(np.float32)


def applied(layer, *shape):
    inputs = keras.Input(shape)
    return keras.Model(inputs, layer(inputs))


def simulated(x, threshold, reset, beta=1.0, membrane=lambda u: u):
    """The equation, step by step: spikes of all steps, and the last membrane potential."""
    v, spikes = np.zeros_like(x[:, 0], dtype=np.float64), []
    for number in range(x.shape[1]):
        u = membrane(beta * v + x[:, number])
        fires = u > threshold
        v = np.where(fires, u - threshold if reset == "subtract" else 0.0, u)
        spikes.append(fires.astype(np.float64))
    return np.stack(spikes, axis=1), v


@pytest.mark.parametrize("reset", ["subtract", "zero"])
@pytest.mark.parametrize("threshold", [1.0, 0.75])
@pytest.mark.parametrize("beta", [None, 1.0, 0.5, 0.875])
@pytest.mark.parametrize("shape", [(6,), (6, 3), (6, 2, 3)])
def test_the_equation(shape, beta, threshold, reset):
    arguments = {"threshold": threshold, "reset_mechanism": reset, "return_state": True, **UNQUANTIZED}
    layer = QIntegrateAndFire(**arguments) if beta is None else QLeakyIntegrateAndFire(beta, **arguments)
    x = values(16, *shape)
    spikes, v = layer(x)
    wanted = simulated(x, threshold, reset, 1.0 if beta is None else beta)
    assert np.array_equal(float64_of(spikes), wanted[0])
    assert np.array_equal(float64_of(v), wanted[1])
    assert 0.1 < wanted[0].mean() < 0.9
    assert (tuple(spikes.shape), tuple(v.shape)) == layer.compute_output_shape(x.shape)


def test_a_potential_at_the_threshold_does_not_fire():
    x = np.array([[0.75, 0.75, 0.75, 0.75]], np.float32)  # u is 0.75, 1.5, 1.25, and 1
    assert float64_of(QIntegrateAndFire(**UNQUANTIZED)(x)).tolist() == [[0, 1, 1, 0]]


def test_the_last_step_and_the_other_direction():
    x = values(8, 5, 2)
    wanted, _ = simulated(x, 1.0, "subtract")
    assert np.array_equal(float64_of(QIntegrateAndFire(return_sequences=False, **UNQUANTIZED)(x)), wanted[:, -1])
    backwards = QIntegrateAndFire(go_backwards=True, **UNQUANTIZED)
    assert np.array_equal(float64_of(backwards(x[:, ::-1])), wanted)


@pytest.mark.parametrize("reset", ["subtract", "zero"])
def test_the_membrane_saturates_in_every_step(reset):
    layer = QLeakyIntegrateAndFire(
        0.5, 0.5, reset, return_state=True, input_quantizer="none", membrane_quantizer=KIF(i=0, f=3)
    )
    assert layer.membrane_quantizer.config.overflow_mode == "WRAP"  # said by the role, as a config was given
    x = values(16, 6, 3)
    for mode in ("SAT_SYM", "SAT"):
        config = KIF(i=0, f=3, overflow_mode=mode)
        layer = QLeakyIntegrateAndFire(
            0.5, 0.5, reset, return_state=True, input_quantizer="none", membrane_quantizer=config
        )
        wanted = simulated(x, 0.5, reset, 0.5, lambda u, mode=mode: quantize(u, 1, 0, 3, "RND", mode))
        for got, each in zip(layer(x), wanted, strict=True):
            assert np.array_equal(float64_of(got), each)
    assert QIntegrateAndFire().membrane_quantizer.config.overflow_mode == "SAT_SYM"


SURROGATES = {
    "fast_sigmoid": lambda z, slope: 1 / (1 + slope * np.abs(z)) ** 2,
    "arctan": lambda z, slope: slope / 2 / (1 + (np.pi / 2 * slope * z) ** 2),
}


@pytest.mark.parametrize(
    ("name", "slope", "used"), [("fast_sigmoid", None, 25), ("arctan", None, 2), ("arctan", 5.0, 5)]
)
def test_the_gradient_of_a_spike_is_the_surrogate(name, slope, used):
    layer = QIntegrateAndFire(0.75, surrogate=name, slope=slope, **UNQUANTIZED)
    x = values(64, 1, 1)
    _, got = differentiate(lambda x: layer(x, training=True), x)
    np.testing.assert_allclose(got, SURROGATES[name](x.astype(np.float64) - 0.75, used), rtol=1e-5)


@pytest.mark.parametrize("reset", ["subtract", "zero"])
def test_no_gradient_goes_through_the_spikes_that_reset(reset):
    layer = QLeakyIntegrateAndFire(0.5, 1.0, reset, slope=1.0, **UNQUANTIZED)
    x = np.array([[[1.5], [0.25]], [[0.5], [0.25]]], np.float32)
    _, got = differentiate(lambda x: layer(x, training=True), x)

    def surrogate(z):
        return SURROGATES["fast_sigmoid"](z, 1.0)

    # The first sample fires at once: u_2 is 0.5 (1.5 - 1) + 0.25, or 0.25. The second does not: u_2 is 0.5.
    fired = 0.5 if reset == "subtract" else 0.25
    last = surrogate(np.array([fired, 0.5]) - 1)
    kept = np.array([0.5 * (reset == "subtract"), 0.5])
    wanted = np.stack([surrogate(np.array([1.5, 0.5]) - 1) + kept * last, last], axis=1)
    np.testing.assert_allclose(got[..., 0], wanted, rtol=1e-5)


@pytest.mark.parametrize(("beta", "bits"), [(None, 0), (0.5, 0), (0.875, 2), (0.90625, 4)])
@pytest.mark.parametrize("reset", ["subtract", "zero"])
@pytest.mark.parametrize("parallel", [None, 1, 2])
def test_ebops(independent, scatter_bits, parallel, reset, beta, bits):
    arguments = {
        "reset_mechanism": reset,
        "parallelization_factor": parallel,
        "input_quantizer": KIF(overflow_mode="SAT"),
        "membrane_quantizer": KIF(overflow_mode="SAT_SYM"),
    }
    layer = QIntegrateAndFire(**arguments) if beta is None else QLeakyIntegrateAndFire(beta, **arguments)
    layer.build((None, 4, 3))
    scatter_bits(layer)
    entered = independent.counted(layer.input_quantizer, (4, 3))
    membrane = independent.counted(layer.membrane_quantizer, (3,))
    wanted = 0.0
    for step in range(4):
        for neuron in range(3):
            wanted += 0.65 * max(entered[step, neuron], membrane[neuron])  # u
            wanted += 0.65 * membrane[neuron]  # u > threshold
            wanted += 0.65 * membrane[neuron] * (reset == "subtract")  # v
            wanted += membrane[neuron] * bits  # the leak
    assert wanted > 0
    assert np.isclose(ebops(layer), wanted / 4 * (parallel or 4), rtol=1e-5)


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (
            lambda: QIntegrateAndFire(0.1, name="fire"),
            "fire: threshold is a constant of the circuit, of at most 8 significant bits. Received: threshold=0.1. "
            "The closest: 0.10009765625 (205/2048).",
        ),
        (
            lambda: QLeakyIntegrateAndFire(0.9, name="fire"),
            "fire: beta is a constant of the circuit, of at most 8 significant bits. Received: beta=0.9. "
            "The closest: 0.8984375 (115/128).",
        ),
        (
            lambda: QIntegrateAndFire(reset_mechanism="substract", name="fire"),
            "QIntegrateAndFire 'fire': reset_mechanism: not allowed. Received: 'substract' (str). "
            "Allowed: 'subtract', 'zero', 'none'. Did you mean 'subtract'?",
        ),
        (
            lambda: QIntegrateAndFire(name="fire").build((None, None, 3)),
            "fire: takes (batch, steps, ...), a static number of steps. Received: (None, None, 3).",
        ),
        (
            lambda: QIntegrateAndFire(parallelization_factor=5, name="fire").build((None, 4, 3)),
            "fire: parallelization_factor is at most the number of steps. "
            "Received: parallelization_factor=5 for 4 steps.",
        ),
    ],
)
def test_what_is_refused(make, message):
    with pytest.raises(ConfigError) as error:
        make()
    assert str(error.value) == message


@pytest.mark.slow
def test_a_network_of_spiking_neurons_learns_and_is_exact(tmp_path):
    keras.utils.set_random_seed(0)
    data = Digits().load()
    with defaults(ebops_beta=1e-8):
        model = keras.Sequential(
            [
                keras.Input((64,)),
                keras.layers.RepeatVector(8, name="present"),  # the same picture in every step
                QDense(32, name="in"),
                QLeakyIntegrateAndFire(0.875, surrogate="arctan", name="hidden"),
                QDense(10, name="out"),
                QIntegrateAndFire(surrogate="arctan", name="fire"),
                QSum(1, name="count"),
            ]
        )
    model.compile(
        keras.optimizers.Adam(0.01),
        keras.losses.SparseCategoricalCrossentropy(from_logits=True),
        metrics=["accuracy"],
    )
    model.fit(data.train.x, data.train.y, epochs=12, batch_size=64, verbose=0)
    calibrate(model, data.train.x)
    assert model.evaluate(data.test.x, data.test.y, verbose=0)[1] > 0.93
    assert verify(model, data.test.x).mismatches == 0
    freeze(model).save(tmp_path / "frozen.keras")
    predicted = load_model(tmp_path / "frozen.keras").predict(data.test.x, verbose=0)
    assert np.array_equal(predicted, model.predict(data.test.x, verbose=0))
    assert np.array_equal(predicted, np.rint(predicted))  # spikes are counted
