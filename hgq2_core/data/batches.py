"""Batches of inputs from every form that Keras' `fit` takes: arrays, tensors of any backend, data sets, iterators."""

from __future__ import annotations

import itertools
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence, Set
from dataclasses import dataclass
from typing import Any

import keras
import numpy as np
import numpy.typing as npt

from hgq2_core.errors import ConfigError, DataError

Values = npt.NDArray[Any]

KEPT_BYTES = 2**30
"""Limit on the data kept of an iterator, which can be read only once, if several passes are needed."""

ALLOWED = (
    "Allowed: arrays or tensors, samples first; a list or dict of them, one for each input; or batches: a "
    "keras.utils.PyDataset, a torch DataLoader, a tf.data.Dataset, or an iterator."
)

_NO_BATCHES = (str, bytes, Mapping, Sequence, Set)
"""Iterables that are not batches; they may be structures of arrays."""


@dataclass(frozen=True)
class Batches:
    """Batches of a model's inputs as numpy arrays; each iteration is a pass over them.

    Args:
        what: the operation that reads the data, for messages.
        begin: starts a pass: returns the inputs of each batch.
        steps: maximal number of batches in a pass; None for all.
    """

    what: str
    begin: Callable[[], Iterable[Any]]
    steps: int | None = None

    def __iter__(self) -> Iterator[Any]:
        """Iterate over the batches of one pass.

        Raises:
            DataError: a batch does not consist of arrays of one length, or there are no samples.
        """
        samples = 0
        for inputs in itertools.islice(self.begin(), self.steps):
            batch = keras.tree.map_structure(self._array, inputs)
            lengths = {len(array) for array in keras.tree.flatten(batch)}
            if len(lengths) != 1:
                raise _no_samples(self.what, lengths)
            if lengths != {0}:
                samples += lengths.pop()
                yield batch
        if not samples:
            raise _no_samples(self.what, {0})

    def _array(self, leaf: Any) -> Values:
        if not _is_array(leaf):
            raise DataError(f"{self.what}: a batch must hold arrays. Received: {_described(leaf)}. {ALLOWED}")
        return _numpy(leaf, self.what)


def read(
    data: Any, what: str, batch_size: int = 1024, steps: int | None = None, several_passes: bool = False
) -> Batches:
    """Return a model's inputs in batches; targets and sample weights are ignored.

    Args:
        data: inputs in any form that `fit` takes as `x`: arrays or tensors, or a list or dict of them; or batches of
            `x`, `(x, y)` or `(x, y, weights)`, from a `PyDataset`, a `DataLoader`, a `tf.data.Dataset`, or any other
            iterable.
        what: the operation that reads the data, for messages.
        batch_size: samples per batch, if the data are arrays.
        steps: maximal number of batches in a pass; None for all.
        several_passes: whether there is more than one pass, so that the data of an iterator are kept in memory.

    Raises:
        ConfigError: `steps` or `batch_size` is not a number above 0.
        DataError: the data have another form, no samples, no end, or are too large to keep.
    """
    for name, number in (("batch_size", batch_size), ("steps", steps)):
        if number is not None and (isinstance(number, bool) or not isinstance(number, int) or number < 1):
            raise ConfigError(f"{what}: {name} is a number above 0. Received: {name}={number!r}.")
    if are_arrays(data):
        lengths = {_length(leaf, what) for leaf in keras.tree.flatten(data)}
        if len(lengths) != 1 or lengths == {0}:
            raise _no_samples(what, lengths)
        length = lengths.pop()
        return Batches(what, lambda: _slices(data, length, batch_size), steps)
    if not isinstance(data, Iterable) or isinstance(data, _NO_BATCHES) or hasattr(data, "shape"):
        raise DataError(f"{what}: cannot read the data. Received: {_described(data)}. {ALLOWED}")
    if steps is None and _is_endless(data):
        raise DataError(f"{what}: the data have no end. Received: {_described(data)}. Say how many batches: steps=N.")
    if several_passes and isinstance(data, Iterator):
        kept = _kept(Batches(what, lambda: _inputs(data, what), steps))
        return Batches(what, lambda: kept)
    return Batches(what, lambda: _inputs(data, what), steps)


