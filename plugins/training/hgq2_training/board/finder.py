"""Runs and sweeps below a directory, by names that are safe in addresses."""

from __future__ import annotations

import os
import stat
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
        foreign: a file below it that leads out of the directory that was searched, or is no file at all, such as a
            pipe; empty if there is none. Nothing of such a place is read.
    """

    name: str
    path: Path
    is_sweep: bool
    foreign: str = ""


def find(root: Path) -> dict[str, Place]:
    """Return the runs and sweeps below a directory, and the directory itself if it is one, by name.

    A run is searched no further; a sweep is, for its trials. Links to directories are not followed.

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
            yield Place(name, path, is_sweep=True, foreign=_foreign(path, root))
        # A config alone may be a user's file; only a run has a lock or metrics.
        elif CONFIG in files and (LOCK in files or METRICS in files):
            folders.clear()
            yield Place(name, path, is_sweep=False, foreign=_foreign(path, root))


def _foreign(place: Path, root: Path) -> str:
    inside = root.resolve()
    for folder, folders, files in os.walk(place):
        for name in (*folders, *files):
            path = Path(folder, name)
            try:
                mode = path.lstat().st_mode
                led_out = stat.S_ISLNK(mode) and not path.resolve().is_relative_to(inside)
            except FileNotFoundError:  # a training replaces its files meanwhile
                continue
            except (OSError, RuntimeError):  # a link to itself
                led_out = True
            if led_out or not (stat.S_ISREG(mode) or stat.S_ISDIR(mode) or stat.S_ISLNK(mode)):
                return path.relative_to(place).as_posix()
    return ""
