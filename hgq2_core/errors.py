"""The errors that users see: where it happened, what was received, what is allowed, and the nearest match."""

from __future__ import annotations

import difflib
from collections.abc import Iterable


class HGQ2Error(Exception):
    """Base of every error that this project raises on purpose."""


class ConfigError(HGQ2Error, ValueError):
    """A configuration, a file or an argument that cannot be accepted."""


class KindError(ConfigError):
    """A kind that is unknown, ambiguous, or of another group than the one asked for."""


class PluginError(HGQ2Error, ImportError):
    """A plugin that is missing, blocked, incompatible or failed to load."""


class DataError(HGQ2Error, ValueError):
    """A data set that cannot be read or used."""


class CalibrationError(HGQ2Error, RuntimeError):
    """A model that was never calibrated, or has changed since."""


class ExactnessError(HGQ2Error, TypeError):
    """A part of a model that has no exact arithmetic."""


class IncompleteError(HGQ2Error, TypeError):
    """A plugin's class that lacks methods of its protocol, and so cannot be instantiated."""


class ConformanceError(HGQ2Error, AssertionError):
    """A class of a plugin that breaks rules of the conformance kit."""


class ModelFileError(HGQ2Error, OSError):
    """A saved model or run directory that cannot be read."""


class WriteError(HGQ2Error, OSError):
    """A file or folder that cannot be written: a full disk, a missing permission."""


class BudgetError(HGQ2Error, RuntimeError):
    """A training that ended without a model within its budget."""


class ToolError(HGQ2Error, RuntimeError):
    """An external program that is missing or fails."""


def nearest(received: object, allowed: Iterable[str]) -> str:
    """Return the closest allowed name as a question.

    Args:
        received: what the user wrote.
        allowed: names that would have been accepted.

    Returns:
        `" Did you mean 'name'?"`, or an empty string if no name is close.
    """
    names = {name.casefold(): name for name in allowed}
    matches = difflib.get_close_matches(str(received).casefold(), names, n=1, cutoff=0.6)
    return f" Did you mean {names[matches[0]]!r}?" if matches else ""


def listing(names: Iterable[str]) -> str:
    """Return names, sorted and joined for a message; `none` if the list is empty."""
    return ", ".join(sorted(names)) or "none"
