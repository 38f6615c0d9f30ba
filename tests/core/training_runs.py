"""A tiny training that uses everything with state, and all that a run directory holds, to be compared with ==."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import keras
import yaml

from hgq2_core.config.model import ModelConfig
from hgq2_training.callbacks.checkpoint import Checkpoint

DOCUMENT = yaml.safe_load("""\
seed: 3
defaults:
  activation: {kind: kif, i: 3, f: 3, overflow_mode: WRAP}
model:
  inputs: {pixels: {shape: [64]}}
  layers:
    - {kind: dense, name: hidden, units: 3, activation: relu, kernel_quantizer: {kind: kbi, round_mode: S_RND}}
    - {kind: keras.Dropout, name: unseeded, rate: 0.2}
    - {kind: keras.Dropout, name: seeded, rate: 0.2, seed: 7}
    - {kind: dense, name: logits, units: 10}
data: {kind: digits}
training:
  optimizer:
    kind: adam
    learning_rate: {kind: exponential_decay, initial_learning_rate: 0.05, decay_steps: 4, decay_rate: 0.9}
    bit_learning_rate_scale: 8
  loss: {kind: sparse_categorical_crossentropy, from_logits: true}
  metrics: [accuracy]
  epochs: 7
  batch_size: 512
  callbacks:
    - {kind: beta_schedule, points: [[0, 1.0e-3], [4, 1.0e-7]]}
    - {kind: pareto_front, keep: 2}
""")


def config(**training: Any) -> ModelConfig:
    """Return the config, its training changed."""
    return ModelConfig.parse({**DOCUMENT, "training": {**DOCUMENT["training"], **training}})


def everything(directory: Path) -> dict[str, Any]:
    """Return every value that a run has left, by file: what two equal runs must have in common."""
    found = {str(path.relative_to(directory)): _content(path) for path in directory.rglob("*") if path.is_file()}
    assert "metrics.json" in found and "front/front.json" in found
    return found


def _content(path: Path) -> Any:
    if path.suffix == ".keras":
        model = keras.saving.load_model(path)
        # Not the seeds: Keras' files hold none, so that a loaded layer draws its own.
        variables = [*model.weights, *(model.optimizer.variables if model.optimizer else [])]
        return [keras.ops.convert_to_numpy(variable).tolist() for variable in variables]
    if path.suffix == ".npz":
        checkpoint = Checkpoint.read(path)
        return [checkpoint.epoch, checkpoint.stopped, [value.tolist() for value in checkpoint.variables]]
    if path.name == "metrics.json":
        return {name: value for name, value in json.loads(path.read_text()).items() if name != "seconds"}
    if path.name in ("report.html", "origin.json"):
        return None  # hold the seconds, and the date
    return path.read_text()
