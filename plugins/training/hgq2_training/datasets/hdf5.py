"""Arrays from an HDF5 file, read when they are needed."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from functools import cached_property
from typing import Any

import h5py
import numpy as np
from numpy.typing import NDArray
from typing_extensions import override

from hgq2_core.data.arrays import Rows
from hgq2_core.errors import ConfigError, DataError, listing, nearest
from hgq2_training.datasets.archive import ArraysByName
from hgq2_training.datasets.npz import Npz

DENSE = 8
"""Rows are read with those between them, unless that makes more than this many times as many."""


class Hdf5(Npz):
    """Arrays of an HDF5 file, used like those of `npz`; a batch is read when it is needed.

    A name is a path in the file, such as `events/jets`. Texts are labels.
    """

    not_in_schema = ("memory_map",)

    def __init__(self, **arguments: Any) -> None:
        if "memory_map" in arguments:
            raise ConfigError("`memory_map` is of npz; arrays of an HDF5 file stay in the file anyway. Leave it out.")
        super().__init__(**arguments)

    @override
    def _opened(self, path: str) -> Any:
        return opened(path)


@contextmanager
def opened(path: str) -> Iterator[ArraysByName]:
    """Open an HDF5 file.

    Args:
        path: the file.

    Raises:
        DataError: the file is missing, or no HDF5 file.
    """
    try:
        with h5py.File(path, "r") as file:
            names: list[str] = []
            file.visititems(lambda name, each: names.append(name) if isinstance(each, h5py.Dataset) else None)
    except FileNotFoundError as error:
        raise DataError(f"{path}: no such file") from error
    except OSError as error:
        raise DataError(f"{path}: not an HDF5 file: {error}") from error
    yield _File(path, names)


class _File:
    def __init__(self, path: str, names: list[str]) -> None:
        self.path = path
        self.names = names

    def get(self, name: str) -> tuple[Any, str]:
        """Return an array that stays in the file, and its place for messages; texts are read at once."""
        where, known = f"{self.path}: {name!r}", name.strip("/")
        if known not in self.names:
            raise DataError(f"{where} is not in the file. It holds: {listing(self.names)}.{nearest(known, self.names)}")
        stored = _Stored(self.path, known)
        if others := _others(stored.dataset):
            # A file from somewhere else could name any file of this machine.
            raise DataError(f"{where} lies in other files: {listing(others)}. Allowed: arrays in the file itself.")
        if h5py.check_string_dtype(stored.dataset.dtype) is not None:
            return np.asarray(stored.dataset.asstr()[()]).astype(str), where
        if not stored.dataset.size or not stored.dataset.ndim:
            return np.asarray(stored.dataset[()]), where
        return Rows(stored, np.arange(len(stored.dataset))), where


def _others(dataset: Any) -> list[str]:
    """Return the other files that an array is read from, by external storage or as a virtual dataset."""
    virtual = [each.file_name for each in dataset.virtual_sources()] if dataset.is_virtual else []
    return sorted({*(name for name, _, _ in dataset.external or ()), *virtual} - {"."})


class _Stored:
    """An array in a file, whose rows are read in any order."""

    def __init__(self, path: str, name: str) -> None:
        self.path = path
        self.name = name

    @cached_property
    def dataset(self) -> Any:
        """The array, as h5py has it; the file stays open."""
        return h5py.File(self.path, "r")[self.name]

    def __getitem__(self, rows: Any) -> NDArray[Any]:
        # h5py takes rows in rising order, each once, and is slow at many that are scattered.
        wanted, places = np.unique(np.atleast_1d(rows), return_inverse=True)
        if not len(wanted):
            return np.asarray(self.dataset[:0])
        first, last = int(wanted[0]), int(wanted[-1]) + 1
        near = last - first <= DENSE * len(wanted)
        found = self.dataset[first:last][wanted - first] if near else self.dataset[wanted]
        taken = np.asarray(found)[places.ravel()]
        return taken if np.ndim(rows) else np.asarray(taken[0])
