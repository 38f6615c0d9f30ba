"""SimpleRNN, GRU and LSTM: forward, cost, constructor, exactness, wrappers; docs/numerics.md#7 and #8."""

from __future__ import annotations

import keras
import numpy as np
import pytest
from arrays import float64_of
from arrays import unit_values as values

from hgq2_core import ConfigError, calibrate, defaults, ebops, fit_ranges, freeze, quantize_model, summary, verify
from hgq2_fixed_point import KIF
from hgq2_layers import QGRU, QLSTM, QDense, QSimpleRNN

layers = keras.layers
UNQUANTIZED = {
    f"{slot}_quantizer": "none"
    for slot in ("input", "kernel", "recurrent", "bias", "state", "activation", "activation_table")
}
GATED = {f"recurrent_activation{part}_quantizer": "none" for part in ("", "_table")}
KINDS = [(QSimpleRNN, {}), (QGRU, {}), (QGRU, {"reset_after": False}), (QLSTM, {})]
WIDTHS = {QSimpleRNN: 1, QGRU: 3, QLSTM: 4}


def applied(layer, shape=(4, 2)):
    inputs = keras.Input(shape)
    return keras.Model(inputs, layer(inputs))


TWINS = [
    (QSimpleRNN, layers.SimpleRNN, {}, {}),
    (QSimpleRNN, layers.SimpleRNN, {"activation": "relu", "return_sequences": True, "go_backwards": True}, {}),
    (QSimpleRNN, layers.SimpleRNN, {"use_bias": False, "return_state": True}, {}),
    (QGRU, layers.GRU, {"return_sequences": True}, {"reset_quantizer": "none", **GATED}),
    (QGRU, layers.GRU, {"reset_after": False, "return_state": True}, {"reset_quantizer": "none", **GATED}),
    (QGRU, layers.GRU, {"use_bias": False, "recurrent_activation": "relu"}, {"reset_quantizer": "none", **GATED}),
    (QLSTM, layers.LSTM, {"return_sequences": True, "return_state": True}, {"carry_quantizer": "none", **GATED}),
    (QLSTM, layers.LSTM, {"unit_forget_bias": False, "go_backwards": True}, {"carry_quantizer": "none", **GATED}),
    (QLSTM, layers.LSTM, {"activation": "softsign", "use_bias": False}, {"carry_quantizer": "none", **GATED}),
]


@pytest.mark.every_backend
def test_ranges_of_states_are_fitted_also_where_the_steps_are_a_loop():
    model = quantize_model(applied(layers.GRU(2, name="gru")))
    x = values(16, 4, 2)
    assert {"gru.state", "gru.input"} <= {name.split("/")[-1] for name in fit_ranges(model, 4 * x)}
    calibrate(model, x)
    assert verify(model, x).mismatches == 0


@pytest.mark.parametrize(("cls", "twin", "arguments", "quantizers"), TWINS)
def test_without_quantizers_it_is_its_keras_twin(cls, twin, arguments, quantizers):
    if cls is QLSTM:
        quantizers = {**quantizers, "carry_table_quantizer": "none"}
    layer, reference = cls(3, **arguments, **UNQUANTIZED, **quantizers), twin(3, **arguments)
    ours, theirs = applied(layer), applied(reference)
    biases = 2 * values(*layer.bias.shape, seed=2) if layer.bias is not None else None
    reference.set_weights([layer.kernel, layer.recurrent_kernel, *([] if biases is None else [biases])])
    if biases is not None:
        layer.bias.assign(biases)
    x = values(16, 4, 2)
    got, wanted = keras.tree.flatten(ours(x)), keras.tree.flatten(theirs(x))
    assert [output.shape for output in got] == [output.shape for output in wanted]
    for a, b in zip(got, wanted, strict=True):
        assert np.allclose(float64_of(a), float64_of(b), rtol=0, atol=1e-6)
    assert ours.output_shape == theirs.output_shape


def test_the_bias_of_the_forget_gate_starts_at_one():
    layer = QLSTM(2)
    layer.build((None, 3, 2))
    assert float64_of(layer.bias).tolist() == [0, 0, 1, 1, 0, 0, 0, 0]


def bits_of(independent, layer, name, size):
    return independent.counted(layer.slot_quantizer(name), size)


def table_ebops(layer, name, inputs):
    return 1e-4 * (2.0**inputs).sum() * float64_of(layer.slot_quantizer(name).bits())


