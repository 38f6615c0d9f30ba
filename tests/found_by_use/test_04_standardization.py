"""What standardizes the inputs is kept, wherever inputs for new data have to be made."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import keras
import numpy as np
import pytest

import hgq2_core
from hgq2_core import DataError, ModelFileError, Split, Splits, Standardization, with_standardization
from hgq2_core.config.model import ModelConfig
from hgq2_training import Csv, Magic, Npz
from hgq2_training.datasets.splitting import shipped
from hgq2_training.runs.directory import read_standardization
from hgq2_training.runs.train import train


@pytest.fixture
def table(tmp_path: Path) -> Path:
    rng = np.random.default_rng(0)
    rows = [f"{a:.3f},7,{b:.3f},{int(a > b)}" for a, b in rng.normal([1000, 3], [20, 0.1], (60, 2))]
    (tmp_path / "table.csv").write_text("\n".join(["mass,constant,width,label", *rows]))
    return tmp_path / "table.csv"


def config(table: Path, **data: Any) -> ModelConfig:
    return ModelConfig.parse(
        {
            "model": {"inputs": {"x": {"shape": [3]}}, "layers": [{"kind": "dense", "units": 2}]},
            "data": {"kind": "csv", "path": str(table), "target": "label", "classes": 2, **data},
            "training": {"loss": {"kind": "sparse_categorical_crossentropy", "from_logits": True}, "epochs": 1},
        }
    )


def raw_of(path: Path) -> Any:
    return np.loadtxt(path, delimiter=",", skiprows=1)[:, :3]


def test_every_data_set_that_standardizes_says_how(table: Path) -> None:
    csv = Csv(path=str(table), target="label", classes=2, standardize=True).load()
    assert csv.standardization is not None
    assert csv.standardization.features == ("mass", "constant", "width")
    assert (csv.standardization.mean[1], csv.standardization.scale[1]) == (7.0, 1.0)
    np.savez(table.with_suffix(".npz"), x=raw_of(table), y=np.arange(60) % 2)
    npz = Npz(path=str(table.with_suffix(".npz")), standardize=True).load()
    raw, _ = shipped("magic_gamma")
    for splits, rows in ((csv, raw_of(table)), (npz, raw_of(table)), (Magic().load(), raw)):
        assert splits.standardization is not None
        wanted = {row.tobytes() for part in splits.parts.values() for row in part.x}
        assert {row.tobytes() for row in splits.standardization(rows)} == wanted
    assert Csv(path=str(table), target="label", classes=2).load().standardization is None


def test_a_data_set_of_a_third_party_standardizes_by_a_method_of_splits() -> None:
    raw = Splits(Split(np.array([[1.0, 5.0], [3.0, 5.0]]), np.zeros(2)), Split(np.array([[5.0, 6.0]]), np.zeros(1)))
    splits = raw.standardized(("a", "b"))
    assert splits.standardization is not None
    assert splits.standardization.to_dict() == {"features": ["a", "b"], "mean": [2.0, 5.0], "scale": [1.0, 1.0]}
    assert splits.test.x.tolist() == [[3.0, 1.0]]


def test_a_run_directory_holds_it_in_a_readable_file(table: Path, tmp_path: Path) -> None:
    splits = config(table, standardize=True).load_data()
    assert splits.standardization is not None
    train(config(table, standardize=True), tmp_path / "run")
    kept = json.loads((tmp_path / "run" / "data.json").read_text())
    assert kept["samples"] == {"train": 39, "validation": 6, "test": 15}
    assert kept["standardization"] == splits.standardization.to_dict()
    found = read_standardization(tmp_path / "run")
    assert found is not None
    assert found(raw_of(table)).tobytes() == splits.standardization(raw_of(table)).tobytes()
    (tmp_path / "run" / "data.json").write_text('{"standardization": {"mean": [1.0], "scale": [0.0]}}')
    with pytest.raises(ModelFileError) as error:
        read_standardization(tmp_path / "run")
    assert str(error.value) == (
        f"{tmp_path / 'run' / 'data.json'}: is damaged. standardization: `mean` and `scale` must have one shape and "
        "finite values, and no scale is 0. Received: shapes (1,) and (1,)."
    )


def test_a_run_whose_inputs_are_as_they_were_read_says_so(table: Path, tmp_path: Path) -> None:
    train(config(table), tmp_path / "run")
    assert json.loads((tmp_path / "run" / "data.json").read_text())["standardization"] is None
    assert read_standardization(tmp_path / "run") is None
    assert read_standardization(tmp_path) is None  # a run of before


@pytest.mark.parametrize("shape", [(3,), (2, 3), (2, 2, 3)])
def test_a_model_that_takes_raw_inputs_gives_what_the_trained_one_gives(shape: Any, tmp_path: Path) -> None:
    raw = np.random.default_rng(1).normal(1e4, 1e-3, (50, *shape)).astype(np.float32)
    raw[..., 0] = 5.0
    standardization = Standardization.fit(raw)
    inputs = keras.Input(shape)
    layer = hgq2_core.registry.load("layers", "layers.dense")(4, name="logits")
    model = keras.Model(inputs, layer(keras.layers.Flatten()(inputs)))
    whole = with_standardization(model, standardization)
    whole.save(tmp_path / "raw.keras")
    expected = model.predict(standardization(raw), verbose=0)
    for found in (whole, keras.saving.load_model(tmp_path / "raw.keras"), hgq2_core.load_model(tmp_path / "raw.keras")):
        # In float32, as on jax, a difference of 1e-3 at 1e4 is known to one place in a thousand.
        tolerance = 0.0 if keras.backend.backend() != "jax" else 0.1
        np.testing.assert_allclose(found.predict(raw, verbose=0), expected, atol=tolerance, rtol=0)


def test_a_model_of_other_inputs_is_refused() -> None:
    standardization = Standardization.fit(np.eye(3))
    a, b = keras.Input((3,)), keras.Input((4,))
    for model, received in (
        (keras.Model([a, b], [a, b]), "(3,), (4,)"),
        (keras.Sequential([keras.Input((4,)), keras.layers.Dense(1)]), "(4,)"),
    ):
        with pytest.raises(DataError) as error:
            with_standardization(model, standardization)
        assert str(error.value) == (
            f"with_standardization: the model must have one input of shape (3,). Received: {received}."
        )
    with pytest.raises(DataError) as error:
        Standardization.fit(np.eye(2), ("mass", "width"))(np.eye(3))
    assert str(error.value) == (
        "standardization: takes inputs of shape (samples, 2): mass, width. Received: shape (3, 3)."
    )


def test_ports_of_an_exported_run_hold_it(table: Path, tmp_path: Path) -> None:
    pytest.importorskip("alkaid.trace", reason="alkaid is not installed: make install")
    from typer.testing import CliRunner

    from hgq2_core.cli.main import app

    train(config(table, standardize=True), tmp_path / "run")
    kept = read_standardization(tmp_path / "run")
    assert kept is not None
    for directory in ("one", "other"):
        result = CliRunner().invoke(app, ["export", str(tmp_path / "run"), "-o", str(tmp_path / directory)])
        assert result.exit_code == 0, result.output
        ports = json.loads((tmp_path / directory / "ports.json").read_text())
        assert ports["standardization"] == kept.to_dict()
        assert ports["inputs"][0]["name"] == "x"
        (tmp_path / "run" / "data.json").unlink(missing_ok=True)  # a run of before, whose data say the same


def test_a_constant_and_a_vanishing_deviation_are_not_divided_by() -> None:
    standardization = Standardization.fit(np.array([[0.1, 1e-200], [0.1, 2e-200], [0.1, 0.0]]))
    assert standardization.scale.tolist() == [1.0, 1.0]
    assert np.isfinite(standardization(np.ones((1, 2)))).all()
