"""Data sets: what they load, and what they say about files that they cannot use."""

from __future__ import annotations

import hashlib
import inspect
import subprocess
import sys
import typing
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from hgq2_core.errors import ConfigError, DataError
from hgq2_training import Digits, Magic, Npz, plugin

DATA = Path(plugin.__file__).parent / "data"


def test_digits_are_sixteenths_with_ten_labels() -> None:
    splits = Digits().load()
    assert splits.validation is not None
    assert (len(splits.train), len(splits.validation), len(splits.test)) == (1168, 180, 449)
    for part in (splits.train, splits.validation, splits.test):
        assert (part.x.dtype, part.y.dtype) == (np.float32, np.int64)
        assert part.x.shape == (len(part), 64)
        assert set(np.unique(part.x * 16)) <= set(range(17))
        assert set(part.y) == set(range(10))
    assert max(part.max() for part in (splits.train.x, splits.test.x)) == 1.0


@pytest.mark.parametrize("shape", [[64], [8, 8], [8, 8, 1]])
def test_digits_come_in_three_shapes_of_the_same_values(shape: list[int]) -> None:
    x = Digits(shape=shape).load().test.x
    assert x.shape == (449, *shape)
    np.testing.assert_array_equal(x.reshape(449, 64), Digits().load().test.x)


def test_digits_refuse_other_shapes() -> None:
    with pytest.raises(ConfigError, match=r"one of \[64\], \[8, 8\], \[8, 8, 1\]. Received: shape=\[8, 9\]"):
        Digits(shape=[8, 9])


def test_magic_is_standardized_on_its_training_part() -> None:
    splits = Magic().load()
    assert splits.validation is not None
    assert (len(splits.train), len(splits.validation), len(splits.test)) == (12363, 1902, 4755)
    np.testing.assert_allclose(splits.train.x.mean(axis=0, dtype=float), 0, atol=1e-6)
    np.testing.assert_allclose(splits.train.x.std(axis=0, dtype=float), 1, atol=1e-6)
    assert (splits.train.x.dtype, splits.train.y.dtype) == (np.float32, np.int64)
    assert splits.test.x.mean() != pytest.approx(0, abs=1e-6)
    for part in (splits.train, splits.validation, splits.test):
        assert part.y.mean() == pytest.approx(12332 / 19020, abs=5e-4)


@pytest.mark.parametrize(
    ("name", "digest"),
    [
        ("digits_8x8.npz", "6f801551877abf69fbf3711373bb642a18dc933430a3385cd6febc235225ea6f"),
        ("japanese_vowels.npz", "7cab1d543604019bd178546c92e9e013ce7a03a22183d52cdbcefdcbb54e38f2"),
        ("magic_gamma.npz", "3ebaaa782aa3f7c8592b8dcd7fa636ba9e68883bd252b0b3cb4bd63ddeade571"),
    ],
)
def test_the_shipped_files_are_the_ones_that_were_attributed(name: str, digest: str) -> None:
    assert hashlib.sha256((DATA / name).read_bytes()).hexdigest() == digest
    assert name in (DATA / "README.md").read_text(encoding="utf-8")


@pytest.mark.parametrize("dataset", [Digits, Magic])
def test_arguments_are_checked_at_once(dataset: type) -> None:
    with pytest.raises(ConfigError, match="test_fraction=2"):
        dataset(test_fraction=2)


@pytest.mark.parametrize("dataset", [Digits, Magic, Npz])
def test_constructors_are_typed_keyword_only_and_keep_their_arguments(dataset: type) -> None:
    parameters = list(inspect.signature(dataset).parameters.values())
    assert {parameter.kind for parameter in parameters} == {inspect.Parameter.KEYWORD_ONLY}
    assert typing.get_type_hints(dataset.__init__).keys() == {p.name for p in parameters} | {"return"}  # type: ignore[misc]
    kept = vars(dataset(path="a.npz")) if dataset is Npz else vars(dataset())
    kept = {name: value for name, value in kept.items() if not name.startswith("_")}
    assert kept.keys() == {parameter.name for parameter in parameters}


def test_the_plugin_and_its_package_import_no_backend() -> None:
    code = (
        "import sys, hgq2_training.plugin as p; p.hgq2_datasets(); print({'keras', 'torch', 'numpy'} & {*sys.modules})"
    )
    assert subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout == "set()\n"


def test_an_unknown_name_in_the_package_is_an_attribute_error() -> None:
    import hgq2_training

    with pytest.raises(AttributeError, match="Digitz"):
        hgq2_training.Digitz  # noqa: B018


def save(path: Path, **arrays: Any) -> str:
    """Write arrays over a good file of 20 samples."""
    good = {"x": np.arange(40.0).reshape(20, 2), "y": np.arange(20) % 2}
    np.savez(path / "a.npz", **(good | arrays))
    return str(path / "a.npz")


def test_npz_loads_float32_inputs_and_stratified_labels(tmp_path: Path) -> None:
    splits = Npz(path=save(tmp_path)).load()
    assert splits.validation is not None
    assert (len(splits.train), len(splits.validation), len(splits.test)) == (13, 2, 5)
    assert (splits.train.x.dtype, splits.train.y.dtype) == (np.float32, np.int64)
    assert np.bincount(splits.validation.y).tolist() == [1, 1]
    x = np.concatenate([splits.train.x, splits.validation.x, splits.test.x])
    assert sorted(x[:, 0]) == list(range(0, 40, 2))


