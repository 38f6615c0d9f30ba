"""Traced training is eager training: the same losses, and the same variables to the bit, whatever a training needs."""

from __future__ import annotations

import keras
import numpy as np
import pytest

from hgq2_core import BitOptimizer, ConfigError, jit
from hgq2_core.quantizers.bit_variables import is_bit_variable
from hgq2_layers import QDense, QEinsumDenseBatchNorm

torch = pytest.importorskip("torch")
pytestmark = [
    pytest.mark.once,
    pytest.mark.skipif(keras.backend.backend() != "torch", reason="jax and tensorflow compile Keras' own functions"),
]

if keras.backend.backend() == "torch":
    from hgq2_core.compilation import functions
    from hgq2_core.compilation.forms import Compiled, Forms
    from hgq2_core.compilation.functions import CompiledFunction
    from hgq2_core.compilation.payoff import Payoff
    from hgq2_core.compilation.remaining import RemainingSteps
    from hgq2_core.compilation.tracing import UntraceableError, trace

RANDOM = np.random.default_rng(0)
X = RANDOM.normal(size=(200, 8)).astype(np.float32)
Y = RANDOM.integers(0, 4, 200)
LOSS = keras.losses.SparseCategoricalCrossentropy(from_logits=True)
STEPS = ("train", "test", "predict")


def some_slow(names, fast):
    """Return parameters of which all but a few are slow."""
    return [pytest.param(name, marks=() if name in fast else pytest.mark.slow) for name in names]


def as_traced(graph, inputs):
    """Leave a graph uncompiled: what is compared is what was traced."""
    return graph


def traced(model):
    for step in STEPS:
        setattr(model, f"{step}_function", CompiledFunction(model, step, as_traced))
    return model


def mlp(*inside):
    keras.utils.set_random_seed(0)
    return keras.Sequential(
        [keras.Input((8,)), QDense(16, activation="relu", ebops_beta=1e-5), *inside, QDense(4, ebops_beta=1e-5)]
    )


def losses_of(model, x=X, y=Y, **options):
    losses = []
    record = keras.callbacks.LambdaCallback(on_train_batch_end=lambda batch, logs: losses.append(float(logs["loss"])))
    options["callbacks"] = [record, *options.pop("callbacks", [])]
    history = model.fit(x, y, batch_size=64, epochs=3, verbose=0, **options).history
    return losses, history


def values_of(model):
    return [keras.ops.convert_to_numpy(variable) for variable in (*model.variables, *model.optimizer.variables)]


def check(build, compile_options, *data, stays_eager=False, rtol=0.0, **options):
    """Train two models from one seed, eagerly and traced, and compare everything."""
    pairs = []
    for way in (lambda model: model, traced):
        model = build()
        model.compile(**{"loss": LOSS, **compile_options()})
        found = losses_of(way(model), *data, **options)
        pairs.append((found, values_of(model), model))
    (eager, wanted, _), (found, got, model) = pairs
    keras.tree.map_structure(lambda one, other: np.testing.assert_allclose(one, other, rtol=rtol, atol=0), found, eager)
    for one, other in zip(wanted, got, strict=True):
        np.testing.assert_allclose(one, other, rtol=rtol, atol=rtol)
    assert (model.train_function.reason is not None) == stays_eager, model.train_function.reason
    assert bool(model.train_function.forms.graphs) != stays_eager
    return model