def are_arrays(data: Any) -> bool:
    """Return True if data are arrays or tensors, or a structure of them, rather than batches."""
    leaves = keras.tree.flatten(data)
    return bool(leaves) and all(map(_is_array, leaves))


def samples_of(batch: Any) -> int:
    """Return the number of samples of a batch."""
    return len(keras.tree.flatten(batch)[0])


def concatenated(parts: Iterable[Any], samples: int | None = None) -> Any:
    """Return batches concatenated to one.

    Args:
        parts: the batches; only as many as needed are read.
        samples: maximal number of samples; None for all.
    """
    read_parts, count = [], 0
    for batch in parts:
        read_parts.append(batch)
        count += samples_of(batch)
        if samples is not None and count >= samples:
            break
    return keras.tree.map_structure(lambda *arrays: np.concatenate(arrays)[:samples], *read_parts)


def check_finite(batch: Any, what: str) -> None:
    """Refuse NaN and infinite values.

    Args:
        batch: arrays, or a structure of them.
        what: the operation that reads the data, for the message.

    Raises:
        DataError: the batch holds such values.
    """
    for array in keras.tree.flatten(batch):
        if array.dtype.kind == "f" and not np.isfinite(array).all():
            raise DataError(f"{what}: the data hold NaN or infinite values, which no range can hold.")


def _is_array(leaf: Any) -> bool:
    # Also pandas tables and h5py datasets: they are sliced before they are read.
    return hasattr(leaf, "shape") and hasattr(leaf, "__getitem__") and len(leaf.shape) > 0


def _length(array: Any, what: str) -> int:
    try:
        return int(array.shape[0])
    except TypeError:
        raise DataError(f"{what}: an array without values. Received: {_described(array)}. {ALLOWED}") from None


def _numpy(array: Any, what: str) -> Values:
    if hasattr(array, "detach"):  # a torch tensor, under any Keras backend: it may need gradients, or be on a GPU
        array = array.detach().cpu()
    try:
        values = np.asarray(array)
    except (TypeError, ValueError, NotImplementedError) as error:
        raise DataError(f"{what}: cannot read an array. Received: {_described(array)}. {error}") from error
    if values.dtype.kind == "O":
        raise DataError(f"{what}: the data hold objects in place of numbers. Received: {_described(array)}.")
    return values


def _slices(arrays: Any, length: int, batch_size: int) -> Iterator[Any]:
    for start in range(0, length, batch_size):
        yield keras.tree.map_structure(lambda array, at=start: array[at : at + batch_size], arrays)


def _inputs(data: Iterable[Any], what: str) -> Iterator[Any]:
    for batch in data:
        try:
            # A torch DataLoader yields lists in place of tuples; Keras takes both as (x, y, weights).
            yield keras.utils.unpack_x_y_sample_weight(batch)[0]
        except ValueError:
            raise DataError(
                f"{what}: a batch is x, (x,), (x, y) or (x, y, weights). Received: {len(batch)} items."
            ) from None


def _is_endless(data: Any) -> bool:
    if isinstance(data, keras.utils.PyDataset):
        return data.num_batches is None
    cardinality = getattr(data, "cardinality", None)  # of tf.data; -1 means infinite
    return callable(cardinality) and int(cardinality()) == -1


def _kept(once: Batches) -> list[Any]:
    kept, size = [], 0
    for batch in once:
        kept.append(batch)
        size += sum(array.nbytes for array in keras.tree.flatten(batch))
        if size > KEPT_BYTES:
            raise DataError(
                f"{once.what}: the data are read more than once, and of an iterator no more than "
                f"{KEPT_BYTES / 2**30:g} GiB is kept for that. Bound it by steps=N, or pass what can be iterated "
                "again: arrays, a keras.utils.PyDataset, a torch DataLoader or a tf.data.Dataset."
            )
    return kept


def _no_samples(what: str, lengths: set[int]) -> DataError:
    return DataError(f"{what}: inputs need one number of samples, above 0. Received: {sorted(lengths)}.")


def _described(value: Any) -> str:
    if isinstance(value, list | tuple):
        return f"{type(value).__name__} of {', '.join(sorted({type(each).__name__ for each in value})) or 'nothing'}"
    return type(value).__name__
