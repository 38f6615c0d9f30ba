"""Data sets and callbacks for quantization-aware training."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from hgq2_training.callbacks.beta_schedule import BetaSchedule
    from hgq2_training.callbacks.noise_schedule import NoiseSchedule
    from hgq2_training.callbacks.pareto_front import ParetoFront
    from hgq2_training.datasets.csv import Csv
    from hgq2_training.datasets.digits import Digits
    from hgq2_training.datasets.magic import Magic
    from hgq2_training.datasets.npz import Npz

__all__ = ["BetaSchedule", "Csv", "Digits", "Magic", "NoiseSchedule", "Npz", "ParetoFront"]

_MODULES = {
    "BetaSchedule": "callbacks.beta_schedule",
    "Csv": "datasets.csv",
    "Digits": "datasets.digits",
    "Magic": "datasets.magic",
    "NoiseSchedule": "callbacks.noise_schedule",
    "Npz": "datasets.npz",
    "ParetoFront": "callbacks.pareto_front",
}


def __getattr__(name: str) -> Any:
    if name not in _MODULES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    from importlib import import_module

    return getattr(import_module(f"{__name__}.{_MODULES[name]}"), name)


def __dir__() -> list[str]:
    return sorted([*globals(), *__all__])
