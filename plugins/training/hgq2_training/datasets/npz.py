"""Arrays from a numpy archive."""

from __future__ import annotations

import contextlib
import zipfile
from collections.abc import Iterable, Iterator

import numpy as np
from numpy.lib.npyio import NpzFile

from hgq2_core.data.splits import Dataset, Split, Splits
from hgq2_core.errors import ConfigError, DataError, listing, nearest
from hgq2_training.datasets.labels import Names, line_to_paste
from hgq2_training.datasets.splitting import (
    Array,
    Seed,
    TestFraction,
    ValidationFraction,
    check_fractions,
    in_parts,
    with_inputs_ready,
)

MAX_RATIO = 100
"""Limit on the ratio of size to compressed size of an array that is larger than `ALWAYS_UNPACKED`."""

ALWAYS_UNPACKED = 64 << 20


class Npz(Dataset):
    """Arrays of a `.npz` file, which may have a separate test part; nothing in the file is executed.

    Args:
        path: the file.
        x: name of the inputs.
        y: name of the targets; integers become int64 labels, and the split is stratified by one label per sample.
        test_fraction: share of the test part, unless the file has one.
        validation_fraction: share of the validation part; 0 for none.
        seed: seed of the random split.
        standardize: shift and scale the inputs to mean 0 and deviation 1 on the training part.
        x_test: name of the inputs of a test part in the file.
        y_test: name of its targets.
        classes: names of the classes, if `y` has texts, which become 0, 1, ... in this order; None for numbers.

    Raises:
        ConfigError: fractions or seed are not allowed, or only one of `x_test` and `y_test` is given.
    """

    def __init__(
        self,
        *,
        path: str,
        x: str = "x",
        y: str = "y",
        test_fraction: TestFraction = 0.25,
        validation_fraction: ValidationFraction = 0.1,
        seed: Seed = 0,
        standardize: bool = False,
        x_test: str | None = None,
        y_test: str | None = None,
        classes: Names | None = None,
    ) -> None:
        check_fractions(test_fraction, validation_fraction, seed)
        if (x_test is None) != (y_test is None):
            raise ConfigError(
                f"`x_test` and `y_test` are given both or not at all. Received: x_test={x_test!r}, y_test={y_test!r}"
            )
        self.path = path
        self.x = x
        self.y = y
        self.test_fraction = test_fraction
        self.validation_fraction = validation_fraction
        self.seed = seed
        self.standardize = standardize
        self.x_test = x_test
        self.y_test = y_test
        self.classes = classes

    def load(self) -> Splits:
        """Return the arrays, checked and split.

        Returns:
            float32 inputs, and int64 or float32 targets.

        Raises:
            DataError: a file or an array cannot be used; the message says why.
        """
        with self._open() as archive:
            whole = self._pair(archive, self.x, self.y)
            test = None if self.x_test is None else self._pair(archive, self.x_test, str(self.y_test))
            notes = self._unused(archive.files)
        if test is not None:
            self._check_alike(whole, test)
        splits = in_parts(
            whole,
            test,
            test_fraction=self.test_fraction,
            validation_fraction=self.validation_fraction,
            seed=self.seed,
        )
        return with_inputs_ready(splits, standardized=self.standardize, notes=notes)

    def _unused(self, names: Iterable[str]) -> tuple[str, ...]:
        unused = [name for name in names if name not in (self.x, self.y, self.x_test, self.y_test)]
        if not unused:
            return ()
        split = f" The test part is split off {self.x!r}; name one of the file in `x_test` and `y_test`."
        return (f"{self.path}: unused arrays: {listing(unused)}.{'' if self.x_test else split}",)

    def _check_alike(self, whole: Split, test: Split) -> None:
        for name, of_test, array, other in (
            (self.x, self.x_test, whole.x, test.x),
            (self.y, self.y_test, whole.y, test.y),
        ):
            if array.shape[1:] != other.shape[1:]:
                raise DataError(
                    f"{self.path}: {name!r} and {of_test!r} must agree except in the number of samples. "
                    f"Received: shapes {array.shape} and {other.shape}"
                )

    @contextlib.contextmanager
    def _open(self) -> Iterator[NpzFile]:
        with contextlib.ExitStack() as stack:
            try:
                # Opened here, since numpy does not close a file that is not an archive.
                archive = np.load(stack.enter_context(open(self.path, "rb")), allow_pickle=False)
            except FileNotFoundError as error:
                raise DataError(f"{self.path}: no such file") from error
            except (OSError, ValueError, EOFError, zipfile.BadZipFile) as error:
                raise DataError(f"{self.path}: not a numpy archive (.npz): {error}") from error
            if not isinstance(archive, NpzFile):
                raise DataError(f"{self.path}: a single array, not an archive; write it with np.savez(path, x=…, y=…)")
            yield stack.enter_context(archive)

    def _pair(self, archive: NpzFile, x: str, y: str) -> Split:
        inputs, targets = self._array(archive, x), self._array(archive, y)
        _check(inputs, f"{self.path}: {x!r}")
        targets = self._as_numbers(targets, f"{self.path}: {y!r}")
        if len(inputs) != len(targets):
            raise DataError(
                f"{self.path}: {x!r} and {y!r} must have the same length. "
                f"Received: shapes {inputs.shape} and {targets.shape}"
            )
        return Split(inputs, targets.astype(np.int64 if targets.dtype.kind in "biu" else np.float32))

    def _as_numbers(self, targets: Array, where: str) -> Array:
        """Return targets as numbers: texts become their index among the classes."""
        if not isinstance(targets, np.ndarray) or targets.dtype.kind not in "US":
            if self.classes is not None:
                received = getattr(targets, "dtype", type(targets).__name__)
                raise DataError(
                    f"{where} must hold text, for `classes` names what it holds. Received: dtype {received}"
                )
            _check(targets, where)
            return targets
        texts = targets.astype(str)
        if texts.ndim != 1 or not texts.size:
            raise DataError(f"{where} must hold one class per sample. Received: shape {texts.shape}")
        if self.classes is None:
            raise DataError(
                f"{where} holds text; `classes` names its classes. Received: {str(texts[0])!r}."
                f"{line_to_paste(texts.tolist())}"
            )
        places = {name: place for place, name in enumerate(self.classes)}
        for text in np.unique(texts).tolist():
            if text not in places:
                allowed = ", ".join(self.classes)
                raise DataError(
                    f"{where}: no such class. Received: {text!r}. Allowed: {allowed}.{nearest(text, self.classes)}"
                )
        return np.array([places[text] for text in texts.tolist()], dtype=np.int64)

    def _array(self, archive: NpzFile, name: str) -> Array:
        where = f"{self.path}: {name!r}"
        if name not in archive.files:
            raise DataError(f"{where} is not in the file. It holds: {listing(archive.files)}.{nearest(name, archive)}")
        _check_packing(archive.zip.infolist() if archive.zip else (), name, where)
        try:
            array = archive[name]
        except Exception as error:  # a damaged header can raise any error of Python's tokenizer
            why = "cannot be read"
            if "allow_pickle" in str(error):
                why = "holds Python objects, which are refused; save text by np.array(y, dtype=str)"
            raise DataError(f"{where} {why}: {error}") from error
        return array


