"""Data sets and callbacks for quantization-aware training."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from hgq2_training.beta_schedule import BetaSchedule
    from hgq2_training.csv import Csv
    from hgq2_training.digits import Digits
    from hgq2_training.magic import Magic
    from hgq2_training.noise_schedule import NoiseSchedule
    from hgq2_training.npz import Npz
    from hgq2_training.pareto_front import ParetoFront

__all__ = ["BetaSchedule", "Csv", "Digits", "Magic", "NoiseSchedule", "Npz", "ParetoFront"]

_MODULES = {
    "BetaSchedule": "beta_schedule",
    "Csv": "csv",
    "Digits": "digits",
    "Magic": "magic",
    "NoiseSchedule": "noise_schedule",
    "Npz": "npz",
    "ParetoFront": "pareto_front",
}


def __getattr__(name: str) -> Any:
    if name not in _MODULES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    from importlib import import_module

    return getattr(import_module(f"{__name__}.{_MODULES[name]}"), name)


def __dir__() -> list[str]:
    return sorted([*globals(), *__all__])
