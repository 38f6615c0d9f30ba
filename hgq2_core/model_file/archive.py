"""The container of a model file: a zip archive of three members, read into memory within limits."""

from __future__ import annotations

import stat
import struct
import zipfile
import zlib
from pathlib import Path
from typing import BinaryIO

from hgq2_core.errors import ModelFileError, listing
from hgq2_core.model_file.limits import Limits

CONFIG, METADATA, WEIGHTS = "config.json", "metadata.json", "model.weights.h5"
MEMBERS = frozenset({CONFIG, METADATA, WEIGHTS})

DIRECTORY_BYTES = 1 << 16
"""Limit on the archive's directory, of which `zipfile` makes an object per entry; three entries are far smaller."""

_LOCATOR = b"PK\x06\x07"
_END = struct.Struct("<4s4H2LH")
_ENCRYPTED = 1

# Errors that `zipfile` raises on a damaged archive.
_DAMAGED = (zipfile.BadZipFile, zlib.error, EOFError, NotImplementedError, ValueError, struct.error, OSError)


def read_members(path: Path, limits: Limits) -> tuple[bytes, bytes]:
    """Return configuration and weights.

    Args:
        path: a `.keras` file.
        limits: limits on sizes.

    Returns:
        The bytes of `config.json` and of `model.weights.h5`.

    Raises:
        ModelFileError: the path is not a zip archive with the members that Keras writes, or exceeds the limits.
    """
    if not path.is_file():
        what = "is not a regular file" if path.exists() else "no such file"
        raise ModelFileError(f"{path}: {what}. Allowed: a .keras file.")
    try:
        with path.open("rb") as file:
            _check_outside(file, path, limits)
            with zipfile.ZipFile(file) as archive:
                _check_members(archive, path, limits)
                return archive.read(CONFIG), archive.read(WEIGHTS)
    except ModelFileError:
        raise
    except _DAMAGED as error:
        raise ModelFileError(f"{path}: cannot be read; the file is damaged. {error}") from error


def _check_outside(file: BinaryIO, path: Path, limits: Limits) -> None:
    size = file.seek(0, 2)
    if size > limits.file_bytes:
        raise ModelFileError(f"{path}: is too large. Received: {size} bytes. Allowed: {limits.file_bytes}.")
    file.seek(max(0, size - _END.size - 20))
    tail = file.read()
    damaged = ModelFileError(
        f"{path}: is not a zip archive as Keras writes it, or is truncated. Allowed: a .keras file."
    )
    if len(tail) < _END.size:
        raise damaged
    signature, *_, directory, _, comment = _END.unpack(tail[-_END.size :])
    # `_LOCATOR` begins a second directory for archives beyond 4 GB, which `zipfile` would read in place of the first.
    if signature != b"PK\x05\x06" or comment or tail.startswith(_LOCATOR) or directory > DIRECTORY_BYTES:
        raise damaged


def _check_members(archive: zipfile.ZipFile, path: Path, limits: Limits) -> None:
    names = [member.filename for member in archive.infolist()]
    for member in archive.infolist():
        where, name = f"{path}: {member.filename!r}", member.filename
        if name not in MEMBERS:
            raise ModelFileError(f"{path}: unexpected member. Received: {name!r}. Allowed: {listing(MEMBERS)}.")
        if names.count(name) > 1:
            raise ModelFileError(f"{where} occurs {names.count(name)} times. Allowed: once.")
        if member.flag_bits & _ENCRYPTED:
            raise ModelFileError(f"{where} is encrypted. Allowed: plain members.")
        if stat.S_IFMT(member.external_attr >> 16) not in (0, stat.S_IFREG):
            raise ModelFileError(f"{where} is a link, a folder or a device. Allowed: a file.")
        allowed = limits.file_bytes if name == WEIGHTS else limits.config_bytes
        if member.file_size > allowed:
            raise ModelFileError(f"{where} is too large. Received: {member.file_size} bytes. Allowed: {allowed}.")
        if member.file_size > limits.ratio * max(member.compress_size, 1):
            raise ModelFileError(
                f"{where} grows too much when it is unpacked. Received: {member.compress_size} bytes that become "
                f"{member.file_size}. Allowed: {limits.ratio} times as many."
            )
    for name in (CONFIG, WEIGHTS):
        if name not in names:
            raise ModelFileError(f"{path}: {name!r} is missing. Received: {listing(names)}.")
