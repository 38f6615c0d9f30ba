"""What is done with a model takes as many calls for each layer of a deep one as of a shallow one."""

import cProfile
import pstats
from collections.abc import Callable
from typing import Any

import keras
import numpy as np
import pytest

from hgq2_core import calibrate, freeze, load_model
from hgq2_layers import QAdd, QDense

pytestmark = [pytest.mark.once, pytest.mark.slow]

SHALLOW, DEEP = 3, 9
X = np.linspace(-1.0, 1.0, 12, dtype=np.float32).reshape(3, 4)


def residual(blocks: int) -> keras.Model:
    inputs = x = keras.Input((4,))
    for _ in range(blocks):
        x = QAdd()([x, QDense(4, activation="relu")(x)])
    model = keras.Model(inputs, x)
    calibrate(model, X)
    return model


def calls(run: Callable[[], Any]) -> int:
    profile = cProfile.Profile()
    profile.runcall(run)
    return int(pstats.Stats(profile).total_calls)  # type: ignore[attr-defined]


@pytest.mark.parametrize("what", ["freeze", "load"])
def test_calls_grow_as_the_number_of_layers(what: str, tmp_path: Any) -> None:
    def of(blocks: int) -> int:
        model = residual(blocks)
        model.save(tmp_path / f"{blocks}.keras")
        runs: dict[str, Callable[[], Any]] = {
            "freeze": lambda: freeze(model),
            "load": lambda: load_model(tmp_path / f"{blocks}.keras"),
        }
        return calls(runs[what])

    of(SHALLOW)  # the first time, modules are imported
    assert of(DEEP) <= 1.1 * DEEP / SHALLOW * of(SHALLOW)