def _check_packing(members: Iterable[zipfile.ZipInfo], name: str, where: str) -> None:
    for member in members:
        packed, unpacked = member.compress_size, member.file_size
        if member.filename.removesuffix(".npy") == name and unpacked > max(ALWAYS_UNPACKED, MAX_RATIO * packed):
            raise DataError(
                f"{where} grows too much when it is unpacked. Received: {packed} bytes that become {unpacked}. "
                f"Allowed: {MAX_RATIO} times as many; np.savez writes arrays that are not packed."
            )


def _check(array: Array, where: str) -> None:
    if not isinstance(array, np.ndarray) or array.dtype.kind not in "biuf":
        received = getattr(array, "dtype", type(array).__name__)
        raise DataError(f"{where} must hold real numbers. Received: dtype {received}")
    if array.ndim == 0 or array.size == 0:
        raise DataError(f"{where} is empty or a single number. Received: shape {array.shape}")
    bad = ~np.isfinite(array)
    if bad.any():
        first = tuple(int(i) for i in np.argwhere(bad)[0])
        raise DataError(f"{where} holds {int(bad.sum())} NaN or infinite values, the first at index {first}")
    if array.dtype.kind == "f" and np.abs(array).max() > np.finfo(np.float32).max:
        raise DataError(f"{where} holds values beyond float32. Received: {np.abs(array).max()}")
