"""Atomic writes, which leave either the old file or the whole new one, and JSON files."""

from __future__ import annotations

import contextlib
import errno
import glob
import json
import math
import os
import re
import secrets
import shutil
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from hgq2_core.errors import ConfigError, ModelFileError, WriteError

try:
    import fcntl
except ImportError:  # Windows
    fcntl = None  # type: ignore[assignment]

_FULL = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG, errno.EROFS)
_LEFTOVER = re.compile(r"\..+\.[0-9a-f]{8}\.partial(\..*)?")


@contextlib.contextmanager
def atomic_path(path: str | os.PathLike[str]) -> Iterator[Path]:
    """Yield a temporary path to write to, and replace `path` by the file written there at the end.

    Args:
        path: the file to replace or create; its folder must exist.

    Yields:
        A path in the same folder, with the same suffix. If the body raises, it is removed and `path` is untouched.

    Raises:
        WriteError: the disk is full, or the folder cannot be written to.
    """
    path = Path(path)
    temporary = path.with_name(f".{path.stem}.{secrets.token_hex(4)}.partial{path.suffix}")
    with _written(path):
        try:
            yield temporary
            with temporary.open("rb+") as file:
                os.fsync(file.fileno())
            os.replace(temporary, path)
        finally:
            temporary.unlink(missing_ok=True)
    _sync_folder(path.parent)


@contextlib.contextmanager
def new_directory(directory: Path, what: str) -> Iterator[Path]:
    """Yield a temporary directory that becomes `directory` at the end; if the body raises, it is removed.

    Those that killed processes left on the way to the same `directory` are removed first.

    Args:
        directory: does not exist, or is empty; its parents are made.
        what: is written there, for messages, such as `an export`.

    Yields:
        The temporary directory, beside `directory`.

    Raises:
        ConfigError: the directory is not empty, a file, or the current one.
        WriteError: it cannot be made, or the disk is full, whoever writes to it.
    """
    if directory.is_file() or (directory.is_dir() and any(directory.iterdir())):
        raise ConfigError(f"{directory}: exists and is not empty; {what} needs a new directory.")
    if directory.resolve() == Path.cwd():
        raise ConfigError(f"{directory}: is the directory that you are in; {what} needs a new directory.")
    for left in directory.parent.glob(f".{glob.escape(directory.name)}.*.partial"):
        with _locked(left) as abandoned:
            if abandoned:
                shutil.rmtree(left, ignore_errors=True)
    temporary = make_folder(directory.with_name(f".{directory.name}.{secrets.token_hex(4)}.partial"))
    try:
        with _locked(temporary):
            yield temporary
            with _written(directory):
                os.replace(temporary, directory)
    except OSError as error:
        if error.errno not in _FULL and not isinstance(error, shutil.Error):
            raise
        raise WriteError(f"{directory}: cannot be written. {error.strerror or error}") from error
    finally:
        shutil.rmtree(temporary, ignore_errors=True)


def make_folder(path: str | os.PathLike[str]) -> Path:
    """Make a folder and its parents, if they do not exist.

    Raises:
        WriteError: it cannot be made.
    """
    with _written(path):
        Path(path).mkdir(parents=True, exist_ok=True)
    return Path(path)


def remove(path: str | os.PathLike[str]) -> None:
    """Remove a file, if it exists.

    Raises:
        WriteError: it cannot be removed.
    """
    with _written(path):
        Path(path).unlink(missing_ok=True)


def is_leftover(path: Path) -> bool:
    """Return True if a file, by its name, was left by a process that was killed while writing."""
    return bool(_LEFTOVER.fullmatch(path.name))


def remove_leftovers(folder: Path) -> None:
    """Remove the files that killed processes left in a folder; no other process may be writing there.

    Args:
        folder: need not exist.
    """
    for path in folder.iterdir() if folder.is_dir() else ():
        if is_leftover(path):
            remove(path)


def write_text(path: str | os.PathLike[str], text: str) -> None:
    """Replace a file by this text, in UTF-8.

    Args:
        path: the file; its folder must exist.
        text: its whole content; line endings are kept.
    """
    with atomic_path(path) as temporary:
        temporary.write_bytes(text.encode())


def write_json(path: str | os.PathLike[str], obj: Any) -> None:
    """Replace a file by this object as indented JSON.

    Args:
        path: the file; its folder must exist.
        obj: dictionaries, lists, strings and numbers; see `finite`.
    """
    write_text(path, json.dumps(finite(obj), indent=2, ensure_ascii=False, allow_nan=False) + "\n")


def read_json(path: Path, default: Any) -> Any:
    """Read a JSON file.

    Args:
        path: the file.
        default: returned if there is no such file; the file must hold a value of the same type.

    Raises:
        ModelFileError: the file is damaged.
    """
    if not path.is_file():
        return default
    try:
        found = json.loads(path.read_text(encoding="utf-8"))
    except ValueError as error:
        raise ModelFileError(f"{path}: is damaged, not JSON. {error}") from error
    if not isinstance(found, type(default)):
        raise ModelFileError(f"{path}: is damaged. Received: {type(found)}. Allowed: {type(default)}.")
    return found


def finite(obj: Any) -> Any:
    """Return plain data with None in place of each NaN and infinity, which JSON cannot represent."""
    if isinstance(obj, Mapping):
        return {key: finite(value) for key, value in obj.items()}
    if isinstance(obj, list | tuple):
        return [finite(value) for value in obj]
    return None if isinstance(obj, float) and not math.isfinite(obj) else obj


@contextlib.contextmanager
def _written(path: str | os.PathLike[str]) -> Iterator[None]:
    try:
        yield
    except WriteError:
        raise
    except OSError as error:
        raise WriteError(f"{path}: cannot be written. {error.strerror or error}") from error


@contextlib.contextmanager
def _locked(folder: Path) -> Iterator[bool]:
    """Lock a folder until the body or the process ends; yield False if another process has, or there are no locks."""
    try:
        descriptor = None if fcntl is None else os.open(folder, os.O_RDONLY)
    except OSError:  # it is somebody else's, or gone by now
        descriptor = None
    if descriptor is None:
        yield False
        return
    locked = False
    try:
        with contextlib.suppress(OSError):
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
            locked = True
        yield locked
    finally:
        os.close(descriptor)


def _sync_folder(folder: Path) -> None:
    """Make the rename durable over a power cut, on systems where a folder can be opened and synced."""
    with contextlib.suppress(OSError):
        descriptor = os.open(folder, os.O_RDONLY)
        try:
            os.fsync(descriptor)
        finally:
            os.close(descriptor)
