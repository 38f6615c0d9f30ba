"""The conformance kit over our data sets, callbacks, commands, exporters and adapters: a new one needs a line here."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import h5py
import keras
import numpy as np
import pytest
from selection import slow

from hgq2_core import calibrate, defaults
from hgq2_core.discovery.known_plugins import is_official
from hgq2_core.discovery.registry import registry
from hgq2_core.schema.keras_layers import KERAS
from hgq2_core.testing import check_adapter, check_callback, check_command, check_dataset, check_exporter
from hgq2_layers import QDense, QSimpleRNNCell

pytestmark = pytest.mark.once

LINE, IMAGE, VOLUME = (4, 2), (4, 4, 2), (2, 2, 2, 1)
COLOURS = (4, 4, 3)
OF_RANK = {"1D": LINE, "2D": IMAGE, "3D": VOLUME, "Random": COLOURS}
COMPILED = ("hls4ml.hls4ml",)
"""The exporters of which a simulation compiles C++."""

CALLBACKS: dict[str, dict[str, Any]] = {
    "training.beta_schedule": {"points": [[0, 1e-7], [10, 1e-5]]},
    "training.early_stopping": {"when": [{"metric": "ebops", "below": 5000.0}]},
    "training.ebops": {},
    "training.noise_schedule": {"points": [[0, 0.0], [10, 1.0]]},
    "training.pareto_front": {"metrics": ["val_loss", "ebops"]},
}
ADAPTED: dict[str, tuple[dict[str, Any], Any]] = {
    "Activation": ({"activation": "relu"}, LINE),
    "Add": ({}, [LINE, LINE]),
    "AlphaDropout": ({"rate": 0.1}, LINE),
    "AveragePooling1D": ({"pool_size": 2}, LINE),
    "AveragePooling2D": ({"pool_size": 2}, IMAGE),
    "AveragePooling3D": ({"pool_size": (2, 2, 1)}, VOLUME),
    "Concatenate": ({}, [LINE, LINE]),
    "Cropping3D": ({"cropping": ((1, 0), (0, 0), (0, 0))}, VOLUME),
    "Dropout": ({"rate": 0.1}, LINE),
    "GaussianDropout": ({"rate": 0.1}, LINE),
    "GaussianNoise": ({"stddev": 0.1}, LINE),
    "LeakyReLU": ({"negative_slope": 0.25}, LINE),
    "Average": ({}, [LINE, LINE]),
    "Maximum": ({}, [LINE, LINE]),
    "Minimum": ({}, [LINE, LINE]),
    "Multiply": ({}, [LINE, LINE]),
    "Permute": ({"dims": (2, 1)}, LINE),
    "RandomBrightness": ({"factor": 0.1}, COLOURS),
    "RandomColorDegeneration": ({"factor": 0.1}, COLOURS),
    "RandomContrast": ({"factor": 0.1}, COLOURS),
    "RandomHue": ({"factor": 0.1}, COLOURS),
    "RandomPosterization": ({"factor": 4}, COLOURS),
    "RandomRotation": ({"factor": 0.1}, COLOURS),
    "RandomSaturation": ({"factor": 0.1}, COLOURS),
    "RandomSharpness": ({"factor": 0.1}, COLOURS),
    "RandomTranslation": ({"height_factor": 0.1, "width_factor": 0.1}, COLOURS),
    "RandomZoom": ({"height_factor": 0.1}, COLOURS),
    "RepeatVector": ({"n": 2}, (3,)),
    "Rescaling": ({"scale": 0.5}, LINE),
    "Reshape": ({"target_shape": (8,)}, LINE),
    "SpatialDropout1D": ({"rate": 0.1}, LINE),
    "SpatialDropout2D": ({"rate": 0.1}, IMAGE),
    "SpatialDropout3D": ({"rate": 0.1}, VOLUME),
    "Subtract": ({}, [LINE, LINE]),
}
"""Adapted layers with arguments, or with more inputs than one."""
WRAPPERS: dict[str, Callable[[], keras.layers.Layer]] = {
    "Bidirectional": lambda: keras.layers.Bidirectional(registry().load("layers", "layers.simple_rnn")(2)),
    "RNN": lambda: keras.layers.RNN(QSimpleRNNCell(2)),
    # They take states, which only the loop around them passes.
    "StackedRNNCells": lambda: keras.layers.RNN(keras.layers.StackedRNNCells([QSimpleRNNCell(2), QSimpleRNNCell(3)])),
    "TimeDistributed": lambda: keras.layers.TimeDistributed(QDense(2)),
}


def ours(group: str) -> list[str]:
    return [kind for kind in registry().names(group) if is_official(kind)]


def adapted() -> list[str]:
    kinds = [kind for kind in registry().names("layers") if kind.startswith(KERAS)]
    names = [kind.removeprefix(KERAS) for kind in kinds if registry().spec("layers", kind).startswith("hgq2_")]
    return [name for name in names if not name.startswith("ops.")]  # tests/layers/test_operations.py


@pytest.fixture
def files(tmp_path: Path) -> dict[str, dict[str, Any]]:
    """The arguments of each data set, and the files that it reads."""
    random = np.random.default_rng(0)
    x, y = random.normal(size=(60, 3)).round(3), random.integers(0, 2, 60)
    rows = "\n".join(",".join(map(str, [*values, label])) for values, label in zip(x, y, strict=True))
    (tmp_path / "data.csv").write_text(f"a,b,c,label\n{rows}\n")
    np.savez(tmp_path / "data.npz", x=x.astype(np.float32), y=y)
    with h5py.File(tmp_path / "data.h5", "w") as file:
        file["x"], file["y"] = x.astype(np.float32), y
    np.save(tmp_path / "x.npy", x)
    np.save(tmp_path / "y.npy", y)
    return {
        "training.csv": {"path": str(tmp_path / "data.csv"), "target": "label", "classes": ["0", "1"]},
        "training.digits": {},
        "training.hdf5": {"path": str(tmp_path / "data.h5")},
        "training.magic": {},
        "training.npy": {"x": str(tmp_path / "x.npy"), "y": str(tmp_path / "y.npy")},
        "training.npz": {"path": str(tmp_path / "data.npz")},
        "training.parquet": {"path": str(tmp_path / "data.parquet"), "target": "label", "classes": 2},
        "training.root": {"path": str(tmp_path / "data.root"), "x": ["a", "b"], "y": "label"},
        "training.toy_jets": {"jets": 90},
        "training.vowels": {},
    }


@pytest.mark.parametrize("kind", ours("datasets"))
def test_data_set(kind: str, files: dict[str, dict[str, Any]]) -> None:
    if kind == "training.parquet":
        parquet = pytest.importorskip("pyarrow.parquet", reason="the extra hgq2-training[parquet]")
        columns = np.genfromtxt(files["training.csv"]["path"], delimiter=",", names=True)
        table = {name: columns[name] for name in columns.dtype.names}
        parquet.write_table(pytest.importorskip("pyarrow").table(table), files[kind]["path"])
    if kind == "training.root":
        uproot = pytest.importorskip("uproot", reason="the extra hgq2-training[root]")
        columns = np.genfromtxt(files["training.csv"]["path"], delimiter=",", names=True)
        with uproot.recreate(files[kind]["path"]) as file:
            file["events"] = {name: columns[name] for name in columns.dtype.names}
    check_dataset({"kind": kind, **files[kind]})


@pytest.mark.parametrize("kind", ours("callbacks"))
def test_callback(kind: str) -> None:
    check_callback({"kind": kind, **CALLBACKS[kind]})


@pytest.mark.parametrize("kind", ours("commands"))
def test_command(kind: str) -> None:
    check_command(kind, imports=kind == "training.train")  # what one imports, all of the package's commands may


@pytest.mark.parametrize("kind", [slow(kind) if kind in COMPILED else kind for kind in ours("exporters")])
def test_exporter(kind: str) -> None:
    x = np.random.default_rng(0).normal(size=(40, 4)).astype(np.float32)
    with defaults(activation={"kind": "fixed_point.kif", "overflow_mode": "SAT"}):  # without options, QONNX cannot wrap
        model = keras.Sequential([keras.Input((4,)), QDense(3, activation="relu"), QDense(2)])
    calibrate(model, x)
    check_exporter(kind, model, x)


@pytest.mark.parametrize("name", adapted())
def test_adapter(name: str) -> None:
    if name in WRAPPERS:
        check_adapter(WRAPPERS[name](), LINE)
        return
    shape = next((shape for rank, shape in OF_RANK.items() if rank in name), LINE)
    arguments, shape = ADAPTED.get(name, ({}, shape))
    check_adapter(getattr(keras.layers, name)(**arguments), shape)
