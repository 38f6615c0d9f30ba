"""Arrays from files of one array each, which may be larger than memory."""

from __future__ import annotations

from typing import Any

from typing_extensions import override

from hgq2_core.data.arrays import mapped
from hgq2_core.data.splits import Dataset, Split, Splits
from hgq2_core.errors import ConfigError
from hgq2_training.datasets.archive import in_file
from hgq2_training.datasets.given import check_alike, check_part, names_of
from hgq2_training.datasets.labels import Names
from hgq2_training.datasets.splitting import Fold, Folds, Seed, Splitting, TestFraction, ValidationFraction
from hgq2_training.datasets.steps import ArraySteps, Limits
from hgq2_training.datasets.targets import Named, as_inputs, as_split, check_classes


class Npy(Dataset):
    """Arrays of `.npy` files, which are mapped into memory: a batch is read when it is needed.

    Args:
        x: file of the inputs; for several, a mapping from the model's inputs to files.
        y: file of the targets; for several, a mapping from the model's outputs to files. Integers become int64 labels,
            and the split is stratified by one label per sample. One number per sample is read into memory.
        test_fraction: share of the test part, unless it has files.
        validation_fraction: share of the validation part, unless it has files; 0 for none.
        seed: seed of the random split.
        standardize: shift and scale the inputs to mean 0 and deviation 1 on the training part.
        x_test: file of the inputs of the test part, in the form of `x`.
        y_test: file of its targets.
        x_validation: file of the inputs of the validation part.
        y_validation: file of its targets.
        classes: names of the classes, if `y` has texts, which become 0, 1, ... in this order; None for numbers; for
            several outputs, a mapping.
        sample_weight: file of the weights of the samples in the loss.
        folds: number of equal parts of what is not for test, of which one is the validation part, in place of
            `validation_fraction`.
        fold: which of them, counted from 0.
        clip: smallest and largest value of the inputs, null for no limit; for several inputs, a mapping.
        log: take the natural logarithm of the inputs, after `clip`; for several, the names of those.
        sample_weight_test: file of the weights of a test part that has files of its own.
        sample_weight_validation: file of the weights of a validation part that has files of its own.

    Raises:
        ConfigError: fractions or seed are not allowed, or a part is given by half.
    """

    def __init__(
        self,
        *,
        x: Named,
        y: Named,
        test_fraction: TestFraction = 0.25,
        validation_fraction: ValidationFraction = 0.1,
        seed: Seed = 0,
        standardize: bool = False,
        x_test: Named | None = None,
        y_test: Named | None = None,
        x_validation: Named | None = None,
        y_validation: Named | None = None,
        classes: Names | dict[str, Names] | None = None,
        sample_weight: str | None = None,
        folds: Folds | None = None,
        fold: Fold = 0,
        clip: Limits | dict[str, Limits] | None = None,
        log: bool | Names = False,
        sample_weight_test: str | None = None,
        sample_weight_validation: str | None = None,
    ) -> None:
        self.x = x
        self.y = y
        self.test_fraction = test_fraction
        self.validation_fraction = validation_fraction
        self.seed = seed
        self.standardize = standardize
        self.x_test = x_test
        self.y_test = y_test
        self.x_validation = x_validation
        self.y_validation = y_validation
        self.classes = classes
        self.sample_weight = sample_weight
        self.folds = folds
        self.fold = fold
        self.clip = clip
        self.log = log
        self.sample_weight_test = sample_weight_test
        self.sample_weight_validation = sample_weight_validation
        own = x_test is not None, x_validation is not None
        self._splitting = Splitting(test_fraction, validation_fraction, seed, folds, fold, *own)
        self._steps = ArraySteps(standardize, clip, log)
        check_classes(classes, y)
        check_part("test", x_test, y_test, x, y, sample_weight_test)
        check_part("validation", x_validation, y_validation, x, y, sample_weight_validation)

    @override
    def load(self) -> Splits:
        """Return the arrays, checked and split; they stay in their files.

        Returns:
            float32 inputs, and int64 or float32 targets.

        Raises:
            DataError: a file cannot be used; the message says why.
        """
        whole = as_split(_get, self.x, self.y, self.sample_weight, self.classes)
        test = self._part(whole, self.x_test, self.y_test, self.sample_weight_test)
        validation = self._part(whole, self.x_validation, self.y_validation, self.sample_weight_validation)
        return self._steps.applied(self._splitting.parts(whole, test, validation), (), self.classes)

    def inputs(self, path: str) -> Any:
        """Return the raw inputs of a file of new data, for `Splits.preprocessing`, or for a model that has none.

        Args:
            path: the file of the only input.

        Raises:
            DataError: the file cannot be used.
            ConfigError: there are several inputs, which have a file each.
        """
        if names_of(self.x) is not None:
            raise ConfigError("npy: several inputs have a file each. Write them into one file by np.savez.")
        return as_inputs(_get, path)

    def _part(self, whole: Split, x: Named | None, y: Named | None, weight: str | None) -> Split | None:
        if x is None or y is None:
            return None
        part = as_split(_get, x, y, weight, self.classes)
        check_alike(whole, part, *(mapped("{} and {}".format, *pair) for pair in ((self.x, x), (self.y, y))))
        return part


def _get(path: str) -> tuple[Any, str]:
    return in_file(path, path), path