OPTIMIZERS = {
    "adam": lambda: "adam",
    "sgd with momentum": lambda: keras.optimizers.SGD(0.05, momentum=0.9, nesterov=True),
    "adamw for weights alone": lambda: BitOptimizer(keras.optimizers.AdamW(0.01, weight_decay=0.1), 8.0),
    "lion": lambda: keras.optimizers.Lion(0.001),
    "nadam": lambda: keras.optimizers.Nadam(0.01),
    "rmsprop": lambda: keras.optimizers.RMSprop(0.01, centered=True),
    "clipped by norm": lambda: keras.optimizers.Adam(0.01, clipnorm=0.1),
    "clipped together": lambda: keras.optimizers.Adam(0.01, global_clipnorm=0.1),
    "clipped by value": lambda: keras.optimizers.Adam(0.01, clipvalue=0.01),
    "averaged": lambda: keras.optimizers.Adam(0.01, use_ema=True),
    "averaged now and then": lambda: keras.optimizers.Adam(0.01, use_ema=True, ema_overwrite_frequency=4),
    "rate that decays": lambda: keras.optimizers.Adam(keras.optimizers.schedules.CosineDecay(0.05, 9)),
    "accumulating": lambda: keras.optimizers.Adam(0.01, gradient_accumulation_steps=2),
    "scaled": lambda: keras.optimizers.LossScaleOptimizer(keras.optimizers.Adam(0.01)),
}
EAGER = {"nadam", "scaled"}
"""They compute with the values of tensors outside of torch, or decide by gradients."""
ROUNDED = {"sgd with momentum"}
"""Torch adds the product with the learning rate without rounding it first."""


@pytest.mark.parametrize("name", some_slow(OPTIMIZERS, fast=("adam", "accumulating")))
def test_optimizers(name):
    check(
        mlp,
        lambda: {"optimizer": OPTIMIZERS[name](), "metrics": ["accuracy"]},
        stays_eager=name in EAGER,
        rtol=1e-5 * (name in ROUNDED),
    )


LAYERS = {
    "dropout": lambda: [keras.layers.Dropout(0.2, seed=3)],
    "dropout without a seed": lambda: [keras.layers.Dropout(0.2)],
    "gaussian noise": lambda: [keras.layers.GaussianNoise(0.2, seed=3)],
    "stochastic rounding": lambda: [QDense(8, input_quantizer={"kind": "kif", "round_mode": "S_RND"})],
    "noise": lambda: [QDense(8, kernel_quantizer={"kind": "kbi", "noise": 0.5})],
    "batch normalization": lambda: [keras.layers.BatchNormalization()],
    "fused batch normalization": lambda: [QEinsumDenseBatchNorm("bc,cd->bd", 8, bias_axes="d")],
    "regularizers": lambda: [QDense(8, kernel_regularizer="l2", activity_regularizer="l1")],
    "a constraint": lambda: [QDense(8, kernel_constraint="max_norm")],
    "a layer that is not trained": lambda: [QDense(8, trainable=False)],
}


@pytest.mark.parametrize("name", some_slow(LAYERS, fast=("dropout",)))
def test_layers(name):
    check(lambda: mlp(*LAYERS[name]()), lambda: {"optimizer": "adam"})


DATA = {
    "sample weights": {"sample_weight": np.linspace(0, 1, 200, dtype=np.float32)},
    "class weights": {"class_weight": {0: 1.0, 1: 2.0, 2: 0.5, 3: 1.0}},
    "validation": {"validation_data": (X[:70], Y[:70])},
    "a rate that a callback changes": {
        "callbacks": [keras.callbacks.LearningRateScheduler(lambda epoch: 0.01 / (epoch + 1))]
    },
}


@pytest.mark.parametrize("name", some_slow(DATA, fast=()))
def test_data(name):
    check(mlp, lambda: {"optimizer": "adam", "metrics": ["accuracy"], "weighted_metrics": ["accuracy"]}, **DATA[name])


def two_inputs():
    keras.utils.set_random_seed(0)
    a, b = keras.Input((4,), name="a"), keras.Input((4,), name="b")
    hidden = keras.layers.Concatenate()([QDense(8)(a), QDense(8)(b)])
    return keras.Model({"a": a, "b": b}, {"c": QDense(4, name="c")(hidden), "d": QDense(1, name="d")(hidden)})


