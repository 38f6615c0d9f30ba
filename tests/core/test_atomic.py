"""Atomic files: the old content or the whole new one, and nothing else in the folder."""

from __future__ import annotations

import errno
import json
import os
import shutil
import stat
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from hgq2_core.errors import WriteError
from hgq2_core.files import (
    atomic_path,
    is_leftover,
    make_folder,
    new_directory,
    remove,
    remove_leftovers,
    write_json,
    write_text,
)


def test_the_new_content_takes_the_place_of_the_old_at_the_end(tmp_path: Path) -> None:
    target = tmp_path / "model.keras"
    target.write_text("old")
    with atomic_path(target) as temporary:
        temporary.write_text("new")
        assert target.read_text() == "old"
        assert temporary.parent == tmp_path
        assert temporary.suffix == ".keras"
    assert target.read_text() == "new"
    assert list(tmp_path.iterdir()) == [target]


@pytest.mark.parametrize("error", [RuntimeError, KeyboardInterrupt])
def test_an_error_leaves_the_old_content_and_no_temporary_file(tmp_path: Path, error: type[BaseException]) -> None:
    target = tmp_path / "a.txt"
    target.write_text("old")
    with pytest.raises(error), atomic_path(target) as temporary:
        temporary.write_text("half")
        raise error
    assert target.read_text() == "old"
    assert list(tmp_path.iterdir()) == [target]


def test_a_body_that_writes_nothing_is_an_error_and_changes_nothing(tmp_path: Path) -> None:
    target = tmp_path / "a.txt"
    target.write_text("old")
    with pytest.raises(WriteError), atomic_path(target):
        pass
    assert target.read_text() == "old"


def test_two_writers_do_not_share_a_temporary_file(tmp_path: Path) -> None:
    with atomic_path(tmp_path / "a") as first, atomic_path(tmp_path / "a") as second:
        first.touch()
        second.touch()
        assert first != second


def test_text_is_utf8_and_line_ends_are_kept(tmp_path: Path) -> None:
    write_text(tmp_path / "a.txt", "µ\r\nß\n")
    assert (tmp_path / "a.txt").read_bytes() == "µ\r\nß\n".encode()


def test_the_file_is_as_readable_as_any_other_new_one(tmp_path: Path) -> None:
    (tmp_path / "plain").write_text("")
    write_text(tmp_path / "atomic", "")
    plain, atomic = (stat.S_IMODE((tmp_path / name).stat().st_mode) for name in ("plain", "atomic"))
    assert atomic == plain


def test_json_is_valid_json_whatever_the_numbers(tmp_path: Path) -> None:
    write_json(tmp_path / "a.json", {"loss": float("nan"), "points": [(1, float("inf")), (2, 0.5)], "name": "µ"})
    text = (tmp_path / "a.json").read_text(encoding="utf-8")
    assert json.loads(text, parse_constant=pytest.fail) == {"loss": None, "points": [[1, None], [2, 0.5]], "name": "µ"}
    assert text.endswith("}\n")


def test_what_json_cannot_hold_leaves_the_old_file(tmp_path: Path) -> None:
    write_json(tmp_path / "a.json", 1)
    with pytest.raises(TypeError):
        write_json(tmp_path / "a.json", {"x": object()})
    assert (tmp_path / "a.json").read_text() == "1\n"


def test_what_a_killed_process_left_is_known_by_its_name_and_removed(tmp_path: Path) -> None:
    killed = tmp_path / "killed"
    kept = {"model.keras", "folder.name.json", ".hidden", ".model.partial.keras", "x.12345678.partial.json"}
    make_folder(killed)
    for name in kept:
        (killed / name).touch()
        with atomic_path(tmp_path / name) as temporary:
            temporary.touch()
            (killed / temporary.name).touch()
    assert sum(map(is_leftover, killed.iterdir())) == len(kept)
    remove_leftovers(killed)
    assert {path.name for path in killed.iterdir()} == kept
    remove_leftovers(tmp_path / "nowhere")


def test_a_directory_that_a_killed_process_left_is_removed_on_the_way_to_the_same_one(tmp_path: Path) -> None:
    make_folder(tmp_path / ".out.0123abcd.partial" / "half")
    make_folder(tmp_path / ".other.0123abcd.partial")
    with new_directory(tmp_path / "out", "an export") as temporary:
        assert is_leftover(temporary)
        with pytest.raises(ZeroDivisionError), new_directory(tmp_path / "out", "an export") as second:
            assert temporary.is_dir() and second != temporary  # its process lives
            raise ZeroDivisionError
        (temporary / "whole").touch()
    assert {path.name for path in tmp_path.iterdir()} == {"out", ".other.0123abcd.partial"}
    assert [path.name for path in (tmp_path / "out").iterdir()] == ["whole"]


FULL = [OSError(errno.ENOSPC, os.strerror(errno.ENOSPC)), shutil.Error([("from", "to", "No space left on device")])]


@pytest.mark.parametrize("error", FULL)
def test_a_disk_that_is_full_for_others_is_told_by_the_name_of_the_directory(error: OSError, tmp_path: Path) -> None:
    message = r"out: cannot be written\. .*No space left on device"
    with pytest.raises(WriteError, match=message), new_directory(tmp_path / "out", "an export"):
        raise error
    assert list(tmp_path.iterdir()) == []


def test_a_full_disk_is_an_error_that_names_the_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    target = tmp_path / "a.txt"
    target.write_text("old")

    def full(descriptor: int) -> None:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(WriteError) as error:
        write_text(target, "new")
    assert str(error.value) == f"{target}: cannot be written. No space left on device"
    assert target.read_text() == "old"
    assert list(tmp_path.iterdir()) == [target]


@pytest.mark.parametrize("change", [make_folder, remove, lambda path: write_text(path, "new")])
def test_a_place_that_cannot_be_is_an_error_that_names_it(tmp_path: Path, change: Callable[[Path], Any]) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(WriteError) as error:
        change(tmp_path / "file" / "inside")
    assert str(error.value) == f"{tmp_path / 'file' / 'inside'}: cannot be written. Not a directory"
