"""Predictions of a run for raw data: files and arrays, integers and Keras, the last model and those of the front."""

from __future__ import annotations

import csv
import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from typer.testing import CliRunner, Result

import hgq2_core.cli.main as cli
from hgq2_core import ModelConfig
from hgq2_core.errors import ConfigError, DataError, ModelFileError
from hgq2_training import predict, train
from hgq2_training.runs.directory import load
from hgq2_training.runs.front import choose, read_front, recommended
from hgq2_training.runs.predict import Predictions

FEATURES = ("mass", "angle", "width")


def document(path: Path, **data: Any) -> dict[str, Any]:
    return {
        "model": {"inputs": {"x": {"shape": [3]}}, "layers": [{"kind": "dense", "name": "logits", "units": 2}]},
        "data": {
            **{"kind": "csv", "path": str(path), "target": "label", "classes": ["noise", "signal"]},
            **{"standardize": True, "missing": "mean", "ignore": ["id"], **data},
        },
        "training": {
            "optimizer": {"kind": "adam", "learning_rate": 0.02, "bit_learning_rate_scale": 8},
            "loss": {"kind": "sparse_categorical_crossentropy", "from_logits": True},
            "metrics": ["accuracy"],
            "epochs": 6,
            "callbacks": [{"kind": "beta_schedule", "points": [[0, 0.0], [5, 0.05]]}, {"kind": "pareto_front"}],
        },
    }


def write_table(path: Path, rows: Any, header: tuple[str, ...]) -> Path:
    with path.open("w", newline="") as file:
        writer = csv.writer(file)
        writer.writerow(header)
        writer.writerows(rows)
    return path


@pytest.fixture(scope="module")
def raw() -> np.ndarray[Any, np.dtype[np.float64]]:
    return np.random.default_rng(0).normal([100, 0, 5], [20, 1, 0.5], (160, 3))


