"""Data of one's own: what is wrong with them is said with the remedy, and what is done to them is said too."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from hgq2_core import ConfigError, DataError
from hgq2_training import Csv, Npz

pytestmark = pytest.mark.once


@pytest.fixture
def table(tmp_path: Path) -> Any:
    def write(text: str, name: str = "table.csv") -> str:
        (tmp_path / name).write_text(text)
        return str(tmp_path / name)

    return write


def message(dataset: Any) -> str:
    with pytest.raises(DataError) as error:
        dataset.load()
    return str(error.value)


def rows(splits: Any) -> list[list[float]]:
    return sorted(
        [*map(float, x), float(y)] for part in splits.parts.values() for x, y in zip(part.x, part.y, strict=True)
    )


# --- csv -------------------------------------------------------------------------------------------------------------


def test_classes_that_are_not_named_are_answered_with_the_line_to_paste(table: Any) -> None:
    path = table("n,t\n1,muon\n2,electron\n3,muon\n4,yes\n")
    assert message(Csv(path=path, target="t")) == (
        f"{path}: line 2, column 't': must be a number. Received: 'muon'. "
        'To paste: classes: ["electron", "muon", "yes"]'
    )
    assert message(Csv(path=path, target="t", classes=3)).endswith('To paste: classes: ["electron", "muon", "yes"]')
    many = table("\n".join(["n,t", *(f"{n},word{n}" for n in range(100))]))
    assert message(Csv(path=many, target="t")).endswith("must be a number. Received: 'word0'.")


@pytest.mark.parametrize(
    ("text", "delimiter", "header", "other"),
    [
        ("n;t\n1;2\n", ",", "n;t", '";"'),
        ('"n";"t"\n"1";"2"\n', ",", '"n";"t"', '";"'),
        ("n\tt\n1\t2\n", ",", "n\\tt", '"\\t"'),
        ("n, t\n1, 2\n", ";", "n, t", '","'),
    ],
)
def test_another_delimiter_is_recognized(text: str, delimiter: str, header: str, other: str, table: Any) -> None:
    path = table(text)
    assert message(Csv(path=path, target="t", delimiter=delimiter)) == (
        f"{path}: the columns are not separated by \"{delimiter}\". Received: '{header}'. To paste: delimiter: {other}"
    )


def test_classes_are_listed_in_the_order_of_the_config(table: Any) -> None:
    path = table("n,t\n1,b\n")
    assert message(Csv(path=path, target="t", classes=("zero", "one", "two"))) == (
        f"{path}: line 2, column 't': no such class. Received: 'b'. Allowed: zero, one, two."
    )


def test_ignored_columns_are_no_inputs(table: Any) -> None:
    path = table("id,n,t,note\na1,1,2,x\na2,3,4,y\na3,5,6,z\na4,7,8,\n")
    splits = Csv(path=path, target="t", ignore=("id", "note"), validation_fraction=0.0).load()
    assert rows(splits) == [[1, 2], [3, 4], [5, 6], [7, 8]]
    assert message(Csv(path=path, target="t", ignore=("idd",))) == (
        f"{path}: no such column. Received: 'idd'. The header has: id, n, t, note. Did you mean 'id'?"
    )
    assert message(Csv(path=path, target="t", ignore=("id", "n", "note"))) == (
        f"{path}: has no column besides the target and those of `ignore`. Received: id, n, t, note."
    )
    for options, received in (
        ({"ignore": ("t",)}, "a column is ignored or a target, not both. Received: t."),
        ({"ignore": ("n",), "features": ("n",)}, "a column is ignored or a feature, not both. Received: n."),
    ):
        with pytest.raises(ConfigError) as error:
            Csv(**{"path": path, "target": "t", **options})
        assert str(error.value) == received


def test_a_test_file_is_read_in_the_order_of_the_columns_of_the_first(table: Any) -> None:
    path = table("a,b,t\n1,2,3\n4,5,6\n7,8,9\n")
    test = table("t,b,a,more\n30,20,10,x\n", "test.csv")
    splits = Csv(path=path, target="t", test_path=test, validation_fraction=0.0).load()
    assert (splits.test.x.tolist(), splits.test.y.tolist()) == ([[10.0, 20.0]], [30.0])


MISSING = "n,m,t\n1,,1\n2,5,2\n?,7,3\n4,9,4\n6,1,\nNaN,2,6\n"


def test_lines_with_missing_cells_are_dropped_and_counted(table: Any) -> None:
    path = table(MISSING)
    splits = Csv(path=path, target="t", missing="drop", validation_fraction=0.0, test_fraction=0.5).load()
    assert rows(splits) == [[2, 5, 2], [4, 9, 4]]
    assert splits.notes == (f"{path}: lines left out for a missing cell: 4 of 6.",)
    empty = table("n,t\n,1\n", "empty.csv")
    assert message(Csv(path=empty, target="t", missing="drop")) == (
        f"{empty}: has a header and no samples without missing cells."
    )


@pytest.mark.parametrize("standardize", [False, True])
def test_missing_inputs_become_the_mean_of_the_training_part(standardize: bool, table: Any) -> None:
    path = table("n,t\n1,1\n,2\n3,3\n8,4\n5,5\n", "train.csv")
    test = table("n,t\n,1\n9,2\n", "test.csv")
    options = {"path": path, "target": "t", "test_path": test, "validation_fraction": 0.0, "missing": "mean"}
    splits = Csv(**options, standardize=standardize).load()
    assert splits.notes == tuple(
        f"{file}: missing cells filled with the mean of the training part: 1." for file in (path, test)
    )
    raw = 17 / 4  # of the four that are known
    if not standardize:
        assert rows(splits) == sorted([[1, 1], [raw, 2], [3, 3], [8, 4], [5, 5], [raw, 1], [9, 2]])
        assert splits.test.x.tolist() == [[raw], [9.0]]
    else:
        assert splits.standardization is not None
        assert splits.standardization.mean.tolist() == [raw]
        assert splits.test.x[0] == 0


def test_a_missing_target_or_column_cannot_be_filled(table: Any) -> None:
    path = table(MISSING)
    assert message(Csv(path=path, target="t", missing="mean")) == (
        f"{path}: line 6, column 't': a target is not filled. The cell is empty. `missing: drop` leaves such lines out."
    )
    path = table("n,m,t\n1,,1\n2,,2\n3,,3\n4,,4\n")
    assert message(Csv(path=path, target="t", missing="mean", validation_fraction=0.0)) == (
        "`missing: mean`: column 'm' has no value in the training part. Name it in `ignore`."
    )


def test_a_class_may_be_called_none(table: Any) -> None:
    path = table("n,t\n1,none\n2,NA\n3,none\n4,NA\n")
    splits = Csv(path=path, target="t", classes=("none", "NA"), missing="drop", validation_fraction=0.0).load()
    assert rows(splits) == [[1, 0], [2, 1], [3, 0], [4, 1]]
    assert message(Csv(path=path, target="t")).endswith('To paste: classes: ["NA", "none"]')


def test_what_stands_for_a_missing_cell_is_said_by_the_config(table: Any) -> None:
    path = table("n,kind,t\n1,none,1\n-999,some,2\n-999.0,none,3\n4,unknown,4\n5,some,-999\n6,,6\n7,none,7\n")
    options = {"path": path, "target": "t", "categorical": {"kind": "index"}, "validation_fraction": 0.0}
    named = {**options, "missing_values": ("Unknown", -999)}
    assert rows(Csv(**named, missing="drop", test_fraction=0.5).load()) == [[1, 0, 1], [7, 0, 7]]
    assert message(Csv(**named)) == (
        f"{path}: line 5, column 'kind': a category is missing. Received: 'unknown'. `missing: drop` leaves such lines "
        "out, `missing: mean` fills such cells. What stands for a missing cell: `missing_values`."
    )
    # By default -999 is a number, "unknown" a category and "none" a missing cell.
    usual = Csv(**options, missing="drop", test_fraction=0.5).load()
    assert sorted(row[0] for row in rows(usual)) == [-999, 4, 5]
    # In a column without texts too.
    path = table("n,t\n1,1\n-999,2\n3,3\n", "numbers.csv")
    filled = Csv(path=path, target="t", missing="mean", missing_values=(-999,), test_path=path, validation_fraction=0.0)
    assert filled.load().test.x.tolist() == [[1.0], [2.0], [3.0]]
    target = Csv(path=path, target="n", missing="mean", missing_values=(-999,))
    assert message(target) == (
        f"{path}: line 3, column 'n': a target is not filled. Received: '-999'. `missing: drop` leaves such lines out."
    )


# --- npz -------------------------------------------------------------------------------------------------------------


def archive(folder: Path, **arrays: Any) -> str:
    good = {"x": np.arange(16.0).reshape(8, 2), "y": np.array(["b", "a"] * 4)}
    np.savez(folder / "a.npz", **(good | arrays))
    return str(folder / "a.npz")


@pytest.mark.parametrize("dtype", ["U4", "S4"])
def test_text_labels_become_the_places_of_their_classes(dtype: str, tmp_path: Path) -> None:
    path = archive(tmp_path, y=np.array(["b", "a"] * 4, dtype=dtype))
    splits = Npz(path=path, classes=("c", "b", "a")).load()
    assert splits.train.y.dtype == np.int64
    assert rows(splits) == [[2 * n, 2 * n + 1, 1 + n % 2] for n in range(8)]
    assert message(Npz(path=path)) == (
        f"{path}: 'y' holds text; `classes` names its classes. Received: 'b'. To paste: classes: [\"a\", \"b\"]"
    )
    assert message(Npz(path=path, classes=("zero", "b"))) == (
        f"{path}: 'y': no such class. Received: 'a'. Allowed: zero, b."
    )


def test_classes_by_name_need_text_of_one_class_per_sample(tmp_path: Path) -> None:
    path = archive(tmp_path, y=np.arange(8))
    assert message(Npz(path=path, classes=("a", "b"))) == (
        f"{path}: 'y' must hold text, for `classes` names what it holds. Received: dtype int64"
    )
    path = archive(tmp_path, y=np.array([["a", "b"]] * 8))
    assert message(Npz(path=path, classes=("a", "b"))) == (
        f"{path}: 'y' must hold one class per sample. Received: shape (8, 2)"
    )


def test_arrays_that_are_not_used_are_named(tmp_path: Path) -> None:
    numbers = np.arange(8) % 2
    path = archive(tmp_path, y=numbers, x_test=np.ones((2, 2)), y_test=numbers[:2])
    assert Npz(path=path).load().notes == (
        f"{path}: unused arrays: x_test, y_test. The test part is split off 'x'; "
        "name one of the file in `x_test` and `y_test`.",
    )
    assert Npz(path=path, x_test="x_test", y_test="y_test").load().notes == ()
    path = archive(tmp_path, y=numbers, x_test=np.ones((2, 2)), y_test=numbers[:2], weights=np.ones(8))
    assert Npz(path=path, x_test="x_test", y_test="y_test").load().notes == (f"{path}: unused arrays: weights.",)
