"""Configs that several test modules share: a chain, a graph, the examples, and one that is changed in a place."""

import copy
from pathlib import Path

import pytest

from hgq2_core import ConfigError, ModelConfig
from hgq2_core.config.yaml_document import parse_yaml

EXAMPLES = sorted((Path(__file__).parents[2] / "examples").glob("*.yaml"))

VALID = parse_yaml(
    """
seed: 3
defaults:
  weight: {kind: kbi, b: 6, i: 0}
  ebops_beta: 1e-6
model:
  inputs: {pixels: {shape: [64]}}
  layers:
    - kind: dense
      name: hidden
      units: 32
      activation: relu
      kernel_quantizer: {kind: kbi, b: 5, granularity: channel}
    - {kind: keras.Dropout, rate: 0.1}
    - {kind: dense, name: logits, units: 10}
data: {kind: digits, test_fraction: 0.25}
training:
  optimizer: {kind: adam, learning_rate: 0.005, bit_learning_rate_scale: 8}
  loss: {kind: sparse_categorical_crossentropy, from_logits: true}
  metrics: [accuracy]
  epochs: 2
  callbacks: [{kind: beta_schedule, points: [[0, 1e-7], [100, 1e-5]]}]
""",
    "valid",
)

ABSENT = object()


def changed(path: str, value: object) -> dict:
    """Return the valid document with one value replaced, added or taken away."""
    document = copy.deepcopy(VALID)
    *parents, last = (int(part) if part.isdigit() else part for part in path.split("."))
    node = document
    for parent in parents:
        node = node[parent]
    if value is ABSENT:
        del node[last]
    else:
        node[last] = value
    return document


def message(document: object) -> str:
    with pytest.raises(ConfigError) as caught:
        ModelConfig.parse(document, "digits.yaml")
    return str(caught.value)


FUNCTIONAL = parse_yaml(
    """
model:
  name: two_towers
  inputs: {left: {shape: [4]}, right: {shape: [4]}}
  layers:
    - {kind: dense, name: a, inputs: left, units: 3}
    - {kind: dense, name: b, inputs: [right], units: 3}
    - {kind: keras.Add, name: sum, inputs: [a, b]}
    - {kind: keras.Concatenate, name: both, inputs: [a, sum], axis: -1}
    - {kind: dense, name: head, units: 2}
  outputs: [head, sum]
""",
    "functional",
)