def step_ebops(independent, layer):
    """The formula of docs/numerics.md#7, but for the products with the kernel."""
    u = layer.units

    def bits(name, width=1):
        return bits_of(independent, layer, name, (width * u,))

    state, candidate = bits("state"), bits("activation")
    recurrent = bits_of(independent, layer, "recurrent_kernel", layer.recurrent_kernel.shape)
    cost = bits_of(independent, layer, "bias", layer.bias.shape).sum()
    cost += table_ebops(layer, "activation_table", candidate)
    entry = float64_of(layer.slot_quantizer("activation_table").bits())
    if isinstance(layer, QSimpleRNN):
        return cost + (state @ recurrent).sum()
    gates = layer.gating_width
    cost += table_ebops(layer, "recurrent_activation_table", bits("recurrent_activation", gates))
    gate = float64_of(layer.slot_quantizer("recurrent_activation_table").bits())
    if isinstance(layer, QLSTM):
        carry = bits("carry")
        cost += table_ebops(layer, "carry_table", carry)
        read = gate * float64_of(layer.slot_quantizer("carry_table").bits()) * u
        return cost + (state @ recurrent).sum() + gate * entry * u + (gate * carry).sum() + read
    cost += (gate * state).sum() + gate * entry * u
    if layer.reset_after:
        return cost + (state @ recurrent).sum() + (gate * bits("reset")).sum()
    return cost + (state @ recurrent[:, : 2 * u]).sum() + (bits("reset") @ recurrent[:, 2 * u :] + gate * state).sum()


def scatter(layer, seed=0):
    rng = np.random.default_rng(seed)
    for quantizer in layer.quantizers:
        for variable in quantizer.variables:
            if variable.name in ("b", "i", "f"):
                variable.assign(rng.integers(1, 5, size=tuple(variable.shape)).astype(np.float32))


@pytest.mark.parametrize("parallel", [None, 1, 3])
@pytest.mark.parametrize(("cls", "arguments"), KINDS)
def test_ebops(independent, cls, arguments, parallel):
    layer = cls(3, input_quantizer=KIF(overflow_mode="SAT"), parallelization_factor=parallel, **arguments)
    layer.build((None, 4, 2))
    scatter(layer)
    inputs = bits_of(independent, layer, "input", (4, 2))
    kernel = bits_of(independent, layer, "kernel", (2, 3 * WIDTHS[cls]))
    wanted = (parallel or 4) * ((inputs @ kernel).sum() / 4 + step_ebops(independent, layer))
    assert np.isclose(ebops(layer), wanted, rtol=1e-5)


@pytest.mark.parametrize(("cls", "arguments"), KINDS)
def test_training_moves_all_weights_and_bits(cls, arguments):
    layer = cls(3, activation="tanh", return_sequences=True, **arguments)
    model = keras.Sequential([keras.Input((4, 2)), layer, QDense(1)])
    model.compile(keras.optimizers.Adam(0.01), "mse")
    x = values(128, 4, 2)
    before = {variable.path: float64_of(variable) for variable in layer.trainable_variables}
    history = model.fit(x, np.cumsum(x[..., :1], 1), epochs=3, batch_size=32, verbose=0).history["loss"]
    assert history[-1] < history[0]
    still = [v.path for v in layer.trainable_variables if (before[v.path] == float64_of(v)).all()]
    assert still == []


@pytest.mark.parametrize(("cls", "arguments"), KINDS)
def test_a_frozen_model_is_saved_and_loaded_bit_for_bit(cls, arguments, tmp_path):
    model = applied(cls(2, return_state=True, **arguments))
    x = values(300, 4, 2) * 2
    calibrate(model, x)
    frozen = freeze(model)
    frozen.save(tmp_path / "frozen.keras")
    again = keras.saving.load_model(tmp_path / "frozen.keras")
    wanted = frozen.predict(x, verbose=0)
    assert all(map(np.array_equal, again.predict(x, verbose=0), wanted))
    report = verify(again, x)
    assert report.ok, str(report)
    assert all(row.float32_enough for row in report.layers)


def on_jax():
    return pytest.mark.skipif(keras.backend.backend() != "jax", reason="only jax compiles a loop faster than its steps")


def loops(layer, x):
    import jax

    return "scan" in str(jax.make_jaxpr(lambda x: layer(x))(x))


@on_jax()
@pytest.mark.parametrize("training", [False, True])
@pytest.mark.parametrize("arguments_of_all", [{"return_sequences": True, "go_backwards": True}, {"return_state": True}])
@pytest.mark.parametrize(("cls", "arguments"), KINDS)
def test_a_loop_gives_what_its_steps_give(cls, arguments, arguments_of_all, training):
    x = values(32, 5, 2)
    outputs, costs = [], []
    for unroll in (False, True):
        keras.utils.set_random_seed(1)
        with defaults(activation=KIF(overflow_mode="SAT_SYM"), ebops_beta=1e-6):
            layer = cls(3, unroll=unroll, **arguments, **arguments_of_all)
        outputs.append([float64_of(output) for output in keras.tree.flatten(layer(x, training=training))])
        costs.append(sum(float64_of(loss) for loss in layer.losses))
        assert loops(layer, x) != unroll
    assert all(map(np.array_equal, *outputs))
    assert costs[0] == costs[1] > 0


