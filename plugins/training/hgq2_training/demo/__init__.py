"""The demonstration, a config that is included in the package."""

from __future__ import annotations

import itertools
from pathlib import Path

CONFIG = Path(__file__).parent / "digits.yaml"


def free_directory(directory: Path) -> Path:
    """Return the directory if it does not exist, else the first numbered one that does not."""
    numbered = (directory.with_name(f"{directory.name}-{number}") for number in itertools.count(2))
    return next(path for path in itertools.chain([directory], numbered) if not path.exists())
