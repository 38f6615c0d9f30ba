"""A config that trains in seconds, and the command line in this process."""

from __future__ import annotations

from typer.testing import CliRunner

import hgq2_core.cli.main as cli

CONFIG = """\
seed: 3
model:
  inputs: {pixels: {shape: [64]}}
  layers:
    - {kind: dense, name: logits, units: 10}
data: {kind: digits}
training:
  optimizer: {kind: adam, learning_rate: 0.01}
  loss: {kind: sparse_categorical_crossentropy, from_logits: true}
  epochs: 1
  batch_size: 256
"""


def hgq2(*arguments, code=0):
    result = CliRunner().invoke(cli.app, [str(argument) for argument in arguments])
    assert result.exit_code == code, result.output
    return result
