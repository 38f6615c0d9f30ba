"""Repair of Optuna's journal, a file of one JSON object per line, after a process was killed while writing."""

from __future__ import annotations

import itertools
import json
from pathlib import Path

from hgq2_core.files import atomic_path, write_text

GRACE = 3
"""Seconds after which a lock that a killed process left is broken; Optuna's default is 30."""


def trim(path: Path) -> Path | None:
    """Cut the incomplete end of a journal off, which Optuna does not open otherwise, and keep it in another file.

    Args:
        path: the journal; need not exist. No other process may be writing.

    Returns:
        The file with what was cut off; None if the journal is complete.
    """
    if not path.is_file():
        return None
    content = path.read_bytes()
    kept = len(content)
    while kept and not _is_whole(content[:kept]):
        kept = content.rfind(b"\n", 0, kept - 1) + 1
    if kept == len(content):
        return None
    aside = free_path(path, "tail")
    write_text(aside, content[kept:].decode("utf-8", "replace"))
    with atomic_path(path) as temporary:
        temporary.write_bytes(content[:kept])
    return aside


def _is_whole(content: bytes) -> bool:
    """Return True if the last line is a JSON object with its newline."""
    if not content.endswith(b"\n"):
        return False
    try:
        return isinstance(json.loads(content[content.rfind(b"\n", 0, -1) + 1 :]), dict)
    except ValueError:
        return False


def free_path(path: Path, word: str) -> Path:
    """Return a path beside a file, named after it and a word, that does not exist."""
    paths = (path.with_name(f"{path.name}.{word}-{index}") for index in itertools.count())
    return next(each for each in paths if not each.exists())
