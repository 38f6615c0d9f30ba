"""Every private name of Keras that this project uses. If Keras changes one, a test here says which."""

from __future__ import annotations

import re
from pathlib import Path

import keras
import numpy as np
import pytest

import hgq2_core
from hgq2_core.keras_graph import private as _keras
from hgq2_core.quantizers.base import Quantizer
from hgq2_fixed_point import KIF

layers = keras.layers
USED = {
    *("_flatten_layers", "_nodes_by_depth", "_functional", "_keras_mask"),
    *("_inbound_nodes", "_outbound_nodes", "_keras_history"),
    *("_apply_weight_decay", "_backend_update_step", "_use_weight_decay"),
    *("_exclude_from_weight_decay", "_exclude_from_weight_decay_pattern"),
    *("_seed", "_rng"),  # of tensorflow's context
}


@pytest.fixture
def model():
    inputs = keras.Input((4,), name="x")
    hidden = layers.Dense(4, name="a")(inputs)
    return keras.Model(inputs, layers.Add(name="sum")([hidden, layers.ReLU(name="b")(hidden)]))


def test_these_are_all():
    """Pins the list above to the code: a new private name must come with a test."""
    source = Path(_keras.__file__).read_text()
    found = re.findall(r"(?:model|layer|optimizer|operation|tensor)\.(_[a-z_]+)|\"(_[a-z_]+)\"", source)
    assert {name for names in found for name in names if name} == USED


def test_no_other_module_uses_them():
    core = Path(hgq2_core.__file__).parent
    repository = core.parent
    files = [*core.rglob("*.py"), *(repository / "plugins").rglob("*.py")]
    assert len(files) > 30
    using = {path.name for path in files if any(re.search(rf"\.{name}\b", path.read_text()) for name in USED)}
    # Keras' base calls the method of ours by this name.
    assert using == {"private.py"}


@pytest.fixture
def variable():
    return keras.Variable([2.0, 4.0], name="kernel")


def optimizer(**arguments):
    return keras.optimizers.SGD(0.5, **arguments)


def test_an_update_decays_and_steps_and_does_nothing_else(variable):
    variable.constraint = keras.constraints.NonNeg()
    sgd = optimizer(weight_decay=0.5, clipnorm=0.125)
    sgd.build([variable])
    _keras.update(sgd, [keras.ops.convert_to_tensor([2.0, 16.0])], [variable])
    assert keras.ops.convert_to_numpy(variable).tolist() == [2 - 0.5 - 1.0, 4 - 1.0 - 8.0]
    assert int(keras.ops.convert_to_numpy(sgd.iterations)) == 0


def test_the_base_clips_and_accumulates_before_it_calls_the_update(variable):
    seen = []

    class Own(keras.optimizers.Optimizer):
        def _backend_update_step(self, grads, trainable_variables, learning_rate):
            seen.append((keras.ops.convert_to_numpy(grads[0]).tolist(), trainable_variables, float(learning_rate)))

    own = Own(0.5, clipvalue=3.0)
    own.apply([keras.ops.convert_to_tensor([2.0, 16.0])], [variable])
    (grads, variables, rate), *more = seen
    assert (grads, rate, more) == ([2.0, 3.0], 0.5, [])
    assert variables[0] is variable
    assert keras.ops.convert_to_numpy(variable).tolist() == [2.0, 4.0]


@pytest.mark.parametrize("by", ["var_list", "var_names"])
def test_exclusions_from_decay_are_seen_and_copied(by, variable):
    source, target = optimizer(weight_decay=0.5), optimizer(weight_decay=0.5)
    assert _keras.uses_weight_decay(source, variable)
    source.exclude_from_weight_decay(**{by: [variable] if by == "var_list" else ["kern"]})
    _keras.copy_weight_decay_exclusions(source, target)
    other = keras.Variable([1.0], name="bias")
    for each in (source, target):
        assert (_keras.uses_weight_decay(each, variable), _keras.uses_weight_decay(each, other)) == (False, True)
    _keras.copy_weight_decay_exclusions(optimizer(), untouched := optimizer())
    assert _keras.uses_weight_decay(untouched, variable)


def test_flatten_layers_gives_the_layer_and_all_inside(model):
    outer = keras.Sequential([keras.Input((4,)), model, layers.Dense(2, name="last")], name="outer")
    names = [layer.name for layer in outer._flatten_layers()]
    assert names[0] == "outer"
    assert len(names) == len(set(names))
    assert {"outer", "a", "b", "sum", "last", model.name} <= set(names)
    assert _keras.flatten_layers(outer) == list(outer._flatten_layers())


def test_keras_mask_stands_beside_the_tensor():
    plain = keras.Input((3, 4))
    assert _keras.mask_of(plain) is None
    assert tuple(_keras.mask_of(layers.Masking()(plain)).shape) == (None, 3)


def test_nodes_by_depth_hold_operation_and_tensors(model):
    depths = model._nodes_by_depth
    assert sorted(depths, reverse=True) == list(range(max(depths), -1, -1))
    found = [
        (layer.name, [tuple(t.shape) for t in inputs], [tuple(t.shape) for t in outputs])
        for layer, inputs, outputs in _keras.nodes(model)
    ]
    one = [(None, 4)]
    assert found == [("a", one, one), ("b", one, one), ("sum", one * 2, one)]


