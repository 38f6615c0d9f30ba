"""Data as people have them, on the command line: from a config to verified, exported, and predicted on new raw data."""

from __future__ import annotations

import csv
import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from tiny_run import hgq2

TABLE = """\
model:
  inputs: {x: {shape: [4]}}
  layers: [{kind: dense, name: logits, units: 4}]
data:
  kind: csv
  path: data.csv
  target: particle
  classes: [electron, muon, tau, hadron]
  sample_weight: weight
  missing: mean
  categorical: {detector: one_hot}
  log: [energy]
  standardize: true
training:
  loss: {kind: sparse_categorical_crossentropy, from_logits: true}
  class_weight: balanced
  metrics: [accuracy]
  epochs: 1
"""

ARCHIVE = """\
model:
  inputs: {tracker: {shape: [4]}, calorimeter: {shape: [3]}}
  layers:
    - {kind: concatenate, name: both, inputs: [tracker, calorimeter]}
    - {kind: dense, name: sum, units: 1, inputs: [both]}
    - {kind: dense, name: signal, units: 2, inputs: [both]}
  outputs: [sum, signal]
data:
  kind: npz
  path: data.npz
  x: {tracker: tracks, calorimeter: cells}
  y: {sum: energy, signal: kind}
  classes: {signal: ["no", "yes"]}
  standardize: true
training:
  loss: {sum: mean_squared_error, signal: {kind: sparse_categorical_crossentropy, from_logits: true}}
  metrics: {signal: [accuracy]}
  epochs: 1
"""


@pytest.fixture(autouse=True)
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)


def exported(config: str) -> dict[str, Any]:
    """Train, verify and export; return what `ports.json` says."""
    Path("model.yaml").write_text(config)
    hgq2("validate", "model.yaml")
    hgq2("train", "model.yaml", "-o", "run")
    assert "0 mismatches" in hgq2("verify", "run").stdout
    hgq2("export", "run", "--to", "cpp", "-o", "out")
    return json.loads(Path("out/ports.json").read_text())  # type: ignore[no-any-return]


def predicted(data: str) -> list[dict[str, str]]:
    """Return the predictions for a file, equal by Keras and by integers."""
    hgq2("predict", "run", data, "-o", "keras.csv")
    hgq2("predict", "run", data, "-o", "integers.csv", "--integers")
    assert Path("keras.csv").read_text() == Path("integers.csv").read_text()
    return list(csv.DictReader(Path("keras.csv").read_text().splitlines()))


def test_an_imbalanced_table_with_weights_texts_and_a_missing_cell() -> None:
    random = np.random.default_rng(0)
    names = ["electron", "muon", "tau", "hadron"]
    lines = [
        f"{np.exp(random.normal(label)):.4f},{random.normal(label):.3f},{'io'[label % 2]},{names[label]},{1 + label}"
        for label in random.choice(4, 200, p=[0.7, 0.2, 0.07, 0.03])
    ]
    lines[5] = "," + lines[5].partition(",")[2]
    Path("data.csv").write_text("\n".join(["energy,width,detector,particle,weight", *lines]))
    ports = exported(TABLE)
    steps = ports["preprocessing"]["input"]
    assert [step["kind"] for step in steps] == ["columns", "fill", "log", "standardize"]
    Path("new.csv").write_text("detector,width,energy\no,0.1,2.5\ni,1.5,\n")
    rows = predicted("new.csv")
    assert len(rows) == 2 and {row["class"] for row in rows} <= {*names}


def test_an_archive_of_two_inputs_and_two_outputs() -> None:
    random = np.random.default_rng(0)
    x = random.normal(size=(200, 7))
    new = {"tracks": x[:6, :4], "cells": x[:6, 4:]}
    targets = {"energy": x.sum(axis=1, keepdims=True), "kind": np.where(x[:, 0] > 0, "yes", "no")}
    np.savez("data.npz", tracks=x[:, :4], cells=x[:, 4:], **targets)
    ports = exported(ARCHIVE)
    assert [port["name"] for port in ports["inputs"]] == ["tracker", "calorimeter"]
    steps = ports["preprocessing"]["inputs"]
    assert {name: [step["kind"] for step in own] for name, own in steps.items()} == {
        "tracker": ["standardize"],
        "calorimeter": ["standardize"],
    }
    np.savez("new.npz", **new)
    rows = predicted("new.npz")
    assert len(rows) == 6 and {row["signal_class"] for row in rows} <= {"no", "yes"}