@pytest.mark.slow
def test_several_inputs_and_outputs():
    data = {"a": X[:, :4], "b": X[:, 4:]}, {"c": Y, "d": X[:, :1]}
    options = {"optimizer": "adam", "loss": {"c": LOSS, "d": "mse"}, "loss_weights": {"c": 1.0, "d": 0.5}}
    model = check(two_inputs, lambda: options, *data)
    wanted = keras.tree.map_structure(keras.ops.convert_to_numpy, model(data[0]))
    for _ in range(3):
        found = model.predict(data[0], batch_size=200, verbose=0)
    keras.tree.map_structure(np.testing.assert_array_equal, wanted, found)


@pytest.mark.slow
def test_single_batches():
    """By the functions that take one, in arrays: a structure of leaves, or a leaf alone."""
    eager, graph = mlp(), traced_mlp()
    eager.compile("adam", LOSS)
    for _ in range(3):
        for model in (eager, graph):
            model.train_on_batch(X[:64], Y[:64])
    assert eager.test_on_batch(X, Y) == graph.test_on_batch(X, Y) == graph.test_on_batch(X, Y)
    for _ in range(3):
        np.testing.assert_array_equal(eager.predict_on_batch(X), graph.predict_on_batch(X))
    assert all(getattr(graph, f"{step}_function").forms.graphs for step in STEPS)


def traced_mlp():
    model = mlp()
    model.compile("adam", LOSS)
    return traced(model)


@pytest.mark.slow
def test_a_change_of_what_is_trained_is_traced_anew():
    model = mlp()
    model.compile("adam", LOSS)
    traced(model)
    model.fit(X, Y, batch_size=100, epochs=2, verbose=0)
    model.layers[0].trainable = False
    held = keras.ops.convert_to_numpy(model.layers[0].kernel).copy()
    other = keras.ops.convert_to_numpy(model.layers[-1].kernel).copy()
    model.fit(X, Y, batch_size=100, epochs=2, verbose=0)
    np.testing.assert_array_equal(keras.ops.convert_to_numpy(model.layers[0].kernel), held)
    assert (keras.ops.convert_to_numpy(model.layers[-1].kernel) != other).any()
    assert len(model.train_function.forms.graphs) == 2


def graphed(keys):
    """Return the steps, by their keys, that a new graph is made for; a graph holds for every step with its key."""
    forms, made = Forms(), []
    for step, key in enumerate(keys):
        form = forms.of_next_step(key)
        if form.graph() is None and form.is_frequent(step + 1):
            form.add(Compiled(list, [], [], list))
            made.append(step)
    return made


def test_a_form_that_comes_now_and_then_gets_no_graph():
    assert graphed("aaabaaabaaab") == [1]
    assert graphed("ab" * 4) == [2, 3]
    assert graphed("a" * 9 + "b" * 9) == [1, 10]
    assert graphed(range(200)) == []


def test_a_step_has_a_few_graphs_alone(caplog, monkeypatch):
    monkeypatch.setattr(functions, "MAX_GRAPHS", 2)
    model = traced_mlp()
    for samples in (10, 11, 12, 13):
        for _ in range(3):
            model.predict_on_batch(X[:samples])
    assert len(model.predict_function.forms.graphs) == 2
    assert [record.message for record in caplog.records] == [
        f"{model.name}: the predict step is compiled for 2 forms of batches; batches of other shapes stay eager. "
        "Batches of one shape, such as padded ones, would share one graph."
    ]


@pytest.mark.parametrize(("steps", "compiles"), [(10, False), (1_000_000_000, True)])
def test_auto_compiles_what_pays(steps, compiles):
    model = mlp()
    model.compile("adam", LOSS)
    function = model.train_function = CompiledFunction(model, "train", as_traced, Payoff())
    function.payoff.end = steps
    for _ in range(5):
        model.train_on_batch(X[:64], Y[:64])
    assert function.payoff.operations > 100
    function.payoff.seconds = 1e-3
    model.train_on_batch(X[:64], Y[:64])
    assert bool(function.forms.graphs) == compiles