def test_npz_keeps_float_and_many_valued_targets_as_float32(tmp_path: Path) -> None:
    splits = Npz(path=save(tmp_path, y=np.ones((20, 3)))).load()
    assert (splits.test.y.dtype, splits.test.y.shape) == (np.float32, (5, 3))


def test_npz_standardizes_on_request(tmp_path: Path) -> None:
    x = Npz(path=save(tmp_path), standardize=True).load().train.x
    np.testing.assert_allclose([x.mean(axis=0), x.std(axis=0)], [[0, 0], [1, 1]], atol=1e-6)


def test_npz_uses_a_test_part_that_is_in_the_file(tmp_path: Path) -> None:
    path = save(tmp_path, xt=np.full((3, 2), 7.0), yt=np.array([0, 1, 1]))
    splits = Npz(path=path, x_test="xt", y_test="yt").load()
    assert splits.validation is not None
    assert (len(splits.train), len(splits.validation)) == (18, 2)
    assert (splits.test.x.tolist(), splits.test.y.tolist()) == ([[7.0, 7.0]] * 3, [0, 1, 1])
    assert Npz(path=path, x_test="xt", y_test="yt", validation_fraction=0).load().validation is None


def test_npz_test_inputs_and_targets_come_together_and_agree_in_shape(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=r"both or not at all. Received: x_test='xt', y_test=None"):
        Npz(path="a.npz", x_test="xt")
    path = save(tmp_path, xt=np.ones((3, 5)), yt=np.array([0, 1, 1]))
    with pytest.raises(DataError, match=r"'x' and 'xt' must agree.*\(20, 2\) and \(3, 5\)"):
        Npz(path=path, x_test="xt", y_test="yt").load()


@pytest.mark.parametrize(
    ("arrays", "message"),
    [
        ({"x": np.array([[None]] * 20)}, "'x' holds Python objects, which are refused"),
        ({"x": np.array([["a"]] * 20)}, "'x' must hold real numbers. Received: dtype <U1"),
        ({"x": np.ones((20, 2), complex)}, "real numbers. Received: dtype complex128"),
        ({"y": np.array(["2020-01-01"] * 20, dtype="datetime64[D]")}, "'y' must hold real numbers"),
        ({"x": np.ones((0, 2))}, r"'x' is empty or a single number. Received: shape \(0, 2\)"),
        ({"x": np.float32(3)}, r"'x' is empty or a single number. Received: shape \(\)"),
        ({"x": np.ones((19, 2))}, r"'x' and 'y' must have the same length. Received: shapes \(19, 2\) and \(20,\)"),
        ({"x": np.full((20, 2), 1e39)}, "'x' holds values beyond float32. Received: 1e"),
    ],
)
def test_npz_refuses_arrays_that_cannot_be_trained_on(tmp_path: Path, arrays: dict[str, Any], message: str) -> None:
    with pytest.raises(DataError, match=message):
        Npz(path=save(tmp_path, **arrays)).load()


def test_npz_counts_nan_and_infinite_values_and_names_the_first(tmp_path: Path) -> None:
    x = np.ones((20, 2))
    x[3, 1], x[4, 0], x[9, 0] = np.nan, np.inf, -np.inf
    with pytest.raises(DataError, match=r"'x' holds 3 NaN or infinite values, the first at index \(3, 1\)"):
        Npz(path=save(tmp_path, x=x)).load()


def test_npz_names_what_the_file_holds_where_a_name_is_missing(tmp_path: Path) -> None:
    path = save(tmp_path, inputs=np.ones(3))
    with pytest.raises(DataError, match=r"'input' is not in the file. It holds: inputs, x, y. Did you mean 'inputs'\?"):
        Npz(path=path, x="input").load()


def test_npz_says_what_is_wrong_with_a_file(tmp_path: Path) -> None:
    with pytest.raises(DataError, match=r"nowhere.npz: no such file"):
        Npz(path=str(tmp_path / "nowhere.npz")).load()
    for name, content in {"text": b"hello", "empty": b"", "zip": b"PK\x03\x04 broken"}.items():
        (tmp_path / name).write_bytes(content)
        with pytest.raises(DataError, match=rf"{name}: not a numpy archive"):
            Npz(path=str(tmp_path / name)).load()
    with pytest.raises(DataError, match="not a numpy archive"):
        Npz(path=str(tmp_path)).load()
    np.save(tmp_path / "single.npy", np.ones(3))
    with pytest.raises(DataError, match="a single array, not an archive"):
        Npz(path=str(tmp_path / "single.npy")).load()


def test_npz_reports_an_archive_that_is_damaged_inside(tmp_path: Path) -> None:
    np.savez_compressed(tmp_path / "a.npz", x=np.arange(2000.0), y=np.arange(2000))
    content = bytearray((tmp_path / "a.npz").read_bytes())
    content[200:260] = bytes(60)
    (tmp_path / "a.npz").write_bytes(content)
    with pytest.raises(DataError, match="'x' cannot be read"):
        Npz(path=str(tmp_path / "a.npz")).load()
