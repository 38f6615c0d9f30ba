"""The CSV data set: what it loads, and what it says about files that it cannot use."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from hgq2_core.errors import ConfigError, DataError
from hgq2_training import Csv

ROWS = [f"{index},{index / 4},{index % 3},{'abc'[index % 3]}" for index in range(24)]


@pytest.fixture
def table(tmp_path: Path) -> Any:
    def write(text: str, name: str = "table.csv") -> str:
        (tmp_path / name).write_bytes(text.encode())
        return str(tmp_path / name)

    return write


@pytest.fixture
def good(table: Any) -> str:
    return str(table("\n".join(["n,quarter,label,name", *ROWS])))


def all_of(splits: Any) -> tuple[np.ndarray, np.ndarray]:
    parts = [splits.train, splits.test, *([splits.validation] if splits.validation else [])]
    x, y = (np.concatenate([getattr(part, field) for part in parts]) for field in "xy")
    order = np.argsort(x[:, 0])
    return x[order], y[order]


def test_columns_become_inputs_and_targets(good: str) -> None:
    x, y = all_of(Csv(path=good, target="label", features=["n", "quarter"]).load())
    assert (x.dtype, y.dtype) == (np.float32, np.float32)
    assert x.tolist() == [[n, n / 4] for n in range(24)]
    assert y.tolist() == [n % 3 for n in range(24)]


@pytest.mark.parametrize(
    ("target", "classes", "wanted"),
    [
        ("label", 3, [0, 1, 2]),
        ("label", 7, [0, 1, 2]),
        ("name", ["a", "b", "c"], [0, 1, 2]),
        ("name", ["c", "a", "b"], [1, 2, 0]),
    ],
)
def test_classes_are_integers_or_named(good: str, target: str, classes: Any, wanted: list[int]) -> None:
    splits = Csv(path=good, target=target, features=["n"], classes=classes).load()
    _, y = all_of(splits)
    assert y.dtype == np.int64
    assert y.tolist() == wanted * 8
    assert sorted(splits.test.y.tolist()) == [0, 0, 1, 1, 2, 2]  # stratified


def test_several_targets(good: str) -> None:
    x, y = all_of(Csv(path=good, target=["quarter", "label"], features=["n"]).load())
    assert x.shape == (24, 1)
    assert y[5].tolist() == [1.25, 2.0]


def test_without_features_all_other_columns_are_inputs(table: Any) -> None:
    path = table("a;b;t\n1;2;3\n4;5;6\n7;8;9\n10;11;12\n")
    splits = Csv(path=path, target="b", delimiter=";", validation_fraction=0.0).load()
    x, y = all_of(splits)
    assert x.tolist() == [[1, 3], [4, 6], [7, 9], [10, 12]]
    assert y.tolist() == [2, 5, 8, 11]


def test_a_file_of_its_own_for_the_test_part(good: str, table: Any) -> None:
    test = table("label,n\n2,100\n1,101\n", "test.csv")
    splits = Csv(path=good, target="label", features=["n"], test_path=test, classes=3).load()
    assert splits.test.x.tolist() == [[100.0], [101.0]]
    assert splits.test.y.tolist() == [2, 1]
    assert len(splits.train) + len(splits.validation) == 24


def test_standardized_from_the_training_part_and_constants_only_shifted(table: Any) -> None:
    path = table("\n".join(["n,five,t", *(f"{n},5,{n}" for n in range(20))]))
    splits = Csv(path=path, target="t", standardize=True).load()
    np.testing.assert_allclose(splits.train.x.mean(axis=0), [0, 0], atol=1e-6)
    np.testing.assert_allclose(splits.train.x.std(axis=0), [1, 0], atol=1e-6)
    assert (splits.test.x[:, 1] == 0).all()


def test_spaces_quotes_blank_lines_and_a_byte_order_mark_are_no_matter(table: Any) -> None:
    path = table('\ufeffn, t\r\n"1", 2\r\n\r\n 3 ,4\r\n5,6\r\n7,8\r\n')
    x, y = all_of(Csv(path=path, target="t", validation_fraction=0.0).load())
    assert (x.tolist(), y.tolist()) == ([[1], [3], [5], [7]], [2, 4, 6, 8])


@pytest.mark.parametrize(
    ("text", "options", "message"),
    [
        ("", {}, "{path}: is empty. Allowed: a header, then a line for each sample."),
        ("n,t\n", {}, "{path}: has a header and no samples."),
        ("n,u\n1,2\n", {}, "{path}: no such column. Received: 't'. The header has: n, u."),
        ("n,target\n1,2\n", {"target": "targte"},
         "{path}: no such column. Received: 'targte'. The header has: n, target. Did you mean 'target'?"),
        ("n,t\n1,2\n", {"features": ["m"]}, "{path}: no such column. Received: 'm'. The header has: n, t."),
        ("t\n1\n", {}, "{path}: has no column besides the target. Received: t."),
        ("n,n,t\n1,2,3\n", {}, "{path}: columns of the same name: n."),
        ("n,t\n1,2\n1\n", {}, "{path}: line 3 has 1 cells, the header 2."),
        ("n,t\n1,2\n1,2,3\n", {}, "{path}: line 3 has 3 cells, the header 2."),
        ("n,t\n1,2\nx,2\n", {}, "{path}: line 3, column 'n': must be a number. Received: 'x'."),
        ("n,t\n1,2\n,2\n", {},
         "{path}: line 3, column 'n': must be a number. The cell is empty. `missing: drop` leaves such lines out, "
         "`missing: mean` fills such cells."),
        ("n,t\n1,2\nnan,2\n", {},
         "{path}: line 3, column 'n': must be a number. Received: 'nan'. `missing: drop` leaves such lines out, "
         "`missing: mean` fills such cells."),
        ("n,t\n1,2\n1,nan\n", {},
         "{path}: line 3, column 't': must be a finite number within float32. Received: 'nan'."),
        ("n,t\n1,1e39\n", {}, "{path}: line 2, column 't': must be a finite number within float32. Received: '1e39'."),
        ("n,t\n1,3\n", {"classes": 3}, "{path}: line 2, column 't': must be an integer from 0 to 2. Received: '3'."),
        ("n,t\n1,-1\n", {"classes": 3}, "{path}: line 2, column 't': must be an integer from 0 to 2. Received: '-1'."),
        ("n,t\n1,.5\n", {"classes": 3}, "{path}: line 2, column 't': must be an integer from 0 to 2. Received: '.5'."),
        ("n,t\n1,gama\n", {"classes": ["gamma", "hadron"]},
         "{path}: line 2, column 't': no such class. Received: 'gama'. Allowed: gamma, hadron. Did you mean 'gamma'?"),
    ],
)  # fmt: skip
def test_what_cannot_be_used_is_named(text: str, options: Any, message: str, table: Any) -> None:
    path = table(text)
    with pytest.raises(DataError) as error:
        Csv(**{"path": path, "target": "t", **options}).load()
    assert str(error.value) == message.format(path=path)


def test_a_file_that_is_not_there_or_not_text(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="no such file"):
        Csv(path=str(tmp_path / "none.csv"), target="t").load()
    (tmp_path / "binary.csv").write_bytes(b"n,t\n\xff\xfe,1\n")
    with pytest.raises(DataError, match="It may be ISO-8859-1"):
        Csv(path=str(tmp_path / "binary.csv"), target="t").load()
    np.savez(tmp_path / "archive.csv.npz", x=np.arange(9) * 12345)
    with pytest.raises(DataError, match="It holds no text"):
        Csv(path=str(tmp_path / "archive.csv.npz"), target="t").load()
    with pytest.raises(DataError, match="cannot be read as a CSV file in UTF-8"):
        Csv(path=str(tmp_path), target="t").load()


def test_other_encodings_are_named_with_the_command_that_converts(tmp_path: Path) -> None:
    path = tmp_path / "wide one.csv"
    path.write_text("n,t\n1,0\n", encoding="utf-16")
    with pytest.raises(DataError) as error:
        Csv(path=str(path), target="t").load()
    command = f"iconv -f UTF-16 -t UTF-8 '{path}' > converted.csv"
    assert str(error.value) == f"{path}: is not UTF-8. It is UTF-16. To convert it: {command}"


def test_decimal_commas_missing_headers_and_logarithms_are_told(table: Any) -> None:
    with pytest.raises(DataError, match=r"line 2, column 'n': must be a number. Received: '0,5'. .* a decimal point"):
        Csv(path=table("n;t\n0,5;1\n0,7;0\n"), target="t", delimiter=";").load()
    with pytest.raises(DataError, match=r"no such column. Received: 't'. .* the first line must name the columns"):
        Csv(path=table("1,0\n2,1\n"), target="t").load()
    path = table("n,t\n" + "\n".join(f"{n - 3},{n % 2}" for n in range(30)))
    with pytest.raises(DataError, match=r"line 2, column 'n': `log` takes numbers above 0. Received: -3. `clip` gives"):
        Csv(path=path, target="t", log=["n"]).load()
    assert len(Csv(path=path, target="t", log=["n"], clip={"n": [1, None]}).load().train)
    with pytest.raises(ConfigError, match=r"Received: 't'. Allowed: n. It is a target: write their logarithms to the"):
        Csv(path=path, target="t", log=["t"]).load()


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"target": ["a", "a"]}, "`target` names differ. Received twice: a."),
        ({"features": ["a", "a"]}, "`features` names differ. Received twice: a."),
        ({"classes": ["a", "a"]}, "`classes` names differ. Received twice: a."),
        ({"features": ["t", "u"]}, "a column is a feature or a target, not both. Received: t."),
        ({"target": ["t", "u"], "classes": 3}, "`classes` are those of one target column. Received: target=['t', 'u']"),
    ],
)
def test_names_that_do_not_go_together(options: Any, message: str) -> None:
    with pytest.raises(ConfigError) as error:
        Csv(**{"path": "x.csv", "target": "t", **options})
    assert str(error.value) == message