@pytest.fixture(scope="module")
def run(raw: Any, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A run on a table of three features, with texts as labels."""
    folder = tmp_path_factory.mktemp("predict")
    rows = [["signal" if x[1] > 0 else "noise", index, *x] for index, x in enumerate(raw.tolist())]
    table = write_table(folder / "table.csv", rows, ("label", "id", *FEATURES))
    return train(ModelConfig.parse(document(table)), folder / "run").directory


@pytest.fixture
def hgq2() -> Any:
    def call(*arguments: object, code: int = 0) -> Result:
        result = CliRunner().invoke(cli.app, [str(argument) for argument in arguments])
        assert result.exit_code == code, result.output
        return result

    return call


def test_integers_and_keras_give_equal_values(run: Path, raw: Any) -> None:
    by_keras, by_integers = predict(run, raw), predict(run, raw, integers=True)
    assert by_keras.outputs["logits"].tolist() == by_integers.outputs["logits"].tolist()
    assert by_keras.classes is not None and by_integers.classes is not None
    assert by_keras.classes.tolist() == by_integers.classes.tolist()
    assert set(by_keras.classes.tolist()) <= {"noise", "signal"}


def test_a_table_an_archive_and_an_array_say_the_same_whatever_the_order_of_columns(
    run: Path, raw: Any, tmp_path: Path
) -> None:
    wanted = predict(run, raw).outputs["logits"].tolist()
    rows = [[x[2], "?", x[0], x[1]] for x in raw.tolist()]
    table = write_table(tmp_path / "new.csv", rows, ("width", "comment", "mass", "angle"))
    np.savez(tmp_path / "new.npz", x=raw)
    np.savez(tmp_path / "only.npz", measured=raw)
    np.save(tmp_path / "new.npy", raw)
    for data in (table, tmp_path / "new.npz", tmp_path / "only.npz", tmp_path / "new.npy", {"x": raw}):
        assert predict(run, data).outputs["logits"].tolist() == wanted, data


def test_a_missing_cell_gets_the_mean_of_training_as_in_training(run: Path, raw: Any, tmp_path: Path) -> None:
    mean = json.loads((run / "data.json").read_text())["standardization"]["mean"]
    table = write_table(tmp_path / "new.csv", [[raw[0, 0], "", raw[0, 2]]], FEATURES)
    filled = np.array([[raw[0, 0], mean[1], raw[0, 2]]])
    assert predict(run, table).outputs["logits"].tolist() == predict(run, filled).outputs["logits"].tolist()


@pytest.mark.parametrize("suffix", [".csv", ".npz"])
def test_the_command_writes_what_python_returns(run: Path, raw: Any, tmp_path: Path, hgq2: Any, suffix: str) -> None:
    np.save(tmp_path / "new.npy", raw)
    output = tmp_path / f"out{suffix}"
    hgq2("predict", run, tmp_path / "new.npy", "-o", output, "--integers")
    found = predict(run, raw)
    assert found.classes is not None
    if suffix == ".npz":
        with np.load(output) as written:
            assert written["logits"].tolist() == found.outputs["logits"].tolist()
            assert written["class"].tolist() == found.classes.tolist()
        return
    with output.open(newline="") as file:
        lines = list(csv.DictReader(file))
    assert [[np.float32(line["logits_0"]), np.float32(line["logits_1"])] for line in lines] == (
        found.outputs["logits"].tolist()
    )
    assert [line["class"] for line in lines] == found.classes.tolist()


def test_a_model_of_the_front_is_taken_by_its_number_in_rising_ebops(run: Path, raw: Any, hgq2: Any) -> None:
    points = read_front(run)
    assert [each.number for each in points] == list(range(len(points)))
    costs = [each.ebops for each in points]
    assert costs == sorted(costs) and len(points) > 1
    for point in points:
        shown = json.loads(hgq2("report", run, "--front", point.number, "--json").stdout)
        assert (shown["front"], shown["ebops"]) == (point.number, point.ebops)
        assert shown["summary"]["ebops"] == point.ebops
    assert predict(run, raw, front=0).outputs["logits"].shape == (160, 2)
    assert json.loads(hgq2("verify", run, "--front", "0", "--json").stdout)["ok"]
    hgq2("doctor", run, "--front", "best")
    hgq2("report", run, "--front", "best")


def test_a_run_says_which_model_it_recommends_and_why(run: Path, hgq2: Any) -> None:
    best = recommended(run)
    assert best is not None
    assert choose(run, "best") == best.point
    recorded = json.loads((run / "metrics.json").read_text())["recommended"]
    assert recorded == best.to_dict()
    assert f"recommended: --front {best.point.number}" in hgq2("report", run).output.replace("\n", " ")


@pytest.mark.parametrize("suffix", [".csv", ".npz"])
def test_an_output_named_class_is_kept_beside_the_classes(tmp_path: Path, suffix: str) -> None:
    path = tmp_path / f"out{suffix}"
    Predictions({"class": np.array([[0.25], [0.75]], np.float32)}, np.array([0, 1])).save(path)
    if suffix == ".csv":
        assert path.read_text().splitlines() == ["class,predicted_class", "0.25,0", "0.75,1"]
        return
    with np.load(path) as written:
        assert {name: array.tolist() for name, array in written.items()} == {
            "class": [[0.25], [0.75]],
            "predicted_class": [0, 1],
        }


@pytest.mark.parametrize("by_output", [False, True])
def test_a_single_logit_above_0_is_the_second_class(tmp_path: Path, by_output: bool) -> None:
    x = np.random.default_rng(0).normal(size=(60, 3))
    np.savez(tmp_path / "data.npz", x=x, y=(x[:, 0] > 0).astype(np.int64))
    loss: dict[str, Any] = {"kind": "binary_crossentropy", "from_logits": True}
    config = {
        "model": {"inputs": {"x": {"shape": [3]}}, "layers": [{"kind": "dense", "name": "logit", "units": 1}]},
        "data": {"kind": "npz", "path": str(tmp_path / "data.npz")},
        "training": {"loss": {"logit": loss} if by_output else loss, "epochs": 1},
    }
    found = predict(train(ModelConfig.parse(config), tmp_path / "run").directory, x)
    logits = found.outputs["logit"][:, 0]
    assert ((logits > 0) != (logits > 0.5)).any()
    assert found.classes is not None and found.classes.tolist() == (logits > 0).tolist()


def write_front(directory: Path, *points: tuple[float, float], samples: int | None = 100) -> Path:
    entries = [
        {"epoch": epoch, "metrics": {"val_accuracy": accuracy, "ebops": cost}, "file": f"epoch_{epoch:04d}.keras"}
        for epoch, (accuracy, cost) in enumerate(points)
    ]
    (directory / "front").mkdir()
    front = {"directions": {"val_accuracy": "max", "ebops": "min"}, "entries": entries}
    (directory / "front" / "front.json").write_text(json.dumps(front))
    (directory / "data.json").write_text(json.dumps({"samples": {"validation": samples}}))
    return directory


def test_the_cheapest_within_one_standard_error_of_the_best_is_recommended(tmp_path: Path) -> None:
    # One standard error of 0.9 on 100 samples is 0.03.
    best = recommended(write_front(tmp_path, (0.9, 500), (0.86, 100), (0.88, 200), (0.875, 150)))
    assert best is not None
    assert (best.point.number, best.point.ebops) == (1, 150)
    assert best.reason == (
        "val_accuracy 0.8750 at 150 EBOPs: the cheapest within one standard error (0.0300 on 100 samples) of the "
        "best, 0.9000"
    )


def test_a_recommendation_keeps_the_budget_of_a_run_that_did_not_end(tmp_path: Path) -> None:
    directory = write_front(tmp_path, (0.9, 500), (0.6, 100))
    (directory / "config.yaml").write_text("training: {budget: {ebops: 200}}")
    assert choose(directory, "best").ebops == 100
    (directory / "config.yaml").write_text("training: {budget: {ebops: 50}}")
    assert recommended(directory) is None
    with pytest.raises(ConfigError, match=r"is within the budget of 50 EBOPs; the cheapest has 100"):
        choose(directory, "best")


@pytest.mark.parametrize("choice", ["7", "-1", "first"])
def test_a_number_beyond_the_front_is_refused(tmp_path: Path, choice: str) -> None:
    directory = write_front(tmp_path, (0.9, 500), (0.6, 100))
    with pytest.raises(ConfigError, match=rf"no such model on the front. Received: --front {choice}. Allowed: 0 to 1"):
        load(directory, front=choice)


def test_a_run_without_a_front_is_named(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=r"the run kept no front. Received: --front best"):
        load(tmp_path, front="best")


def test_a_front_without_ebops_has_no_order(tmp_path: Path) -> None:
    directory = write_front(tmp_path, (0.9, 500))
    path = directory / "front" / "front.json"
    path.write_text(path.read_text().replace('"ebops"', '"loss"'))
    assert recommended(directory) is None
    with pytest.raises(ConfigError, match=r"Give the callback pareto_front `ebops` among its metrics"):
        choose(directory, 0)


def test_what_does_not_fit_the_run_is_named(run: Path, tmp_path: Path) -> None:
    table = write_table(tmp_path / "new.csv", [[1, 2]], ("mass", "angle"))
    with pytest.raises(DataError, match=r"no such column. Received: 'width'"):
        predict(run, table)
    with pytest.raises(DataError, match=r"input 'x' does not fit the run. Received: shape \[2\] for a sample"):
        predict(run, np.zeros((4, 2)))
    with pytest.raises(DataError, match="holds NaN or infinite values"):
        predict(run, np.full((4, 3), np.nan))
    with pytest.raises(DataError, match=r"not a kind of file that predict reads. Allowed: .npz, .npy, .csv, .h5"):
        predict(run, tmp_path / "new.txt")
    with pytest.raises(DataError, match="no such file"):
        predict(run, tmp_path / "gone.csv")
    with pytest.raises(ModelFileError, match=r"not a run directory|no such file"):
        predict(tmp_path, np.zeros((4, 3)))


def test_the_output_is_checked_before_anything_is_computed(run: Path, tmp_path: Path, hgq2: Any) -> None:
    result = hgq2("predict", run, tmp_path / "gone.csv", "-o", tmp_path / "out.txt", code=2)
    assert "ends in .csv or .npz" in result.output.replace("\n", " ")
