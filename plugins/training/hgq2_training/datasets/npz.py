"""Arrays from a numpy archive."""

from __future__ import annotations

from collections.abc import Iterable
from contextlib import AbstractContextManager
from typing import Any

from typing_extensions import override

from hgq2_core.data.arrays import leaves, mapped
from hgq2_core.data.splits import Dataset, Split, Splits
from hgq2_core.errors import ConfigError, listing
from hgq2_training.datasets.archive import ArraysByName, opened
from hgq2_training.datasets.given import check_alike, check_part
from hgq2_training.datasets.labels import Names
from hgq2_training.datasets.splitting import Fold, Folds, Seed, Splitting, TestFraction, ValidationFraction
from hgq2_training.datasets.steps import ArraySteps, Limits
from hgq2_training.datasets.targets import Get, Named, as_inputs, as_split, check_classes


class Npz(Dataset):
    """Arrays of a `.npz` file, which may have a separate test part; nothing in the file is executed.

    Args:
        path: the file.
        x: name of the inputs; for several, a mapping from the model's inputs to names.
        y: name of the targets; for several, a mapping from the model's outputs to names. Integers become int64 labels,
            and the split is stratified by one label per sample.
        test_fraction: share of the test part, unless it is given.
        validation_fraction: share of the validation part, unless it is given; 0 for none.
        seed: seed of the random split.
        standardize: shift and scale the inputs to mean 0 and deviation 1 on the training part.
        x_test: name of the inputs of a test part in the file, in the form of `x`.
        y_test: name of its targets.
        classes: names of the classes, if `y` has texts, which become 0, 1, ... in this order; None for numbers; for
            several outputs, a mapping.
        x_validation: name of the inputs of a validation part in the file.
        y_validation: name of its targets.
        test_path: a file with the same names for the test part.
        validation_path: a file with the same names for the validation part.
        sample_weight: name of the weights of the samples in the loss, in each of the files.
        folds: number of equal parts of what is not for test, of which one is the validation part, in place of
            `validation_fraction`.
        fold: which of them, counted from 0.
        clip: smallest and largest value of the inputs, null for no limit; for several inputs, a mapping.
        log: take the natural logarithm of the inputs, after `clip`; for several, the names of those.
        memory_map: leave the arrays in the file, and read a batch when it is needed: for data larger than memory. The
            file must not be compressed.
        sample_weight_test: name of the weights of a test part in the same file.
        sample_weight_validation: name of the weights of a validation part in the same file.

    Raises:
        ConfigError: fractions or seed are not allowed, or a part is given twice or by half.
    """

    def __init__(
        self,
        *,
        path: str,
        x: Named = "x",
        y: Named = "y",
        test_fraction: TestFraction = 0.25,
        validation_fraction: ValidationFraction = 0.1,
        seed: Seed = 0,
        standardize: bool = False,
        x_test: Named | None = None,
        y_test: Named | None = None,
        classes: Names | dict[str, Names] | None = None,
        x_validation: Named | None = None,
        y_validation: Named | None = None,
        test_path: str | None = None,
        validation_path: str | None = None,
        sample_weight: str | None = None,
        folds: Folds | None = None,
        fold: Fold = 0,
        clip: Limits | dict[str, Limits] | None = None,
        log: bool | Names = False,
        memory_map: bool = False,
        sample_weight_test: str | None = None,
        sample_weight_validation: str | None = None,
    ) -> None:
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
        self.x_validation = x_validation
        self.y_validation = y_validation
        self.test_path = test_path
        self.validation_path = validation_path
        self.sample_weight = sample_weight
        self.folds = folds
        self.fold = fold
        self.clip = clip
        self.log = log
        self.memory_map = memory_map
        self.sample_weight_test = sample_weight_test
        self.sample_weight_validation = sample_weight_validation
        own = x_test or test_path, x_validation or validation_path
        self._splitting = Splitting(test_fraction, validation_fraction, seed, folds, fold, *map(bool, own))
        self._steps = ArraySteps(standardize, clip, log)
        check_classes(classes, y)
        for part, own_x, own_y, file, weight in (
            ("test", x_test, y_test, test_path, sample_weight_test),
            ("validation", x_validation, y_validation, validation_path, sample_weight_validation),
        ):
            check_part(part, own_x, own_y, x, y, weight)
            if own_x is not None and file is not None:
                raise ConfigError(
                    f"the {part} part is in the file or in another one, not both. "
                    f"Received: x_{part}={own_x!r}, {part}_path={file!r}"
                )

    @override
    def load(self) -> Splits:
        """Return the arrays, checked and split.

        Returns:
            float32 inputs, and int64 or float32 targets.

        Raises:
            DataError: a file or an array cannot be used; the message says why.
        """
        with self._opened(self.path) as archive:
            whole = as_split(archive.get, self.x, self.y, self.sample_weight, self.classes)
            get = archive.get
            test = self._part(whole, get, self.x_test, self.y_test, self.sample_weight_test, self.test_path)
            given = self.x_validation, self.y_validation, self.sample_weight_validation
            validation = self._part(whole, get, *given, self.validation_path)
            notes = self._notes(archive)
        return self._steps.applied(self._splitting.parts(whole, test, validation), notes, self.classes)

    def inputs(self, path: str) -> Any:
        """Return the raw inputs of a file of new data, for `Splits.preprocessing`, or for a model that has none.

        Args:
            path: an archive in which the inputs have the same names.

        Raises:
            DataError: a file or an array cannot be used.
        """
        with self._opened(path) as archive:
            return as_inputs(archive.get, self.x)

    def _opened(self, path: str) -> AbstractContextManager[ArraysByName]:
        return opened(path, self.memory_map)

    def _part(
        self, whole: Split, get: Get, x: Named | None, y: Named | None, weight: str | None, path: str | None
    ) -> Split | None:
        if path is not None:
            with self._opened(path) as other:
                part = as_split(other.get, self.x, self.y, self.sample_weight, self.classes)
            pairs = [
                mapped(lambda name: f"{self.path} and {path}: the arrays {name!r}", each) for each in (self.x, self.y)
            ]
        elif x is None or y is None:
            return None
        else:
            part = as_split(get, x, y, weight, self.classes)
            pairs = [mapped(self._pair, *each) for each in ((self.x, x), (self.y, y))]
        check_alike(whole, part, *pairs)
        return part

    def _pair(self, one: str, other: str) -> str:
        return f"{self.path}: {one!r} and {other!r}"

    def _notes(self, file: Any) -> tuple[str, ...]:
        """Return what users should know of a file, whose arrays were read."""
        return self._unused(file.names)

    def _unused(self, names: Iterable[str]) -> tuple[str, ...]:
        parts = (
            *(self.x, self.y, self.sample_weight),
            *(self.x_test, self.y_test, self.sample_weight_test),
            *(self.x_validation, self.y_validation, self.sample_weight_validation),
        )
        used = {name for part in parts if part is not None for name in leaves(part)}
        unused = [name for name in names if name not in used]
        if not unused:
            return ()
        inputs = ", ".join(map(repr, leaves(self.x)))
        split = f" The test part is split off {inputs}; name one of the file in `x_test` and `y_test`."
        hint = "" if self.x_test or self.test_path else split
        return (f"{self.path}: unused arrays: {listing(unused)}.{hint}",)