@on_jax()
def test_a_loop_trains_as_its_steps_do():
    x = values(64, 5, 2)
    losses = []
    for unroll in (False, True):
        keras.utils.set_random_seed(1)
        with defaults(activation=KIF(overflow_mode="SAT_SYM"), ebops_beta=1e-6):
            model = keras.Sequential([keras.Input((5, 2)), QGRU(3, unroll=unroll), QDense(1)])
        model.compile(keras.optimizers.Adam(0.01), "mse")
        losses.append(model.fit(x, x[:, :, 0].sum(1), epochs=3, batch_size=32, verbose=0).history["loss"])
    np.testing.assert_allclose(losses[0], losses[1], rtol=1e-5)


@on_jax()
@pytest.mark.parametrize("changing", [KIF(overflow_mode="WRAP"), KIF(overflow_mode="SAT", round_mode="S_RND")])
def test_no_loop_where_a_step_changes_state(changing):
    assert not QSimpleRNN(2, state_quantizer=changing).scans()
    assert QSimpleRNN(2, input_quantizer=changing).scans()


def test_inside_a_step_ranges_saturate_unless_told_otherwise():
    with defaults(activation={"kind": "kbi", "overflow_mode": "WRAP", "b": 5}):
        layer = QGRU(2, state_quantizer=KIF(overflow_mode="WRAP"))
    found = {quantizer.slot.name: quantizer.config for quantizer in layer.quantizers}
    assert found["input"].overflow_mode == "WRAP"
    assert found["state"].overflow_mode == "WRAP"
    assert {found[name].overflow_mode for name in ("activation", "recurrent_activation", "reset")} == {"SAT_SYM"}
    assert {found[name].b for name in ("input", "activation", "recurrent_activation", "reset")} == {5}


MODES = pytest.mark.parametrize("mode", ["concat", "sum", "mul", "ave", None])


@MODES
@pytest.mark.parametrize("sequences", [True, False])
def test_both_directions(mode, sequences):
    layer = layers.Bidirectional(QSimpleRNN(2, return_sequences=sequences, return_state=mode == "sum"), mode)
    model = applied(layer, (3, 2))
    x = values(200, 3, 2) * 2
    calibrate(model, x)
    report = verify(model, x)
    assert report.ok, str(report)
    assert ebops(model) == ebops(layer.forward_layer) + ebops(layer.backward_layer) > 0


@pytest.mark.parametrize("inner", [QDense(3, activation="relu"), layers.Flatten(), QSimpleRNN(2)])
def test_every_step(inner, tmp_path):
    model = applied(layers.TimeDistributed(inner), (3, 2, 2))
    x = values(200, 3, 2, 2) * 2
    calibrate(model, x)
    frozen = freeze(model)
    frozen.save(tmp_path / "frozen.keras")
    again = keras.saving.load_model(tmp_path / "frozen.keras")
    assert np.array_equal(again.predict(x, verbose=0), frozen.predict(x, verbose=0))
    assert verify(again, x).ok


def two_layers():
    return keras.Sequential([keras.Input((2,)), QDense(3), QDense(2)])


@pytest.mark.parametrize("make", [lambda: QDense(3), two_layers])
def test_every_step_costs(make):
    with defaults(ebops_beta=0.5):
        every, alone = applied(layers.TimeDistributed(make()), (4, 2)), applied(make(), (2,))
    every(values(8, 4, 2)), alone(values(8, 2))
    assert ebops(every) == summary(every).ebops == 4 * ebops(alone) > 0
    in_loss, once = (sum(float64_of(loss) for loss in model.losses) for model in (every, alone))
    assert np.isclose(in_loss, 4 * once, rtol=1e-6)
    assert np.isclose(once, 0.5 * ebops(alone), rtol=1e-4)


@pytest.mark.parametrize(
    ("arguments", "shape", "message"),
    [
        (
            {},
            (None, 2),
            "r: takes (batch, steps, features), steps and features of static size. Received: (None, None, 2).",
        ),
        ({}, (2,), "r: takes (batch, steps, features), steps and features of static size. Received: (None, 2)."),
        (
            {"parallelization_factor": 5},
            (4, 2),
            "r: parallelization_factor is at most the number of steps. Received: parallelization_factor=5 for 4 steps.",
        ),
    ],
)
def test_wrong_shapes(arguments, shape, message):
    with pytest.raises(ConfigError) as caught:
        applied(QSimpleRNN(2, name="r", **arguments), shape)
    assert str(caught.value) == message
