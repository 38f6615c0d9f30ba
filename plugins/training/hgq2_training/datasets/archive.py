"""Arrays of a numpy archive, in memory or read where they lie in the file."""

from __future__ import annotations

import contextlib
import struct
import zipfile
from collections.abc import Iterable, Iterator
from typing import Any, Protocol

import numpy as np
from numpy.lib.npyio import NpzFile

from hgq2_core.data.arrays import Rows
from hgq2_core.errors import DataError, listing, nearest

MAX_RATIO = 100
"""Limit on the ratio of size to compressed size of an array that is larger than `ALWAYS_UNPACKED`."""

ALWAYS_UNPACKED = 64 << 20
LOCAL_HEADER = struct.Struct("<4s5H3I2H")
"""The fixed part of the header before a member of a zip file."""


class ArraysByName(Protocol):
    """A file with arrays that is open."""

    @property
    def names(self) -> list[str]:
        """The names of the arrays."""

    def get(self, name: str) -> tuple[Any, str]:
        """Return an array, and its place for messages."""


class Archive:
    """A numpy archive that is open.

    Args:
        path: the file.
        archive: as numpy opens it.
        memory_map: whether to leave the arrays in the file.
    """

    def __init__(self, path: str, archive: NpzFile, memory_map: bool) -> None:
        self.path = path
        self.names = list(archive.files)
        self._archive = archive
        self._memory_map = memory_map

    def get(self, name: str) -> tuple[Any, str]:
        """Return an array, and its place for messages.

        Raises:
            DataError: it is missing, damaged, or too much packed.
        """
        where = f"{self.path}: {name!r}"
        if name not in self.names:
            raise DataError(f"{where} is not in the file. It holds: {listing(self.names)}.{nearest(name, self.names)}")
        members = self._archive.zip.infolist() if self._archive.zip else []
        if self._memory_map:
            member = next(each for each in members if each.filename.removesuffix(".npy") == name)
            return in_file(self.path, where, _offset(self.path, member, where)), where
        _check_packing(members, name, where)
        try:
            return self._archive[name], where
        except Exception as error:  # a damaged header can raise any error of Python's tokenizer
            why = "cannot be read"
            if "allow_pickle" in str(error):
                why = "holds Python objects, which are refused; save text by np.array(y, dtype=str)"
            raise DataError(f"{where} {why}: {error}") from error


@contextlib.contextmanager
def opened(path: str, memory_map: bool = False) -> Iterator[Archive]:
    """Open an archive; nothing in it is executed.

    Args:
        path: the file.
        memory_map: whether to leave the arrays in the file.

    Raises:
        DataError: the file is missing, or no archive.
    """
    with contextlib.ExitStack() as stack:
        try:
            # Opened here, since numpy does not close a file that is not an archive.
            archive = np.load(stack.enter_context(open(path, "rb")), allow_pickle=False)
        except FileNotFoundError as error:
            raise DataError(f"{path}: no such file") from error
        except (OSError, ValueError, EOFError, zipfile.BadZipFile) as error:
            # numpy takes any other file for one of objects, and would have it loaded without safety.
            why = "another kind of file, or one of Python objects" if "pickle" in str(error) else error
            raise DataError(f"{path}: not a numpy archive (.npz): {why}") from error
        if not isinstance(archive, NpzFile):
            raise DataError(f"{path}: a single array, not an archive; write it with np.savez(path, x=…, y=…)")
        yield Archive(path, stack.enter_context(archive), memory_map)


def in_file(path: str, where: str, offset: int = 0) -> Any:
    """Return an array that stays in its file.

    Args:
        path: the file.
        where: the array, for messages.
        offset: the byte at which its header begins, as `numpy.save` writes it.

    Returns:
        `Rows`; an array in memory if it has no elements.

    Raises:
        DataError: the file is missing or damaged, or holds Python objects.
    """
    try:
        with open(path, "rb") as file:
            file.seek(offset)
            version = np.lib.format.read_magic(file)
            read = np.lib.format.read_array_header_1_0 if version == (1, 0) else np.lib.format.read_array_header_2_0
            shape, fortran, dtype = read(file)
            if dtype.hasobject:
                raise ValueError("it holds Python objects, which are refused; save text by np.array(y, dtype=str)")
            if 0 in shape or not shape:
                return np.empty(shape, dtype)
            order = "F" if fortran else "C"
            mapped = np.memmap(path, dtype, "r", file.tell(), shape, order)  # type: ignore[call-overload]
    except FileNotFoundError as error:
        raise DataError(f"{path}: no such file") from error
    except Exception as error:  # a damaged header can raise any error of Python's tokenizer
        raise DataError(f"{where} cannot be read as an array of numpy (.npy): {error}") from error
    return Rows(mapped, np.arange(len(mapped)))


def _offset(path: str, member: zipfile.ZipInfo, where: str) -> int:
    """Return the byte at which a member that is not packed begins."""
    if member.compress_type != zipfile.ZIP_STORED:
        folder = path.removesuffix(".npz")
        raise DataError(
            f"{where} is compressed, and cannot be read piece by piece. To unpack it: "
            f"python -m zipfile -e {path} {folder}  Then the data are {{kind: npy, x: {folder}/…}}. "
            "np.savez writes arrays that are not packed, np.savez_compressed packs them."
        )
    with open(path, "rb") as file:
        file.seek(member.header_offset)
        *_, name, extra = LOCAL_HEADER.unpack(file.read(LOCAL_HEADER.size))
    return int(member.header_offset + LOCAL_HEADER.size + name + extra)


def _check_packing(members: Iterable[zipfile.ZipInfo], name: str, where: str) -> None:
    for member in members:
        packed, unpacked = member.compress_size, member.file_size
        if member.filename.removesuffix(".npy") == name and unpacked > max(ALWAYS_UNPACKED, MAX_RATIO * packed):
            raise DataError(
                f"{where} grows too much when it is unpacked. Received: {packed} bytes that become {unpacked}. "
                f"Allowed: {MAX_RATIO} times as many; np.savez writes arrays that are not packed."
            )
