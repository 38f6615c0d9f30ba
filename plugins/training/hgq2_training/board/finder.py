"""Runs and sweeps below a directory, by names that are safe in addresses."""

from __future__ import annotations

import os
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from hgq2_training.report.sweep import SWEEP
from hgq2_training.runs.files import CONFIG, LOCK, METRICS


@dataclass(frozen=True)
class Place:
    """A directory of a run or of a sweep.

    Args:
        name: its path from the directory that was searched, with `/`.
        path: the directory.
        is_sweep: whether it holds a sweep rather than a run.
    """

    name: str
    path: Path
    is_sweep: bool


def find(root: Path) -> dict[str, Place]:
    """Return the runs and sweeps below a directory, and the directory itself if it is one, by name.

    A run is searched no further; a sweep is, for its trials. Links are not followed, so that all lie inside.

    Args:
        root: the directory.
    """
    return {place.name: place for place in _search(root)}


def _search(root: Path) -> Iterator[Place]:
    for folder, folders, files in os.walk(root):
        folders[:] = sorted(name for name in folders if not name.startswith("."))
        path = Path(folder)
        name = path.relative_to(root).as_posix()
        name = path.resolve().name if name == "." else name
        if SWEEP in files:
            yield Place(name, path, is_sweep=True)
        # A config alone may be a user's file; only a run has a lock or metrics.
        elif CONFIG in files and (LOCK in files or METRICS in files):
            folders.clear()
            yield Place(name, path, is_sweep=False)
