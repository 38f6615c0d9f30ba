"""How many operations of torch a training step and a frozen prediction of the benchmarks' models take.

Counts depend on no machine, unlike times. A change that lowers one lowers it here; one that raises one needs a reason.
"""

import sys
from pathlib import Path
from typing import Any

import keras
import pytest
from packaging.version import Version

from hgq2_core import calibrate, freeze

pytestmark = [
    pytest.mark.once,
    pytest.mark.skipif(keras.backend.backend() != "torch", reason="counts the operations of torch"),
]

SAMPLES = 8
OLDER_KERAS = Version(keras.__version__) < Version("3.15")
COUNTS = {
    "mlp": (937, 163),
    "einsum": (815, 108),
    "cnn": (1177, 207),
    "attention": (2149, 568 if OLDER_KERAS else 566),
    "dense_512": (294, 40),
    "dense_2048": (294, 40),
}
"""Of a step and of a prediction."""
KEPT = {"mlp": 2.1, "dense_512": 2.1}
"""Memory that a forward pass keeps for the backward pass, relative to the plain model."""
FAST = {"mlp", "attention"}


@pytest.fixture(scope="module")
def benchmarks() -> Any:
    folder = str(Path(__file__).parents[2] / "benchmarks")
    sys.path.insert(0, folder)
    try:
        import cases
        import counting

        yield cases, counting
    finally:
        sys.path.remove(folder)


@pytest.mark.parametrize(
    "name", [name if name in FAST else pytest.param(name, marks=pytest.mark.slow) for name in COUNTS]
)
def test_a_step_and_a_frozen_prediction_take_no_more_operations_than_before(name: str, benchmarks: Any) -> None:
    cases, counting = benchmarks
    case = cases.EVERY_CASE[name]
    model = cases.build(case, "ours")
    x, y = cases.data(case, model, SAMPLES)
    step = counting.bare_step(model, x, y)
    step()  # makes the optimizer's variables
    operations = counting.operations(step)
    calibrate(model, x)
    counts = operations, counting.operations(counting.bare_prediction(freeze(model), x))
    assert counts[0] <= COUNTS[name][0], counts
    assert counts[1] <= COUNTS[name][1], counts


@pytest.mark.parametrize("name", KEPT)
def test_a_forward_pass_keeps_no_more_memory_than_before(name: str, benchmarks: Any) -> None:
    cases, counting = benchmarks
    case = cases.EVERY_CASE[name]
    plain, model = cases.build(case, "float"), cases.build(case, "ours")
    x, _ = cases.data(case, model, case.batch)
    assert counting.kept(model, x) / counting.kept(plain, x) <= KEPT[name]
