"""Arrays that stay in their files, and preprocessing that is part of a run."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from hgq2_core import ConfigError, DataError
from hgq2_core.data import Preprocessing
from hgq2_core.data.arrays import Rows
from hgq2_core.data.splits import Split
from hgq2_training import Csv, Npy, Npz, Parquet
from hgq2_training.datasets.text_table import TextTable

GIGABYTE = 1 << 30


@pytest.fixture
def arrays(tmp_path: Path) -> dict[str, Any]:
    rng = np.random.default_rng(0)
    found = {"x": rng.normal(3, 2, (50, 4)), "y": np.arange(50) % 2}
    np.savez(tmp_path / "a.npz", **found)
    np.savez_compressed(tmp_path / "packed.npz", **found)
    for name, array in found.items():
        np.save(tmp_path / f"{name}.npy", array)
    return found


def rows(part: Split) -> list[list[float]]:
    return np.asarray(part.x)[np.lexsort(np.asarray(part.x).T)].tolist()


def test_arrays_in_files_give_the_parts_of_arrays_in_memory(tmp_path: Path, arrays: Any) -> None:
    in_memory = Npz(path=str(tmp_path / "a.npz")).load()
    for dataset in (
        Npz(path=str(tmp_path / "a.npz"), memory_map=True),
        Npy(x=str(tmp_path / "x.npy"), y=str(tmp_path / "y.npy")),
    ):
        mapped = dataset.load()
        assert isinstance(mapped.train.x, Rows) and isinstance(mapped.train.y, np.ndarray)
        assert (mapped.train.x.shape, mapped.train.x.dtype) == (in_memory.train.x.shape, np.float32)
        for name, part in in_memory.parts.items():
            assert rows(mapped.parts[name]) == rows(part)


@pytest.mark.parametrize("options", [{}, {"folds": 3, "fold": 1}], ids=["fractions", "folds"])
def test_inputs_of_a_file_keep_their_targets_and_weights(tmp_path: Path, options: dict[str, int]) -> None:
    number = np.arange(60)
    for name, array in {"x": number[:, None], "y": number % 3, "w": number + 1.0}.items():
        np.save(tmp_path / f"{name}.npy", array)
    files = {name: str(tmp_path / f"{file}.npy") for name, file in (("x", "x"), ("y", "y"), ("sample_weight", "w"))}
    for part in Npy(**files, **options).load().parts.values():
        x = np.asarray(part.x)[:, 0]
        assert (part.y == x % 3).all() and (part.weight == x + 1).all()


def test_mean_and_deviation_of_a_file_are_those_of_the_array(tmp_path: Path, arrays: Any) -> None:
    files = {"x": str(tmp_path / "x.npy"), "y": str(tmp_path / "y.npy")}
    one = Npz(path=str(tmp_path / "a.npz"), standardize=True).load().standardization
    other = Npy(**files, standardize=True).load().standardization
    np.testing.assert_allclose(other.mean, one.mean, rtol=1e-12)
    np.testing.assert_allclose(other.scale, one.scale, rtol=1e-12)


def test_a_compressed_array_is_refused_with_the_command_that_unpacks_it(tmp_path: Path, arrays: Any) -> None:
    path = str(tmp_path / "packed.npz")
    with pytest.raises(DataError) as error:
        Npz(path=path, memory_map=True).load()
    assert f"To unpack it: python -m zipfile -e {path} {path[:-4]}" in str(error.value)
    subprocess.run([sys.executable, "-m", "zipfile", "-e", path, path[:-4]], check=True)
    assert len(Npy(x=f"{path[:-4]}/x.npy", y=f"{path[:-4]}/y.npy").load().train) == 33


def test_a_damaged_or_missing_file_is_named(tmp_path: Path, arrays: Any) -> None:
    (tmp_path / "bad.npy").write_bytes(b"\x93NUMPY\x01\x00\xff")
    np.save(tmp_path / "objects.npy", np.array([{}, {}]))
    for name, message in (("bad", "cannot be read as an array"), ("none", "no such file"), ("objects", "Python obj")):
        with pytest.raises(DataError, match=message):
            Npy(x=str(tmp_path / f"{name}.npy"), y=str(tmp_path / "y.npy")).load()
    bad = arrays["x"].copy()
    bad[7, 2] = np.nan
    np.save(tmp_path / "nan.npy", bad)
    with pytest.raises(DataError, match=r"holds 1 NaN or infinite values, the first at index \(7, 2\)"):
        Npy(x=str(tmp_path / "nan.npy"), y=str(tmp_path / "y.npy")).load()


@pytest.mark.parametrize("bad", [0, 21, 49])
def test_a_value_without_a_logarithm_is_found_before_training_in_any_part(tmp_path: Path, bad: int) -> None:
    x = np.ones((50, 1))
    x[bad] = -1
    np.save(tmp_path / "x.npy", x)
    np.save(tmp_path / "y.npy", np.arange(50) % 2)
    files = {"x": str(tmp_path / "x.npy"), "y": str(tmp_path / "y.npy")}
    with pytest.raises(DataError, match=r"log: takes numbers above 0; .* Received: -1"):
        Npy(**files, log=True).load()
    assert (np.asarray(Npy(**files, log=True, clip=(1, None)).load().train.x) == 0).all()


@pytest.fixture
def table(tmp_path: Path) -> str:
    lines = [f"{n + 1},{n % 3},{'ab'[n % 2]},{n % 2}" for n in range(40)]
    lines[3] = f",0,b,{3 % 2}"
    (tmp_path / "t.csv").write_text("\n".join(["size,level,side,label", *lines]))
    return str(tmp_path / "t.csv")


def test_a_preprocessing_survives_being_written_and_says_what_training_saw(table: str) -> None:
    options = {"missing": "mean", "categorical": {"side": "one_hot"}, "clip": {"size": [2, 30]}, "log": ["size"]}
    splits = Csv(path=table, target="label", classes=2, standardize=True, **options).load()
    again = Preprocessing.from_dict(splits.to_dict()["preprocessing"])
    raw = Csv(path=table, target="label", classes=2, **options).inputs(table)
    ready = {row.tobytes() for row in again.apply(raw)}
    assert ready == {row.tobytes() for part in splits.parts.values() for row in part.x}
    assert {*splits.train.x[:, 2].tolist()} == {0.0, 1.0}  # a category is not standardized
    with pytest.raises(DataError, match=r"column 'side': no such category. Received: 'c'. Allowed: a, b."):
        again.apply({"size": [1], "level": [0], "side": ["c"]})
    with pytest.raises(DataError, match=r"no such column. Received: 'side'"):
        again.apply({"size": [1], "level": [0]})


@pytest.mark.parametrize(
    ("columns", "message"),
    [
        ({"size": [1, 2], "level": [0]}, "columns: have one number of samples. Received: 1, 2."),
        ({"size": [1, np.inf], "level": [0, 1]}, "column 'size': must be a finite number. Received: inf in sample 1."),
        ({"size": ["1", "-inf"], "level": [0, 1]}, "column 'size': must be a finite number."),
    ],
)
def test_new_columns_that_do_not_fit_are_named(table: str, columns: Any, message: str) -> None:
    splits = Csv(path=table, target="label", classes=2, ignore=("side",), missing="mean").load()
    with pytest.raises(DataError) as error:
        splits.preprocessing.apply(columns)
    assert str(error.value).startswith(message)


@pytest.mark.parametrize("encoding", ["one_hot", "index"])
def test_a_missing_category_gets_the_most_frequent_text_of_the_file(tmp_path: Path, encoding: str) -> None:
    (tmp_path / "t.csv").write_text("side,label\n" + "b,0\na,0\n,1\nb,0\n" * 2)
    data = Csv(path=str(tmp_path / "t.csv"), target="label", missing="mean", categorical={"side": encoding})  # type: ignore[dict-item]
    splits = data.load()
    assert splits.notes == (f"{tmp_path / 't.csv'}: missing cells of 'side' filled with 'b': 2.",)
    restored = Preprocessing.from_dict(splits.preprocessing.to_dict())
    filled, most_frequent = restored.apply({"side": ["", "b"]})
    assert (filled == most_frequent).all()


def test_what_stands_for_a_missing_cell_holds_for_new_data_too(tmp_path: Path) -> None:
    (tmp_path / "t.csv").write_text("side,n,label\n" + "none,1,0\na,3,0\nlost,-999,1\nnone,1,0\n" * 2)
    data = Csv(
        path=str(tmp_path / "t.csv"),
        target="label",
        missing="mean",
        missing_values=("lost", -999),
        categorical={"side": "index"},
    )
    restored = Preprocessing.from_dict(data.load().preprocessing.to_dict())
    rows = restored.apply({"side": ["lost", "none", "Lost", "a"], "n": [-999, "-999.0", 2, 3]})
    assert rows[0].tolist() == rows[1].tolist()
    assert rows[0, 0] == rows[2, 0]
    assert rows[:, 1].tolist() == [rows[0, 1], rows[0, 1], 2, 3]


def test_a_missing_category_is_an_error_unless_it_is_filled(tmp_path: Path) -> None:
    (tmp_path / "t.csv").write_text("side,label\na,0\n,1\nb,0\n")
    with pytest.raises(DataError, match=r"line 3, column 'side': a category is missing. The cell is empty. `missing: "):
        Csv(path=str(tmp_path / "t.csv"), target="label", categorical={"side": "one_hot"}).load()


def test_the_index_of_a_category_is_an_input_of_its_own(table: str) -> None:
    features = {"numbers": ["level"], "side": ["side"]}
    splits = Csv(path=table, target="label", classes=2, features=features, categorical={"side": "index"}).load()
    assert {*splits.train.x["side"][:, 0].tolist()} == {0.0, 1.0}
    assert splits.train.x["numbers"].shape[1:] == (1,)


def test_a_parquet_file_is_the_same_table(table: str, tmp_path: Path) -> None:
    arrow = pytest.importorskip("pyarrow", reason="the extra hgq2-training[parquet]")
    parquet = pytest.importorskip("pyarrow.parquet")
    lines = [line.split(",") for line in Path(table).read_text().splitlines()[1:]]
    columns = {
        "size": [int(line[0]) if line[0] else None for line in lines],
        "level": [int(line[1]) for line in lines],
        "side": [line[2] for line in lines],
        "label": [int(line[3]) for line in lines],
    }
    parquet.write_table(arrow.table(columns), tmp_path / "t.parquet")
    options = {"target": "label", "classes": 2, "missing": "mean", "categorical": {"side": "one_hot"}}
    one, other = Csv(path=table, **options).load(), Parquet(path=str(tmp_path / "t.parquet"), **options).load()
    assert (one.train.x == other.train.x).all() and (one.train.y == other.train.y).all()
    with pytest.raises(DataError, match=r"no such column. Received: 'sid'.*Did you mean 'side'"):
        Parquet(path=str(tmp_path / "t.parquet"), target="label", ignore=("sid",)).load()


def test_a_parquet_file_has_no_delimiter() -> None:
    with pytest.raises(ConfigError, match=r"`delimiter` is of text files; a Parquet file has none\. Received: ';'"):
        Parquet(path="t.parquet", target="label", delimiter=";")


def test_numbers_of_a_table_are_kept_as_numbers_and_others_as_their_texts(tmp_path: Path) -> None:
    (tmp_path / "t.csv").write_text("a,b,c,d\n1,2.50,x,1e400\n-0.5,NA,7,2\n")
    table = TextTable(str(tmp_path / "t.csv"), ",")
    columns, places = table.columns("abcd", numbers="abd")
    assert {name: list(column) for name, column in columns.items()} == {
        **{"a": [1.0, -0.5], "b": ["2.50", "NA"]},
        **{"c": ["x", "7"], "d": ["1e400", "2"]},
    }
    assert columns["a"].itemsize == 8 and list(places) == ["line 2", "line 3"]


def test_without_pyarrow_the_error_says_what_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "pyarrow", None)
    monkeypatch.setitem(sys.modules, "pyarrow.parquet", None)
    with pytest.raises(DataError, match=r"needs pyarrow. To install it: pip install hgq2-training\[parquet\]"):
        Parquet(path="t.parquet", target="label").load()


MEASURED = """
import sys, threading, time
from pathlib import Path
import numpy as np
from hgq2_core import export, load_model
from hgq2_core.config.model import ModelConfig
from hgq2_training import predict, train
peak = 0
def watch():
    global peak
    while True:
        line = next(l for l in Path("/proc/self/status").read_text().splitlines() if l.startswith("RssAnon"))
        peak = max(peak, int(line.split()[1]) * 1024)
        time.sleep(0.02)
