"""Arrays in HDF5 files: the parts of npz, read piece by piece, from a config to predictions for new raw data."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import h5py
import numpy as np
import pytest
from tiny_run import hgq2

from hgq2_core import ConfigError, DataError, load_config
from hgq2_core.data.arrays import Rows
from hgq2_core.files import read_json
from hgq2_core.testing import check_dataset
from hgq2_training import Hdf5, Npz, predict
from hgq2_training.runs.train import train

CONFIG = """\
model:
  inputs: {left: {shape: [4]}, right: {shape: [3]}}
  layers:
    - {kind: concatenate, name: both, inputs: [left, right]}
    - {kind: dense, name: species, units: 2}
data:
  kind: hdf5
  path: events.h5
  x: {left: events/a, right: events/b}
  y: {species: events/kind}
  classes: {species: [background, signal]}
  sample_weight: weight
  standardize: true
training:
  loss: {kind: sparse_categorical_crossentropy, from_logits: true}
  metrics: [accuracy]
  epochs: 1
"""


@pytest.fixture
def arrays(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> dict[str, Any]:
    monkeypatch.chdir(tmp_path)
    rng = np.random.default_rng(0)
    found = {
        "events/a": rng.normal(3, 2, (60, 4)),
        "events/b": rng.normal(size=(60, 3)).astype(np.float32),
        "events/kind": np.where(rng.random(60) > 0.5, "signal", "background"),
        "weight": rng.uniform(0.5, 2, 60),
        "label": np.arange(60) % 2,
    }
    with h5py.File("events.h5", "w") as file:
        for name, array in found.items():
            file[name] = array.astype(h5py.string_dtype()) if array.dtype.kind == "U" else array
    np.savez("events.npz", **{name.replace("/", "."): array for name, array in found.items()})
    return found


def test_a_file_gives_the_parts_of_the_same_archive(arrays: dict[str, Any]) -> None:
    options = {"sample_weight": "weight", "standardize": True, "y": "label"}
    stored = Hdf5(path="events.h5", x="events/a", **options).load()
    packed = Npz(path="events.npz", x="events.a", memory_map=True, **options).load()
    assert isinstance(stored.train.x, Rows)
    for name, part in packed.parts.items():
        own = stored.parts[name]
        assert np.array_equal(np.asarray(own.x), np.asarray(part.x))
        assert np.array_equal(own.y, part.y) and np.array_equal(own.weight, part.weight)


@pytest.mark.parametrize("rows", [[5], [7, 3, 3, 59], [0, 1, 2], [59, 0], []], ids=str)
def test_rows_are_read_in_any_order(arrays: dict[str, Any], rows: list[int]) -> None:
    x = Hdf5(path="events.h5", x="events/a", y="label").load().train.x
    whole = Rows(x.source, np.arange(60))
    assert np.array_equal(whole[np.array(rows, int)], arrays["events/a"][np.array(rows, int)])
    assert np.array_equal(whole[4], arrays["events/a"][4])


def test_from_config_to_predictions_of_new_raw_data(arrays: dict[str, Any], tmp_path: Path) -> None:
    Path("model.yaml").write_text(CONFIG)
    hgq2("validate", "model.yaml")
    hgq2("train", "model.yaml", "-o", "run")
    assert "0 mismatches" in hgq2("verify", "run").stdout
    with h5py.File("new.h5", "w") as file:
        file["events/a"], file["events/b"] = arrays["events/a"][:5], arrays["events/b"][:5]
    hgq2("predict", "run", "new.h5", "-o", "found.csv")
    assert len(Path("found.csv").read_text().splitlines()) == 6
    by_file = predict("run", "new.h5", integers=True)
    by_array = predict("run", {"left": arrays["events/a"][:5], "right": arrays["events/b"][:5]})
    assert np.array_equal(by_file.outputs["species"], by_array.outputs["species"])
    assert set(by_file.classes) <= {"background", "signal"}
    assert load_config("run/config.yaml").data.kind == "training.hdf5"


def test_it_keeps_the_rules_of_data_sets(arrays: dict[str, Any]) -> None:
    check_dataset({"kind": "hdf5", "path": "events.h5", "x": "events/a", "y": "label"})


def test_what_cannot_be_used_is_named(arrays: dict[str, Any]) -> None:
    with pytest.raises(DataError, match=r"'events/c' is not in the file. It holds: .*events/a"):
        Hdf5(path="events.h5", x="events/c", y="label").load()
    with pytest.raises(DataError, match=r"events.npz: not an HDF5 file"):
        Hdf5(path="events.npz", x="x", y="label").load()
    with pytest.raises(DataError, match=r"none.h5: no such file"):
        Hdf5(path="none.h5", x="x", y="label").load()
    with pytest.raises(ConfigError, match="`memory_map` is of npz"):
        Hdf5(path="events.h5", memory_map=True)


def test_arrays_that_lie_in_other_files_are_refused(arrays: dict[str, Any]) -> None:
    np.arange(120.0).tofile("private.bin")
    layout = h5py.VirtualLayout((60, 4), "f8")
    layout[:] = h5py.VirtualSource("events.h5", "events/a", (60, 4))
    inside = h5py.VirtualLayout((60,), "i8")
    inside[:] = h5py.VirtualSource(".", "own", (60,))
    with h5py.File("received.h5", "w") as file:
        file.create_dataset("outside", (60, 2), "f8", external=[("private.bin", 0, 960)])
        file.create_virtual_dataset("virtual", layout)
        file["own"] = arrays["label"]
        file.create_virtual_dataset("label", inside)
        file["x"] = arrays["events/a"]
    for name, other in (("outside", "private.bin"), ("virtual", "events.h5")):
        with pytest.raises(DataError, match=f"'{name}' lies in other files: {other}"):
            Hdf5(path="received.h5", x=name, y="label").load()
    assert len(Hdf5(path="received.h5", x="x", y="label").load().train) > 0


def test_a_front_has_the_weighted_losses_of_the_history(arrays: dict[str, Any], tmp_path: Path) -> None:
    front = "  callbacks: [{kind: pareto_front, metrics: [val_loss, ebops]}]\n"
    Path("weighted.yaml").write_text(CONFIG.replace("metrics: [accuracy]", "metrics: []") + front)
    train(load_config("weighted.yaml"), tmp_path / "run")
    (epoch,) = read_json(tmp_path / "run" / "history.json", [])
    (entry,) = read_json(tmp_path / "run" / "front" / "front.json", {})["entries"]
    splits = load_config("weighted.yaml").load_data()
    assert splits.validation is not None and splits.validation.weight is not None
    assert entry["metrics"]["val_loss"] == pytest.approx(epoch["val_loss"], rel=0.05)
