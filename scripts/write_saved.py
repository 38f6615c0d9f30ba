"""Write what the present version saves, for the tests of all later ones: tests/golden/saved/VERSION.tar.xz.

It holds a config, a run directory trained from it with its checkpoint, the trained and the frozen model, and what they
computed. `make release` asks for the file of the version that is released; those of released versions never change.

    python scripts/write_saved.py
"""

from __future__ import annotations

import tarfile
import tempfile
from pathlib import Path

import numpy as np

import hgq2_core
from hgq2_training import Digits
from hgq2_training.runs.train import train

SAVED = Path(__file__).parents[1] / "tests" / "golden" / "saved"
CONFIG = """\
seed: 0
defaults:
  weight: {kind: fixed_point.kbi, b: 4, i: 0, granularity: channel}
  bias: {kind: fixed_point.kif, i: 2, f: 4}
  activation: {kind: fixed_point.kif, i: 3, f: 3, overflow_mode: WRAP, granularity: tensor}
  table: {kind: fixed_point.kif, i: 1, f: 4, granularity: tensor}
  ebops_beta: 1.0e-6
model:
  inputs: {pixels: {shape: [8, 8]}}
  layers:
    - {kind: layers.conv1d_batch_norm, name: conv, filters: 4, kernel_size: 2, activation: relu}
    - {kind: layers.gru, name: gru, units: 4, return_sequences: true}
    - kind: attention.multi_head_attention
      name: attention
      num_heads: 1
      key_dim: 2
      difference_quantizer: {kind: fixed_point.kif, k: 0, i: 3, f: 2, overflow_mode: SAT}
      attention_quantizer: {kind: fixed_point.kif, k: 0, i: 0, f: 4, overflow_mode: SAT}
    - {kind: layers.add, name: sum, inputs: [gru, attention]}
    - {kind: layers.layer_normalization, name: norm}
    - {kind: layers.unary_function, name: bend, activation: tanh}
    - {kind: keras.Flatten, name: flat}
    - {kind: layers.dense, name: floats, units: 4, kernel_quantizer: {kind: minifloat.minifloat, m: 2, e: 3, e0: 0}}
    - {kind: layers.dense, name: three, units: 4, kernel_quantizer: fixed_point.ternary}
    - {kind: layers.dense, name: logits, units: 10, kernel_quantizer: fixed_point.power_of_two}
data: {kind: training.digits, shape: [8, 8]}
training:
  optimizer: {kind: adamw, learning_rate: 0.01}
  loss: {kind: sparse_categorical_crossentropy, from_logits: true}
  metrics: [accuracy]
  epochs: 2
  batch_size: 256
  callbacks:
    - {kind: training.beta_schedule, points: [[0, 1.0e-7], [2, 1.0e-6]]}
    - {kind: training.pareto_front, metrics: [val_accuracy, ebops], keep: 1}
"""
LEFT_OUT = {"report.html", ".lock"}
"""Of a run: pages are written anew, and no process holds this one."""


def main() -> None:
    """Train, and pack what was saved."""
    SAVED.mkdir(exist_ok=True)
    with tempfile.TemporaryDirectory() as folder:
        root = Path(folder)
        (root / "config.yaml").write_text(CONFIG, encoding="utf-8")
        config = hgq2_core.load_config(root / "config.yaml")
        run = train(config, root / "run")
        x = Digits(shape=[8, 8]).load().test.x[:32]
        models = {name: hgq2_core.load_model(root / "run" / f"{name}.keras") for name in ("model", "frozen")}
        outputs = {name: model.predict(x, verbose=0) for name, model in models.items()}
        np.savez(root / "values.npz", x=x, ebops=run.metrics["ebops"], **outputs)
        with tarfile.open(SAVED / f"{hgq2_core.__version__}.tar.xz", "w:xz") as archive:
            archive.add(root, ".", filter=lambda member: None if Path(member.name).name in LEFT_OUT else member)


if __name__ == "__main__":
    main()
