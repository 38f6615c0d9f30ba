"""What is done with a model takes as many calls for each layer of a deep one as of a shallow one.

Calls of Python functions depend on no machine, unlike times.
"""

import cProfile
import pstats
from collections.abc import Callable
from pathlib import Path
from typing import Any

import keras
import numpy as np
import pytest

from hgq2_core import calibrate, ebops, export, freeze, load_model, verify
from hgq2_layers import QAdd, QDense

pytestmark = [pytest.mark.once, pytest.mark.slow]

DEPTHS = (5, 10, 20)
X = np.linspace(-1.0, 1.0, 12, dtype=np.float32).reshape(3, 4)


def residual(blocks: int) -> keras.Model:
    keras.utils.set_random_seed(0)
    inputs = x = keras.Input((4,))
    for _ in range(blocks):
        x = QAdd()([x, QDense(4, activation="relu")(x)])
    model = keras.Model(inputs, x)
    calibrate(model, X)
    return model


def calls(run: Callable[..., Any], *args: Any) -> int:
    profile = cProfile.Profile()
    profile.runcall(run, *args)
    return int(pstats.Stats(profile).total_calls)  # type: ignore[attr-defined]


@pytest.fixture(scope="module")
def counted(tmp_path_factory: pytest.TempPathFactory) -> dict[str, list[int]]:
    """What takes how many calls of Python functions, for each depth."""
    counts: dict[str, list[int]] = {}
    for blocks in (1, *DEPTHS):
        folder = tmp_path_factory.mktemp(f"blocks_{blocks}")
        model = residual(blocks)
        model.save(folder / "model.keras")
        for what, run in RUNS.items():
            counts.setdefault(what, []).append(calls(run, model, folder))
    return {what: each[1:] for what, each in counts.items()}  # the first time, modules are imported


RUNS: dict[str, Callable[[keras.Model, Path], Any]] = {
    "step": lambda model, folder: model(X, training=True),
    "ebops": lambda model, folder: ebops(model),
    "calibrate": lambda model, folder: calibrate(model, X),
    "verify": lambda model, folder: verify(model, X),
    "freeze": lambda model, folder: freeze(model),
    "load": lambda model, folder: load_model(folder / "model.keras"),
    "export of a program": lambda model, folder: export(model, "cpp", folder / "program"),
    "export of a circuit": lambda model, folder: export(model, "alkaid", folder / "circuit"),
}


@pytest.mark.parametrize("what", RUNS)
def test_calls_grow_as_the_number_of_layers(what: str, counted: dict[str, list[int]]) -> None:
    few, some, many = counted[what]
    assert some - few > 0
    # Twice as many layers more. How long alkaid searches for adders depends on the numbers.
    slack = 1.25 if what == "export of a circuit" else 1.02
    assert many - some <= slack * 2 * (some - few), counted[what]
