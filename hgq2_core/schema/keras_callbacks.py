"""The allow-list of Keras callbacks: those that write do so inside the run directory alone."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path, PurePosixPath, PureWindowsPath
from types import MappingProxyType
from typing import Any

from hgq2_core.schema.base import as_text, validation_errors

FOLDER = "keras"
"""The folder of a run directory in which Keras' callbacks write."""

CALLBACKS = (
    "BackupAndRestore",
    "CSVLogger",
    "EarlyStopping",
    "LearningRateScheduler",
    "ModelCheckpoint",
    "ReduceLROnPlateau",
    "SwapEMAWeights",
    "TensorBoard",
    "TerminateOnNaN",
)
"""Keras callbacks that a config may name."""

PATHS: Mapping[str, tuple[str, str]] = MappingProxyType(
    {
        "keras.BackupAndRestore": ("backup_dir", ""),
        "keras.CSVLogger": ("filename", ""),
        "keras.ModelCheckpoint": ("filepath", ""),
        "keras.TensorBoard": ("log_dir", "logs"),
    }
)
"""The argument of a callback that is a path, and its default."""

REFUSED: Mapping[str, Mapping[str, str]] = MappingProxyType(
    {
        "keras.TensorBoard": MappingProxyType({"embeddings_metadata": "it names files of its own"}),
        "keras.SwapEMAWeights": MappingProxyType(
            {"swap_on_epoch": "a checkpoint of the run would hold averages in place of weights; leave it out"}
        ),
    }
)
"""Arguments that a config cannot set, with the reason."""


def check_callback(kind: str, arguments: Mapping[str, Any]) -> None:
    """Check the paths of a Keras callback.

    Args:
        kind: with its prefix.
        arguments: as in a config.

    Raises:
        ValidationError: a path may lead out of the run directory, or an argument is refused.
    """
    name = PATHS.get(kind, ("", ""))[0]
    wrong = [((each,), f"is not allowed: {why}.") for each, why in REFUSED.get(kind, {}).items() if arguments.get(each)]
    if name in arguments and not _is_inside(arguments[name]):
        allowed = "Allowed: a relative path without `..`, which lies inside the run directory."
        wrong.append(((name,), f"leads out of the run directory. Received: {as_text(arguments[name])}. {allowed}"))
    if wrong:
        raise validation_errors(wrong)


def placed(kind: str, arguments: Mapping[str, Any], directory: Path) -> dict[str, str]:
    """Return the path of a Keras callback inside a run directory, whose folder is made; empty if it has none.

    Args:
        kind: with its prefix.
        arguments: as in a config.
        directory: the run directory.
    """
    if kind not in PATHS:
        return {}
    name, default = PATHS[kind]
    path = directory / FOLDER / str(arguments.get(name, default))
    path.parent.mkdir(parents=True, exist_ok=True)
    return {name: str(path)}


def _is_inside(path: Any) -> bool:
    if not isinstance(path, str) or not path.strip() or "\0" in path or "://" in path:
        return False
    return all(
        kind(path).parts and not kind(path).is_absolute() and not kind(path).drive and ".." not in kind(path).parts
        for kind in (PurePosixPath, PureWindowsPath)
    )
