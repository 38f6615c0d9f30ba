"""Trees in ROOT files: flat branches, fixed-size arrays and padded lists, from a config to predictions of raw data."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from tiny_run import hgq2

from hgq2_core import ConfigError, DataError
from hgq2_core.testing import check_dataset
from hgq2_training import Root, predict

uproot = pytest.importorskip("uproot", reason="the extra hgq2-training[root]")
ak = pytest.importorskip("awkward")

LENGTHS = np.arange(60) % 4
CONFIG = """\
model:
  inputs: {event: {shape: [2]}, jets: {shape: [3, 2]}, valid: {shape: [3]}}
  layers:
    - {kind: keras.Flatten, name: flat, inputs: [jets]}
    - {kind: concatenate, name: all, inputs: [event, flat, valid]}
    - {kind: dense, name: kind, units: 2}
data:
  kind: root
  path: events.root
  tree: events
  x: {event: [met, ht], jets: [jet_pt, jet_eta], valid: mask(jet_pt)}
  y: {kind: is_signal}
  length: 3
  sample_weight: weight
training:
  loss: {kind: sparse_categorical_crossentropy, from_logits: true}
  metrics: [accuracy]
  epochs: 1
"""


def written(path: str, events: int = 60) -> dict[str, Any]:
    """Write a file as uproot does, and return what is in its tree."""
    rng = np.random.default_rng(0)
    lengths = LENGTHS[:events]
    branches = {
        "met": rng.exponential(size=events).astype(np.float32),
        "ht": rng.exponential(size=events),
        "cells": rng.normal(size=(events, 4)).astype(np.float32),
        "jet_pt": ak.unflatten(rng.exponential(size=lengths.sum()), lengths),
        "jet_eta": ak.unflatten(rng.normal(size=lengths.sum()), lengths),
        "is_signal": np.arange(events) % 2,
        "weight": rng.uniform(0.5, 2, events),
    }
    with uproot.recreate(path) as file:
        file.mktree(
            "events",
            {
                name: array.type
                if hasattr(array, "type")
                else array.dtype
                if array.ndim == 1
                else np.dtype((array.dtype, array.shape[1:]))
                for name, array in branches.items()
            },
        )
        file["events"].extend(branches)
        file["other"] = {"pt": branches["met"]}
    return branches


@pytest.fixture
def branches(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> dict[str, Any]:
    monkeypatch.chdir(tmp_path)
    return written("events.root")


def data(**arguments: Any) -> Root:
    return Root(**{"path": "events.root", "tree": "events", "y": "is_signal", **arguments})


def everything(dataset: Root) -> Any:
    """Return the inputs as they are in the file."""
    return dataset.inputs("events.root")


def test_flat_branches_are_stacked_and_arrays_keep_their_shape(branches: dict[str, Any]) -> None:
    flat = everything(data(x=["met", "ht"]))
    assert np.array_equal(flat, np.stack([branches["met"], branches["ht"]], axis=1))
    assert np.array_equal(everything(data(x="cells")), branches["cells"])
    assert everything(data(x=["met"])).shape == (60, 1)


def test_lists_are_padded_and_cut_and_have_a_mask(branches: dict[str, Any]) -> None:
    found = everything(data(x={"jets": ["jet_pt", "jet_eta"], "valid": "mask(jet_pt)"}, length=2))
    assert found["jets"].shape == (60, 2, 2)
    for entry, length in enumerate(LENGTHS):
        kept = min(length, 2)
        assert found["jets"][entry, :kept, 0].tolist() == branches["jet_pt"][entry].to_list()[:kept]
        assert not found["jets"][entry, kept:].any()
        assert found["valid"][entry].tolist() == [1.0] * kept + [0.0] * (2 - kept)


def test_what_is_cut_is_said(branches: dict[str, Any]) -> None:
    splits = data(x=["jet_pt", "jet_eta"], length=2).load()
    assert splits.notes == (
        "events.root: 'jet_pt': cut to 2 elements: 15 of 60 entries.",
        "events.root: 'jet_eta': cut to 2 elements: 15 of 60 entries.",
    )
    assert data(x=["jet_pt", "jet_eta"], length=3).load().notes == ()


def test_lists_of_one_length_by_chance_are_lists(tmp_path: Path) -> None:
    with uproot.recreate(tmp_path / "one.root") as file:
        file.mktree("t", {"pt": "var * float32", "y": "int64"})
        file["t"].extend({"pt": ak.Array([[1.0, 2.0]] * 9), "y": np.arange(9) % 3})
    with pytest.raises(DataError, match="has a list of float32 in each entry, the longest with 2 elements"):
        Root(path=str(tmp_path / "one.root"), x="pt", y="y").load()


def test_texts_are_labels(tmp_path: Path) -> None:
    with uproot.recreate(tmp_path / "text.root") as file:
        file["t"] = {"pt": np.arange(9.0), "kind": ak.Array(["muon", "tau", "muon"] * 3)}
    options: dict[str, Any] = {
        "path": str(tmp_path / "text.root"),
        "x": ["pt"],
        "y": "kind",
        "validation_fraction": 0.0,
    }
    splits = Root(**options, classes=["muon", "tau"]).load()
    assert sorted([*splits.train.y, *splits.test.y]) == [0] * 6 + [1] * 3
    with pytest.raises(DataError, match="'kind' holds text; `classes` names its classes"):
        Root(**options).load()


def test_from_config_to_predictions_of_new_raw_data(branches: dict[str, Any]) -> None:
    Path("model.yaml").write_text(CONFIG)
    hgq2("validate", "model.yaml")
    hgq2("train", "model.yaml", "-o", "run")
    assert "0 mismatches" in hgq2("verify", "run").stdout
    written("new.root", 5)
    hgq2("predict", "run", "new.root", "-o", "found.csv")
    assert len(Path("found.csv").read_text().splitlines()) == 6
    by_file = predict("run", "new.root", integers=True)
    by_array = predict(
        "run",
        {
            name: array[:5]
            for name, array in everything(
                data(x={"event": ["met", "ht"], "jets": ["jet_pt", "jet_eta"], "valid": "mask(jet_pt)"}, length=3)
            ).items()
        },
    )
    assert by_file.outputs["kind"].shape == (5, 2)
    assert by_array.outputs["kind"].shape == (5, 2)


def test_it_keeps_the_rules_of_data_sets(branches: dict[str, Any]) -> None:
    check_dataset({"kind": "root", "path": "events.root", "tree": "events", "x": ["met", "ht"], "y": "is_signal"})


@pytest.mark.parametrize(
    "arguments, message",
    [
        ({"x": "jet_pT"}, r"'jet_pT' is not in the tree. It holds: .*ht.* Did you mean 'jet_pt'\?"),
        ({"x": "jet_pt"}, r"the longest with 3 elements. To cut or pad them with zeros: `length: 3`; mask"),
        (
            {"x": ["met", "cells"]},
            r"branches of one list need one shape for an entry. Received: cells \(4,\), met \(\)",
        ),
        ({"x": "met,ht"}, r"'met,ht' is not in the tree. .* To stack branches, give a list: \[met, ht\]."),
        ({"x": "mask(met)"}, r"'met': only lists of different lengths have a mask. Received: float32"),
        ({"x": "met", "tree": None}, r"`tree` names one of several. The file has: events, other"),
        ({"x": "met", "tree": "event"}, r"no such tree. Received: 'event'. .* Did you mean 'events'\?"),
        ({"x": "met", "path": "none.root"}, "none.root: no such file"),
        ({"x": "met", "path": "https://example.org/events.root"}, "no such file"),
        ({"x": "met", "path": "empty.root"}, "empty.root: has no tree"),
        ({"x": "met", "path": "broken.root"}, "broken.root: not a ROOT file"),
        ({"x": "met", "path": "cut.root"}, "cut.root"),
    ],
)
def test_what_cannot_be_used_is_named(arguments: dict[str, Any], message: str, branches: dict[str, Any]) -> None:
    whole = Path("events.root").read_bytes()
    Path("broken.root").write_bytes(whole[:3])
    uproot.recreate("empty.root").close()
    Path("cut.root").write_bytes(whole[: len(whole) // 2])
    with pytest.raises(DataError, match=message):
        data(**arguments).load()


@pytest.mark.parametrize("name", ["memory_map", "x_test", "y_validation"])
def test_arguments_of_archives_are_refused(name: str) -> None:
    with pytest.raises(ConfigError, match=rf"`{name}` is of npz; parts of ROOT data are files: test_path"):
        Root(path="events.root", **{name: "x"})


def test_without_uproot_the_extra_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "uproot", None)
    with pytest.raises(DataError, match=r"needs uproot. To install it: pip install hgq2-training\[root\]"):
        Root(path="events.root").load()
