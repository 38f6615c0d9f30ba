"""A traced step: all that it uses is an input, constants decide nothing, and assignments can be taken out of it."""

from __future__ import annotations

import keras
import pytest

torch = pytest.importorskip("torch")

pytestmark = [
    pytest.mark.once,
    pytest.mark.skipif(keras.backend.backend() != "torch", reason="jax and tensorflow compile Keras' own functions"),
]

if keras.backend.backend() == "torch":
    from torch._inductor.exc import InductorError

    from hgq2_core.compilation import inductor
    from hgq2_core.compilation.inductor import _assigning, _without_assignments, compiled
    from hgq2_core.compilation.tracing import trace


def traced(step, *variables):
    x = torch.arange(3.0)
    return x, trace(step, [x], variables)


def test_what_it_uses_is_an_input_and_nothing_else():
    state, scale = torch.zeros(3), torch.full((3,), 2.0)

    def step(x):
        state.add_(x * scale)
        return [state + 1]

    x, found = traced(step, state)
    assert [*found.graph.parameters(), *found.graph.buffers()] == []
    assert not [each for each in vars(found.graph).values() if isinstance(each, torch.Tensor)]
    assert sorted(each.tolist() for each in found.state) == [[0.0, 2.0, 4.0], [2.0, 2.0, 2.0]]
    assert found.graph(x, *found.state)[0].tolist() == [1.0, 5.0, 9.0]


def test_a_number_of_constants_alone_decides_nothing():
    def step(x):
        return [x * float(torch.tensor(float("nan")).isnan())]

    x, found = traced(step)
    assert found.decisions == []
    assert found.graph(x)[0].tolist() == [0.0, 1.0, 2.0]


def test_assignments_become_results():
    state = torch.zeros(3)

    def step(x):
        state.add_(x)
        state.mul_(2)
        return [state + x]

    x, found = traced(step, state)
    functional, changed = _without_assignments(found.graph, [x, *found.state])
    assert changed == [1]
    before = [each.clone() for each in found.state]
    value, result = functional(x, *before)
    assert before[0].tolist() == [0.0, 2.0, 4.0]
    assert value.tolist() == [0.0, 6.0, 12.0]
    assert result.tolist() == [0.0, 7.0, 14.0]


def test_what_is_assigned_is_no_input_that_another_assignment_changes():
    former, present = torch.zeros(3), torch.ones(3)

    def step(x):
        former.copy_(present)
        present.add_(x)
        return [x + 1]

    x, found = traced(step, former, present)
    inputs = [x, *found.state]
    functional, changed = _without_assignments(found.graph, inputs)
    values = functional(*inputs)[: len(changed)]
    assert len(changed) == 2
    assert not {each.data_ptr() for each in inputs} & {each.data_ptr() for each in values}
    (result,) = _assigning(functional, changed)(*inputs)
    assert sorted(each.tolist() for each in found.state) == [[1.0, 2.0, 3.0], [1.0, 3.0, 5.0]]
    assert result.tolist() == [1.0, 2.0, 3.0]


@pytest.mark.parametrize(("operations", "numbers", "forms"), [(1, 3, 2), (10, 3, 1), (10, 9, 2)])
def test_a_large_graph_of_few_numbers_is_compiled_in_one_form(monkeypatch, operations, numbers, forms):
    tried = []

    def refuse(graph, inputs):
        tried.append(graph)
        raise InductorError(ValueError("cannot fuse"), None)

    monkeypatch.setattr(inductor, "_compiled", refuse)
    monkeypatch.setattr(inductor, "MANY", 9)
    monkeypatch.setattr(inductor, "SMALL", 8)
    graph = torch.fx.Graph()
    x, y = graph.placeholder("x"), graph.placeholder("y")
    for _ in range(operations):
        graph.call_function(torch.ops.aten.add_.Tensor, (x, 1.0))
    graph.output([y])
    with pytest.raises(InductorError, match="cannot fuse"):
        compiled(torch.fx.GraphModule({}, graph), [torch.zeros(numbers), torch.zeros(1)])
    assert len(tried) == forms
