"""What a run has from Python, and its config cannot say: schedules by functions."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import keras

from hgq2_core.errors import ConfigError
from hgq2_core.files import read_json, remove, write_json
from hgq2_training.runs.files import PYTHON

Callbacks = Sequence[keras.callbacks.Callback]


def not_in_config(directory: str | Path) -> list[str]:
    """Return what a run has from Python; empty if its config can rebuild it."""
    found: dict[str, Any] = read_json(Path(directory) / PYTHON, {})
    return list(found.get("callbacks", []))


def schedules(callbacks: Callbacks) -> list[keras.callbacks.Callback]:
    """Return the callbacks that change the training in a way that no config can say."""
    return [each for each in callbacks if getattr(each, "not_in_config", "")]


def record(directory: Path, callbacks: Callbacks, resumed: bool, has_budget: bool) -> str:
    """Write down what a run has from Python, and return a line for its config; empty if there is nothing.

    Args:
        directory: the run directory.
        callbacks: those of this call.
        resumed: whether epochs were trained before.
        has_budget: whether a budget sets the price of bits.

    Raises:
        ConfigError: a resumed run has others than before, or a schedule contradicts the budget.
    """
    own = schedules(callbacks)
    names = [str(each.not_in_config) for each in own]
    if resumed and names != not_in_config(directory):
        before = ", ".join(not_in_config(directory)) or "nothing from Python"
        raise ConfigError(
            f"{directory}: was trained with {before}. Received: {', '.join(names) or 'nothing from Python'}. Resume it "
            "from Python with the same: hgq2_training.resume(directory, callbacks=[...])."
        )
    if has_budget and any("ebops_beta" in getattr(each, "adds_logs", tuple)() for each in own):
        raise ConfigError("training.budget: sets the price of bits itself. Leave the schedule of `ebops_beta` out.")
    if not names:
        remove(directory / PYTHON)
        return ""
    write_json(directory / PYTHON, {"callbacks": names})
    return f"# This config cannot rebuild the run, which also has {', '.join(names)}.\n"
