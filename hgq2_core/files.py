"""Files that are either the old one or the whole new one, whatever happens in between; and JSON that is read back."""

from __future__ import annotations

import contextlib
import json
import math
import os
import re
import secrets
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from hgq2_core.errors import ModelFileError, WriteError

_LEFTOVER = re.compile(r"\..+\.[0-9a-f]{8}\.partial(\..*)?")


@contextlib.contextmanager
def atomic_path(path: str | os.PathLike[str]) -> Iterator[Path]:
    """Return a temporary path to write to, and put what was written in place of `path` at the end.

    Args:
        path: the file to replace or create; its folder must exist.

    Yields:
        A path in the same folder, with the same suffix. Where the body raises, it is removed and `path` is untouched.

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


def make_folder(path: str | os.PathLike[str]) -> Path:
    """Make a folder and those above it, where they are not there.

    Raises:
        WriteError: it cannot be made.
    """
    with _written(path):
        Path(path).mkdir(parents=True, exist_ok=True)
    return Path(path)


def remove(path: str | os.PathLike[str]) -> None:
    """Remove a file, if it is there.

    Raises:
        WriteError: it cannot be removed.
    """
    with _written(path):
        Path(path).unlink(missing_ok=True)


def is_leftover(path: Path) -> bool:
    """Return True if a file is what a process that was killed while it wrote has left, by its name."""
    return bool(_LEFTOVER.fullmatch(path.name))


def remove_leftovers(folder: Path) -> None:
    """Remove what killed processes have left in a folder; nobody else may be writing there.

    Args:
        folder: one that need not exist.
    """
    for path in folder.iterdir() if folder.is_dir() else ():
        if is_leftover(path):
            remove(path)


def write_text(path: str | os.PathLike[str], text: str) -> None:
    """Replace a file by this text, in UTF-8.

    Args:
        path: the file; its folder must exist.
        text: its whole content; line ends are kept as they are.
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
        path: of the file.
        default: what stands for a file that is not there; the file must hold the same type.

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
    """Return plain data with null in place of each NaN and infinity, which JSON does not have."""
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


def _sync_folder(folder: Path) -> None:
    """Make the new name outlive a power cut; not every system lets a folder be opened or synced."""
    with contextlib.suppress(OSError):
        descriptor = os.open(folder, os.O_RDONLY)
        try:
            os.fsync(descriptor)
        finally:
            os.close(descriptor)
