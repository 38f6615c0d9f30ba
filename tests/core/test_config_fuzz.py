"""Whatever a config file holds, checking it either succeeds or raises our own error."""

import copy
import math

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from hgq2_core import ModelConfig
from hgq2_core.config.yaml_document import parse_yaml
from hgq2_core.discovery.registry import registry
from hgq2_core.errors import HGQ2Error
from hgq2_core.schema.keras_objects import classes_by_name, keras_kinds

SEEDS = [
    parse_yaml(text, "seed")
    for text in (
        """
seed: 0
defaults: {weight: {kind: kbi, b: 6, i: 0}, activation: {kind: kif, f: 4, overflow_mode: WRAP}, ebops_beta: 1e-6}
model:
  inputs: {pixels: {shape: [64]}}
  layers:
    - {kind: dense, name: hidden, units: 32, activation: relu, kernel_quantizer: {kind: kbi, b_bounds: [0, 9]}}
    - {kind: keras.Dropout, rate: 0.1}
    - {kind: einsum_dense, equation: "ab,bc->ac", output_shape: [10], kernel_quantizer: {kind: kif, granularity: [0]}}
data: {kind: digits, test_fraction: 0.25}
training:
  optimizer: {kind: adam, learning_rate: {kind: cosine_decay, initial_learning_rate: 0.1, decay_steps: 9}}
  loss: {kind: sparse_categorical_crossentropy, from_logits: true}
  metrics: [accuracy, {kind: auc, num_thresholds: 9}]
  epochs: 200
  callbacks: [{kind: beta_schedule, points: [[0, 1e-7], [9, 1e-5]]}, {kind: pareto_front, metrics: [ebops]}]
""",
        """
model:
  name: graph
  inputs: {left: {shape: [4]}, right: {shape: [4, null], dtype: int32}}
  layers:
    - {kind: keras.Embedding, name: a, inputs: left, input_dim: 3, output_dim: 4, embeddings_initializer: {kind: ones}}
    - {kind: keras.Conv1D, name: b, inputs: [right], filters: 3, kernel_size: [3], kernel_regularizer: {kind: l1}}
    - {kind: keras.Add, name: sum, inputs: [a, b]}
    - {kind: dense, name: head, units: 2, bias_initializer: ones, kernel_constraint: {kind: max_norm}, dtype: float64}
  outputs: [head, sum]
training: {loss: huber, optimizer: sgd, callbacks: [{kind: keras.EarlyStopping, patience: 2}]}
""",
    )
]

NAMES = sorted(
    {
        *(kind for group in ("quantizers", "layers", "callbacks", "datasets") for kind in registry().names(group)),
        *keras_kinds("layers"),
        *(name for group in ("optimizers", "losses", "metrics", "initializers") for name in classes_by_name(group)),
        *(
            "kind",
            "name",
            "inputs",
            "units",
            "b",
            "WRAP",
            "relu",
            "hidden",
            "layers.1",
            "__class__",
            "os.system",
            "",
            "{x}",
        ),
    }
)

scalars = st.one_of(
    st.none(),
    st.booleans(),
    st.integers(-3, 70),
    st.sampled_from([10**12, -(10**30), 1 << 24, 0.5, -0.0, 1e-300, 1e300, math.nan, math.inf]),
    st.sampled_from(NAMES),
    st.text(max_size=5),
)
junk = st.recursive(
    scalars,
    lambda inner: (
        st.lists(inner, max_size=3) | st.dictionaries(st.sampled_from(NAMES) | st.text(max_size=3), inner, max_size=3)
    ),
    max_leaves=6,
)


def places(node: object, path: tuple = ()) -> list[tuple]:
    items = node.items() if isinstance(node, dict) else enumerate(node) if isinstance(node, list) else ()
    return [path, *(place for key, item in items for place in places(item, (*path, key)))]


@st.composite
def documents(draw: st.DrawFn) -> object:
    document = copy.deepcopy(draw(st.sampled_from(SEEDS)))
    for _ in range(draw(st.integers(1, 3))):
        path = draw(st.sampled_from(places(document)))
        if not path:
            continue
        node = document
        for key in path[:-1]:
            node = node[key]
        change = draw(st.sampled_from(["delete", "rename", "replace", "add", "move"]))
        if change == "delete":
            del node[path[-1]]
        elif change == "rename" and isinstance(node, dict):
            node[draw(st.sampled_from(NAMES) | st.text(max_size=5))] = node.pop(path[-1])
        elif change == "add" and isinstance(node, dict):
            node[draw(st.sampled_from(NAMES) | st.text(max_size=5))] = draw(junk)
        elif change == "move":
            source = document
            for key in draw(st.sampled_from(places(document))):
                source = source[key]
            node[path[-1]] = copy.deepcopy(source)
        else:
            node[path[-1]] = draw(junk)
    return document


def check(document: object) -> None:
    before = copy.deepcopy(document)
    try:
        config = ModelConfig.parse(document, "f.yaml")
    except HGQ2Error as error:
        assert str(error).startswith("f.yaml: ")
        assert "function-" not in str(error) and "literal[" not in str(error)
    else:
        assert ModelConfig.parse(config.to_dict()).to_dict() == config.to_dict()
    assert repr(document) == repr(before)


def test_the_seeds_are_valid() -> None:
    for document in SEEDS:
        ModelConfig.parse(document)


@given(documents())
@settings(max_examples=300, suppress_health_check=[HealthCheck.too_slow])
def test_a_damaged_config(document: object) -> None:
    check(document)


@pytest.mark.nightly
@given(documents())
@settings(max_examples=3000, suppress_health_check=[HealthCheck.too_slow])
def test_a_damaged_config_at_length(document: object) -> None:
    check(document)


@given(junk)
@settings(max_examples=100)
def test_a_document_of_junk(document: object) -> None:
    check(document)
