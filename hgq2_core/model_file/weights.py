"""The weights of a model file, which must be plain numbers inside the file itself."""

from __future__ import annotations

import io
import itertools
from collections.abc import Iterator
from typing import Any

import h5py

from hgq2_core.errors import ModelFileError
from hgq2_core.model_file.limits import Limits

MAX_DEPTH = 64
NUMBERS = "biuf"
_PLAIN = (h5py.h5d.COMPACT, h5py.h5d.CONTIGUOUS)


def count_weights(data: bytes, where: str, limits: Limits) -> int:
    """Return the number of weights after checking them, without reading their values.

    Args:
        data: an HDF5 file.
        where: its name, for messages.
        limits: limits on its groups and datasets.

    Raises:
        ModelFileError: the data are not an HDF5 file, or contain links, data outside the file, compressed data, data
            that are not numbers, or more data than the file has bytes.
    """
    try:
        with h5py.File(io.BytesIO(data), "r") as file:
            datasets = list(_datasets(file, "", where, limits, itertools.count(1)))
            for name, dataset in datasets:
                _check_dataset(dataset, f"{where}: {name}")
            size = sum(dataset.nbytes for _, dataset in datasets)
            if size > len(data):
                raise ModelFileError(f"{where}: its datasets have {size} bytes, and the file {len(data)}.")
            return sum(dataset.size for _, dataset in datasets)
    except ModelFileError:
        raise
    except Exception as error:  # h5py raises errors of many classes
        raise ModelFileError(f"{where}: cannot be read; the weights are damaged. {error}") from error


def _datasets(group: Any, path: str, where: str, limits: Limits, counter: Iterator[int]) -> Iterator[tuple[str, Any]]:
    for name in group:
        here = f"{path}/{name}"
        if next(counter) > limits.datasets:
            raise ModelFileError(f"{where}: more than {limits.datasets} groups and datasets.")
        if here.count("/") > MAX_DEPTH:
            raise ModelFileError(f"{where}: is nested deeper than {MAX_DEPTH} levels.")
        link = group.get(name, getlink=True)
        if not isinstance(link, h5py.HardLink):
            raise ModelFileError(f"{where}: {here} is a {type(link).__name__}. Allowed: groups and datasets.")
        found = group[name]
        if isinstance(found, h5py.Group):
            yield from _datasets(found, here, where, limits, counter)
        elif isinstance(found, h5py.Dataset):
            yield here, found
        else:
            raise ModelFileError(f"{where}: {here} is a {type(found).__name__}. Allowed: groups and datasets.")


def _check_dataset(dataset: Any, where: str) -> None:
    if dataset.dtype.kind not in NUMBERS:
        raise ModelFileError(f"{where} does not hold numbers. Received: dtype {dataset.dtype}.")
    if dataset.external or dataset.id.get_create_plist().get_layout() not in _PLAIN:
        raise ModelFileError(f"{where} is chunked, virtual or in another file. Allowed: plain data, as Keras writes.")
    stored = dataset.id.get_storage_size()
    if dataset.shape is None or stored != dataset.nbytes:
        raise ModelFileError(
            f"{where} is incomplete. Received: shape {dataset.shape}, of which {stored} bytes are stored."
        )
