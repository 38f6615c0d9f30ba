"""Where a run comes from: when it began, by which command, on what device, and which data it has read."""

from __future__ import annotations

import hashlib
import os
import platform
import re
import shlex
import sys
from collections.abc import Sequence
from datetime import datetime
from pathlib import Path
from typing import Any

import keras
import numpy as np

from hgq2_core.data.arrays import in_memory, leaves
from hgq2_core.data.splits import Split, Splits

SECRET = re.compile("(password|passwd|passphrase|token|secret|credentials?|api.?key)$", re.IGNORECASE)
SAMPLED = 1000
"""Samples of a part that is not in memory that enter the digest, evenly spaced."""


def origin(splits: Splits) -> dict[str, Any]:
    """Return date, command, device and the digest of the data, as plain data.

    Args:
        splits: the data.
    """
    command = shlex.join([Path(sys.argv[0]).name, *without_secrets(sys.argv[1:])])
    date = datetime.now().astimezone().isoformat(" ", "seconds")
    return {"date": date, "command": command, "device": device(), "data": digest(splits)}


def without_secrets(arguments: Sequence[str]) -> list[str]:
    """Return arguments with `***` in place of those which, by their names, are secrets: runs are passed on."""
    found, hidden = [], False
    for each in arguments:
        name, equals, _ = each.partition("=")
        secret = bool(SECRET.search(name))
        found.append("***" if hidden and not each.startswith("-") else f"{name}=***" if secret and equals else each)
        hidden = secret and not equals and each.startswith("-")
    return found


def device() -> str:
    """Return where Keras computes, such as `torch on cpu, 8 cores, x86_64`."""
    where = keras.ops.convert_to_tensor(0.0).device
    name = str(getattr(where, "device_kind", "") or str(where).rpartition("device:")[2])
    if name.startswith("cuda"):
        import torch

        name = f"{name}, {torch.cuda.get_device_name(name)}"
    return f"{keras.backend.backend()} on {name}, {os.cpu_count()} cores, {platform.machine()}"


def digest(splits: Splits) -> str:
    """Return a SHA-256 of the prepared data: of all arrays in memory, and of a thousand rows of each that is on disk.

    Args:
        splits: the data.
    """
    found = hashlib.sha256()
    for name, part in splits.parts.items():
        found.update(f"{name} {len(part)}".encode())
        for array in _arrays(part):
            values = np.ascontiguousarray(array)
            found.update(f"{values.dtype.str} {values.shape}".encode())
            found.update(values.reshape(-1).view(np.uint8).data)  # without a copy
    return found.hexdigest()


def _arrays(part: Split) -> list[Any]:
    if not (in_memory(part.x) and in_memory(part.y)):
        part = part.take(np.unique(np.linspace(0, len(part) - 1, SAMPLED).astype(np.intp)))
    weights = [] if part.weight is None else leaves(part.weight)
    return [np.asarray(array) for array in (*leaves(part.x), *leaves(part.y), *weights)]