threading.Thread(target=watch, daemon=True).start()
folder = sys.argv[1]
run = train(ModelConfig.parse({
    "model": {"inputs": {"x": {"shape": [512]}}, "layers": [{"kind": "dense", "name": "logits", "units": 2}]},
    "data": {"kind": "npy", "x": f"{folder}/x.npy", "y": f"{folder}/y.npy", "standardize": True,
             "test_fraction": 0.01, "validation_fraction": 0.01},
    "training": {"loss": {"kind": "sparse_categorical_crossentropy", "from_logits": True}, "metrics": ["accuracy"],
                 "epochs": 1, "steps_per_epoch": 20},
}), f"{folder}/run")
assert run.verification.ok
made = export(load_model(run.directory / "model.keras"), "alkaid.alkaid", f"{folder}/circuit")
assert made.cost > 0
found = predict(run.directory, f"{folder}/x.npy")
assert len(found) == len(np.load(f"{folder}/y.npy"))
some = np.load(f"{folder}/x.npy", mmap_mode="r")[-2000:]
assert np.array_equal(predict(run.directory, some, integers=True).outputs["logits"], found.outputs["logits"][-2000:])
print(peak)
"""


@pytest.mark.nightly
@pytest.mark.once
@pytest.mark.skipif(not Path("/proc/self/status").is_file(), reason="only Linux counts anonymous memory")
def test_two_gigabytes_are_trained_on_with_less_than_one_of_memory(tmp_path: Path) -> None:
    samples = 2 * GIGABYTE // (512 * 4)
    x = np.lib.format.open_memmap(tmp_path / "x.npy", "w+", np.float32, (samples, 512))  # sparse: no block is written
    x[:: samples // 512, ::8] = 1.0
    x.flush()
    del x
    np.save(tmp_path / "y.npy", np.arange(samples) % 2)
    done = subprocess.run([sys.executable, "-c", MEASURED, str(tmp_path)], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr[-2000:]
    assert int(done.stdout.split()[-1]) < GIGABYTE