def test_nodes_hold_what_an_operation_is_called_with(model):
    a, b = model.get_layer("a"), model.get_layer("b")
    called = list(_keras.calls(model))
    assert [(layer.name, kwargs) for layer, _, kwargs in called] == [("a", {}), ("b", {}), ("sum", {})]
    inputs = [keras.tree.flatten(args) for _, args, _ in called]
    wanted = [model.inputs, [a.output], [a.output, b.output]]
    assert [list(map(id, each)) for each in inputs] == [list(map(id, each)) for each in wanted]


def test_keyword_arguments_of_a_node_stand_under_their_names():
    x = keras.Input((3, 4))
    attention = layers.MultiHeadAttention(1, 2, name="attention")
    ((layer, args, kwargs),) = _keras.calls(keras.Model(x, attention(x, value=x, use_causal_mask=True)))
    assert (layer, len(args), kwargs["use_causal_mask"]) == (attention, 1, True)
    assert args[0] is kwargs["value"] is x


def test_a_graph_runs_in_the_order_of_its_nodes(model):
    seen = []

    def apply(layer, *args, **kwargs):
        seen.append(layer.name)
        return layer(*args, **kwargs)

    x = np.random.default_rng(0).normal(size=(3, 4)).astype(np.float32)
    (result,) = _keras.run_graph(model, [keras.ops.convert_to_tensor(x)], apply)
    assert seen == ["a", "b", "sum"]
    assert np.array_equal(keras.ops.convert_to_numpy(result), keras.ops.convert_to_numpy(model(x)))


def test_a_graph_runs_on_values_that_are_no_tensors(model):
    class Value:
        def __init__(self, text):
            self.text = text

    def apply(layer, *args, **kwargs):
        values = args[0] if isinstance(args[0], list) else args
        return Value(f"{layer.name}({','.join(value.text for value in values)})")

    (result,) = _keras.run_graph(model, [Value("x")], apply)
    assert result.text == "sum(a(x),b(a(x)))"


def test_masks_that_keras_does_not_record_are_among_the_arguments():
    """Keras records a mask for a layer that is called with one tensor; for several, it finds it at each call."""
    x = keras.Input((3, 4))
    masked = layers.Masking(name="masking")(x)
    attention = layers.MultiHeadAttention(1, 2, name="attention")
    model = keras.Model(x, attention(masked, masked))
    *_, (layer, _, kwargs) = _keras.calls(model)
    assert layer is attention
    assert kwargs["query_mask"] is kwargs["value_mask"] is _keras.mask_of(masked)
    seen = []

    def apply(layer, *args, **kwargs):
        seen.append(layer.name)
        return layer(*args, **kwargs)

    samples = np.array([[[1, 2, 3, 4], [0] * 4, [0] * 4]], np.float32)
    (result,) = _keras.run_graph(model, [keras.ops.convert_to_tensor(samples)], apply)
    assert (seen[0], seen[-1], len(seen)) == ("masking", "attention", 4)
    assert np.allclose(keras.ops.convert_to_numpy(result), keras.ops.convert_to_numpy(model(samples)), atol=1e-6)


def test_operations_on_tensors_have_names_arguments_and_a_place_in_the_graph(model):
    x = keras.Input((4,))
    hidden = model(x)
    total = hidden + 2.0
    operation, args, kwargs, index = _keras.producer(total)
    assert (_keras.operation_name(operation), len(args), kwargs, index) == ("add", 2, {}, 0)
    assert (args[0] is hidden, args[1]) == (True, 2.0)
    assert _keras.operation_class("add") is type(operation)
    assert _keras.inbound_calls(operation) == [(args, kwargs)]
    assert _keras.producer(x) is None
    ((consumer, (tensor,)),) = _keras.consumers(model)
    assert (consumer is operation, tensor is hidden) == (True, True)
    names = {"get_item": x[:, 1:], "true_divide": x / 2, "relu": keras.ops.relu(x)}
    assert {name: _keras.operation_name(_keras.producer(each)[0]) for name, each in names.items()} == {
        name: name for name in names
    }
    assert _keras.operation_name(model.get_layer("a")) is None
    assert _keras.operation_class("nothing") is None


def test_a_sequential_model_has_a_functional_one_once_built():
    model = keras.Sequential([layers.Dense(2)])
    assert _keras.functional(model) is None
    model.build((None, 4))
    assert isinstance(model._functional, keras.Model)
    assert _keras.functional(model) is model._functional


def test_functional_models_are_told_from_subclassed_ones(model):
    class Own(keras.Model):
        def call(self, x):
            return x

    assert _keras.functional(model) is model
    assert _keras.functional(Own()) is None
    assert _keras.functional(layers.Dense(2)) is None