def test_fit_tells_how_many_steps_are_left():
    class Model:
        train_function = CompiledFunction(mlp(), "train", as_traced, Payoff())

    remaining = RemainingSteps()
    remaining.set_params({"epochs": 10, "steps": 7})
    remaining.set_model(Model())
    remaining.on_epoch_begin(8)
    assert Model.train_function.payoff.end == 14


def test_numbers_that_may_change_are_no_constants():
    """Whether they are variables, or changed by the graph itself, by a view too."""
    fixed, variable, changed = (torch.tensor(value) for value in (2.0, 3.0, 5.0))

    def step(x):
        changed.view(1).add_(1.0)
        return x * fixed + variable * changed

    found = trace(step, [torch.ones(3)], [variable])
    assert [tensor.item() for tensor in found.state] == [6.0, 3.0]
    assert found.graph(torch.ones(3), *found.state).tolist() == [2 + 3 * 7] * 3


def test_a_counter_that_the_step_has_changed_decides_nothing():
    """What it holds before the step would be another number."""

    def counts_first(x):
        counter.add_(1)
        return x + bool(counter % 2 == 0)

    counter = torch.zeros((), dtype=torch.int32)
    with pytest.raises(UntraceableError, match=r"^it takes a number out of a tensor$"):
        trace(counts_first, [torch.ones(3)], [counter])


class ReadsValues(keras.layers.Layer):
    def call(self, x):
        return x * float(keras.ops.max(x) > 0)


def test_what_reads_values_stays_eager_and_is_named(caplog):
    check(lambda: mlp(ReadsValues()), lambda: {"optimizer": "adam"}, stays_eager=True)
    assert (
        "the train step stays eager: Exception encountered when calling ReadsValues.call(). it takes a number out of a "
        "tensor, in call (test_jit.py:"
    ) in caplog.text


def test_a_graph_that_is_not_compiled_costs_no_training(caplog):
    def no_compiler(graph, inputs):
        raise RuntimeError("no C++ compiler")

    def trained(own_step):
        model = mlp()
        model.compile("adam", LOSS)
        model.train_function = CompiledFunction(model, "train", no_compiler) if own_step else None
        return losses_of(model)

    assert trained(own_step=True) == trained(own_step=False)
    assert "the train step stays eager: no C++ compiler." in caplog.text


def test_keras_own_compilation_is_refused_with_the_remedy():
    model = mlp()
    with pytest.warns(UserWarning) as warned:
        model.compile("adam", LOSS, jit_compile=True)
    assert not model.jit_compile
    assert str(warned[0].message) == (
        "compile(jit_compile=True) would let torch trace the Python of every layer, for minutes. The model trains "
        "eagerly. To compile its whole step, call hgq2_core.jit(model) after compile()."
    )


def test_a_model_without_a_loss_is_refused():
    with pytest.raises(
        ConfigError, match=r"^jit: \w+ has no optimizer and no loss yet. Call model.compile\(...\) first"
    ):
        jit(mlp())


@pytest.mark.slow
def test_compiled_training_is_eager_training():
    """200 steps; sums may be taken in another order, and a bit within 1e-5 of a half may round the other way."""
    eager, compiled = mlp(), mlp()
    for model in (eager, compiled):
        model.compile(keras.optimizers.Adam(0.01), LOSS, metrics=["accuracy"])
    jit(compiled)
    found = [
        [float(model.train_on_batch(X[:64], Y[:64], return_dict=True)["loss"]) for _ in range(200)]
        for model in (eager, compiled)
    ]
    np.testing.assert_allclose(found[1], found[0], rtol=1e-5)
    for one, other in zip(eager.variables, compiled.variables, strict=True):
        wanted, got = map(keras.ops.convert_to_numpy, (one, other))
        if is_bit_variable(one):
            away_from_half = np.abs(wanted % 1 - 0.5) > 1e-5
            np.testing.assert_array_equal(np.rint(wanted)[away_from_half], np.rint(got)[away_from_half])
    np.testing.assert_array_equal(compiled.predict(X, verbose=0), compiled(X).detach().numpy())
