"""Branches of a tree in a ROOT file."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Annotated, Any

import numpy as np
from numpy.typing import NDArray
from pydantic import Field
from typing_extensions import override

from hgq2_core.errors import ConfigError, DataError, listing, nearest
from hgq2_training.datasets.archive import ArraysByName
from hgq2_training.datasets.npz import Npz

Branches = str | list[str]
"""A branch; or several, stacked along a last axis."""
TREES = ("TTree", "ROOT::RNTuple")
MASK = re.compile(r"mask\((.+)\)")


class Root(Npz):
    """Branches of a tree in a ROOT file, used like arrays of `npz`; needs uproot: `pip install hgq2-training[root]`.

    A list of branches is stacked along a last axis. Where a branch has a list of any length in each entry, it is cut
    or padded with zeros to `length`, and `mask(BRANCH)` is 1 where there is an element. Texts are labels.

    Args:
        tree: name of the tree or RNTuple; None if the file has one alone.
        length: the elements of lists of different lengths; None to refuse them.
        x: a branch or a list of branches; for several inputs, a mapping from the model's inputs to these.
        y: a branch or a list of branches; for several outputs, a mapping.
    """

    not_in_schema = (
        *("memory_map", "x_test", "y_test", "sample_weight_test"),
        *("x_validation", "y_validation", "sample_weight_validation"),
    )

    def __init__(
        self,
        *,
        tree: str | None = None,
        length: Annotated[int, Field(ge=1)] | None = None,
        x: Branches | dict[str, Branches] = "x",
        y: Branches | dict[str, Branches] = "y",
        **arguments: Any,
    ) -> None:
        for name in self.not_in_schema:
            if name in arguments:
                raise ConfigError(f"`{name}` is of npz; parts of ROOT data are files: test_path, validation_path.")
        super().__init__(x=_joined(x), y=_joined(y), **arguments)
        self.tree = tree
        self.length = length

    @override
    def _opened(self, path: str) -> Any:
        return opened(path, self.tree, self.length)

    @override
    def _notes(self, file: Any) -> tuple[str, ...]:
        return tuple(file.notes)


def _joined(branches: Any) -> Any:
    """Return lists of branches as one name each, as `RootFile.get` takes it."""
    if isinstance(branches, Mapping):
        return {name: _joined(own) for name, own in branches.items()}
    return branches if isinstance(branches, str) else "".join(f"{name}," for name in branches)


@contextmanager
def opened(path: str, tree: str | None = None, length: int | None = None) -> Iterator[ArraysByName]:
    """Open a tree of a ROOT file.

    Args:
        path: the file.
        tree: name of the tree; None if there is one alone.
        length: see `Root`.

    Raises:
        DataError: the file is missing or no ROOT file, has no such tree, or uproot is not installed.
    """
    try:
        import uproot
    except ImportError as error:
        raise DataError(
            f"{path}: reading ROOT files needs uproot. To install it: pip install hgq2-training[root]"
        ) from error
    if not Path(path).is_file():  # uproot would take an address for one
        raise DataError(f"{path}: no such file")
    try:
        file = uproot.open(Path(path))
        names = [name for name, kind in file.classnames(cycle=False).items() if kind in TREES]
    except Exception as error:  # a damaged file can raise any error
        raise DataError(f"{path}: not a ROOT file: {error}") from error
    with file:
        yield RootFile(path, file[_chosen(path, tree, names)], length)


def _chosen(path: str, tree: str | None, names: Sequence[str]) -> str:
    if not names:
        raise DataError(f"{path}: has no tree.")
    if tree is None and len(names) == 1:
        return names[0]
    if tree is None or tree not in names:
        asked = "`tree` names one of several" if tree is None else f"no such tree. Received: {tree!r}"
        raise DataError(f"{path}: {asked}. The file has: {listing(names)}.{nearest(tree, names)}")
    return tree


class RootFile:
    """A tree that is open.

    Args:
        path: the file.
        tree: as uproot has it.
        length: see `Root`.
    """

    def __init__(self, path: str, tree: Any, length: int | None) -> None:
        self.path = path
        self.names = list(tree.keys())
        self.notes: list[str] = []
        self._tree = tree
        self._length = length

    def get(self, name: str) -> tuple[Any, str]:
        """Return a branch, or several that are stacked, and its place for messages.

        Args:
            name: of the branch; of several, each followed by a comma.

        Raises:
            DataError: a branch is missing, damaged, or not of numbers or texts; or shapes differ.
        """
        if not name.endswith(","):
            return self._branch(name), f"{self.path}: {name!r}"
        several = name[:-1].split(",")
        arrays, where = [self._branch(each) for each in several], f"{self.path}: {listing(several)}"
        if len({array.shape for array in arrays}) > 1:
            shapes = listing(f"{each} {array.shape[1:]}" for each, array in zip(several, arrays, strict=True))
            raise DataError(f"{where}: branches of one list need one shape for an entry. Received: {shapes}.")
        return np.stack(arrays, axis=-1), where

    def _branch(self, name: str) -> NDArray[Any]:
        import awkward as ak

        masked = MASK.fullmatch(name)
        branch = name if masked is None else masked[1]
        where = f"{self.path}: {branch!r}"
        if branch not in self.names:
            parts = [each.strip() for each in branch.split(",")]
            as_list = f" To stack branches, give a list: [{', '.join(parts)}]." if "," in branch else ""
            advice = as_list or nearest(branch, self.names)
            raise DataError(f"{where} is not in the tree. It holds: {listing(self.names)}.{advice}")
        try:
            array = self._tree[branch].array(library="ak")
        except Exception as error:  # a damaged file can raise any error
            raise DataError(f"{where} cannot be read: {error}") from error
        entry = ak.type(array).content
        if isinstance(entry, ak.types.ListType) and entry.parameters.get("__array__") == "string":
            return np.array(array.to_list(), dtype=str)
        if isinstance(entry, ak.types.ListType):
            array = self._padded(array, entry, where, masked is not None)
        elif masked is not None:
            raise DataError(f"{where}: only lists of different lengths have a mask. Received: {entry} for an entry.")
        try:
            return np.asarray(ak.to_numpy(array, allow_missing=False))
        except Exception as error:  # records, and lists in lists
            raise DataError(
                f"{where} must hold numbers, lists of them, or texts. Received: {entry} for an entry."
            ) from error

    def _padded(self, array: Any, entry: Any, where: str, as_mask: bool) -> Any:
        import awkward as ak

        if self._length is None:
            longest = int(ak.max(ak.num(array), initial=0))
            raise DataError(
                f"{where} has a list of {entry.content} in each entry, the longest with {longest} elements. To cut or "
                f"pad them with zeros: `length: {max(longest, 1)}`; mask(BRANCH) is then 1 where there is an element."
            )
        cut = int(ak.sum(ak.num(array) > self._length))
        note = f"{where}: cut to {self._length} elements: {cut} of {len(array)} entries."
        if cut and note not in self.notes:
            self.notes.append(note)
        values = ak.ones_like(array, dtype=np.float32) if as_mask else array
        return ak.fill_none(ak.pad_none(values, self._length, clip=True), 0)