def test_keras_wraps_quantize_and_we_undo_it():
    """`Layer.__new__` replaces `quantize`, its own name for int8 conversion, on each instance that has it."""

    class Plain(layers.Layer):
        def quantize(self, mode):
            return mode

    assert "quantize" in vars(Plain()), "Keras wraps no more: Quantizer.__new__ can go."
    quantizer = KIF(overflow_mode="SAT", granularity="tensor").build()
    assert "quantize" not in vars(quantizer)
    assert quantizer.quantize.__func__ is type(quantizer).quantize
    assert issubclass(type(quantizer), Quantizer)
    quantizer.build((2,))
    quantizer.quantize(keras.ops.convert_to_tensor([0.3, 0.5]), True)
    assert [variable.name for variable in quantizer.variables] == ["f", "i"]


def test_unallocated_layers_have_shapes_and_wait_for_nothing():
    """Keras lists variables made in a stateless scope, and gives them their values when such a scope is left."""
    waiting = _keras.global_state.get_global_attribute
    with keras.StatelessScope(initialize_variables=False):
        mine = layers.Dense(2)
        mine.build((None, 3))
        assert waiting("uninitialized_variables") == mine.weights
    with _keras.unallocated():
        large = layers.Dense(1 << 24)
        large.build((None, 1 << 24))
        assert [tuple(weight.shape) for weight in large.weights] == [(1 << 24, 1 << 24), (1 << 24,)]
        assert waiting("uninitialized_variables") == large.weights
    assert waiting("uninitialized_variables") == mine.weights
    with keras.StatelessScope():
        pass
    assert waiting("uninitialized_variables") == []
    assert mine.get_weights()[0].shape == (3, 2)


def test_keras_keeps_one_object_for_the_time_of_an_outermost_call(model):
    saw = []

    class Watching(layers.Layer):
        def call(self, inputs):
            saw.append(_keras.outermost_call())
            return inputs

    inputs = keras.Input((4,), name="x")
    watched = keras.Model(inputs, Watching(name="second")(Watching(name="first")(inputs)))
    saw.clear()
    values = np.zeros((1, 4), "float32")
    assert _keras.outermost_call() is None
    watched(values)
    watched(values)
    watched.stateless_call([], [], values)
    first, second, stateless = saw[:2], saw[2:4], saw[4:]
    saw.clear()
    watched.layers[1].compute_output_spec(keras.KerasTensor((1, 4)))
    assert {*saw} == {None}
    assert all(one is other is not None for one, other in (first, second, stateless))
    assert first[0] is not second[0]
    assert stateless[0] not in (first[0], second[0])
    assert _keras.outermost_call() is None


def test_keras_knows_the_model_whose_call_is_the_outermost(model):
    saw = []

    class Watching(layers.Layer):
        def call(self, inputs):
            saw.append(_keras.running_model())
            return inputs

        def compute_output_shape(self, input_shape):
            return input_shape

    inputs = keras.Input((4,), name="x")
    watched = keras.Model(inputs, layers.TimeDistributed(Watching())(layers.Reshape((2, 2))(inputs)))
    saw.clear()
    watched(np.zeros((1, 4), "float32"))
    assert {id(each) for each in saw} == {id(watched)}
    assert _keras.running_model() is None


def test_keras_asks_a_cell_for_its_dropout_in_front_of_a_loop():
    asked = []

    class Cell(layers.Layer, _keras.dropout_cell()):
        state_size = output_size = 2

        def get_dropout_mask(self, step_input):
            asked.append(("inputs", step_input.shape))

        def get_recurrent_dropout_mask(self, step_input):
            asked.append(("state", step_input.shape))

        def reset_dropout_mask(self):
            asked.append("forget")

        def reset_recurrent_dropout_mask(self):
            asked.append("forget")

        def call(self, inputs, states):
            asked.append("step")
            return states[0], states

    layers.RNN(Cell(), unroll=True)(np.zeros((1, 2, 3), "float32"))
    assert asked[-6:] == [("inputs", (1, 3)), ("state", (1, 2)), "step", "step", "forget", "forget"]


def test_keras_says_when_it_saves_hdf5(tmp_path):
    saw = []

    class Telling(layers.Dense):
        def get_config(self):
            saw.append(_keras.saves_hdf5())
            return super().get_config()

    model = keras.Sequential([keras.Input((2,)), Telling(1)])
    assert not _keras.saves_hdf5()
    model.save(tmp_path / "model.keras")
    model.save(tmp_path / "model.h5")
    assert saw == [False, True]


def test_keras_keeps_the_seed_and_the_generator_that_it_makes_of_it():
    keras.utils.set_random_seed(4)
    keras.random.uniform(())
    restore = _keras.hold_seeds()
    second = float(keras.random.uniform(()))
    _keras.forget_seeds()
    restore()
    assert float(keras.random.uniform(())) == second
    assert _keras.global_state.get_global_attribute("global_random_seed") == 4


@pytest.mark.skipif(keras.backend.backend() != "tensorflow", reason="the stream is tensorflow's")
def test_tensorflow_keeps_its_seed_and_stream_in_its_context():
    import tensorflow as tf

    tf.random.set_seed(4)
    restore = _keras.hold_tensorflow_seed()
    first = float(tf.random.uniform(()))
    restore()
    assert float(tf.random.uniform(())) == first
