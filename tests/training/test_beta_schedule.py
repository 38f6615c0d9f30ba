"""The schedule of the weight of the EBOPs: exact at its points, constant outside, and set on every layer."""

from __future__ import annotations

import inspect
import math
from typing import Any

import keras
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from hgq2_core.errors import ConfigError
from hgq2_core.schema.signature import schema_of
from hgq2_training import BetaSchedule


class Costed(keras.layers.Dense):
    """A layer with the variable that the schedule sets, as quantized layers have it."""

    def __init__(self, units: int, **kwargs: Any) -> None:
        super().__init__(units, **kwargs)
        self.ebops_beta = self.add_weight(shape=(), dtype="float32", trainable=False, initializer="zeros")


def test_linear_interpolation_between_points_and_constant_outside() -> None:
    schedule = BetaSchedule([(2, 0.0), (6, 4.0), (8, 1.0)])
    assert [schedule.value(epoch) for epoch in range(10)] == [0, 0, 0, 1, 2, 3, 4, 2.5, 1, 1]


def test_log_interpolation_is_a_constant_ratio() -> None:
    schedule = BetaSchedule([(0, 1e-8), (4, 1e-4)], interpolation="log")
    np.testing.assert_allclose([schedule.value(epoch) for epoch in range(6)], [1e-8, 1e-7, 1e-6, 1e-5, 1e-4, 1e-4])


def test_a_single_point_is_a_constant() -> None:
    assert [BetaSchedule([(5, 0.25)], mode).value(epoch) for mode in ("linear", "log") for epoch in (0, 5, 9)] == [
        0.25
    ] * 6


betas = st.floats(1e-300, 1e300)


@given(
    points=st.dictionaries(st.integers(0, 500), betas, min_size=1, max_size=6).map(lambda d: sorted(d.items())),
    mode=st.sampled_from(["linear", "log"]),
    epoch=st.integers(0, 600),
)
def test_exact_at_the_points_and_never_outside_their_range(
    points: list[tuple[int, float]], mode: Any, epoch: int
) -> None:
    schedule = BetaSchedule(points, mode)
    assert [schedule.value(at) for at, _ in points] == [beta for _, beta in points]
    around = [beta for _, beta in points]
    assert min(around) * (1 - 1e-12) <= schedule.value(epoch) <= max(around) * (1 + 1e-12)


def test_fault_15_a_logarithm_of_zero_is_refused_at_construction() -> None:
    """docs/numerics.md#9.15: it divided by zero."""
    for points in ([(0, 0.0), (10, 1e-5)], [(0, 1e-5), (10, 0)]):
        with pytest.raises(ConfigError, match="A beta of 0 has no logarithm"):
            BetaSchedule(points, interpolation="log")
        assert BetaSchedule(points).value(5) == 5e-6


@pytest.mark.parametrize(
    ("points", "message"),
    [
        ([], "one at least"),
        ([(0, 1.0), (0, 2.0)], "epochs increase"),
        ([(5, 1.0), (3, 2.0)], "epochs increase"),
        ([(-1, 1.0)], r"Received: \(-1, 1.0\)"),
        ([(0.5, 1.0)], "epoch, an integer"),
        ([(True, 1.0)], "epoch, an integer"),
        ([(0, -1.0)], "finite and not negative"),
        ([(0, math.nan)], "nan"),
        ([(0, math.inf)], "inf"),
        ([(0, "1e-5")], "1e-5"),
        ([(0, 1.0, 2.0)], "pair"),
        ([3], "Received: 3"),
    ],
)
def test_points_that_make_no_schedule_say_why(points: Any, message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        BetaSchedule(points)


def test_an_unknown_interpolation_names_the_nearest() -> None:
    with pytest.raises(ConfigError, match=r"Did you mean 'linear'\? Received: interpolation='liner'"):
        BetaSchedule([(0, 1.0)], interpolation="liner")  # type: ignore[arg-type]


def test_the_configuration_takes_points_as_lists_and_stays_strict() -> None:
    schema = schema_of(BetaSchedule)
    assert schema(points=[[0, 1e-7], [100, 1e-5]]).points == [(0, 1e-7), (100, 1e-5)]  # type: ignore[attr-defined]
    for bad in ([["0", 1.0]], [[True, 1.0]], [[0]], [[0, "1"]]):
        with pytest.raises(ValueError, match="points"):
            schema(points=bad)
    assert list(inspect.signature(BetaSchedule).parameters) == ["points", "interpolation"]


def test_every_layer_gets_the_beta_of_the_epoch_those_of_nested_models_too() -> None:
    inner = keras.Sequential([keras.layers.Input((2,)), Costed(2)])
    model = keras.Sequential([keras.layers.Input((2,)), Costed(2), keras.layers.ReLU(), inner])
    model.compile("sgd", "mse")
    seen: list[list[float]] = []
    look = keras.callbacks.LambdaCallback(
        on_epoch_end=lambda epoch, logs: seen.append(
            [float(model.layers[0].ebops_beta), float(inner.layers[0].ebops_beta)]
        )
    )
    history = model.fit(
        np.ones((4, 2)), np.ones((4, 2)), epochs=3, verbose=0, callbacks=[BetaSchedule([(0, 1.0), (2, 2.0)]), look]
    )
    assert seen == [[1.0, 1.0], [1.5, 1.5], [2.0, 2.0]]
    assert history.history["ebops_beta"] == [1.0, 1.5, 2.0]


def test_a_model_without_quantized_layers_is_an_error() -> None:
    model = keras.Sequential([keras.layers.Input((2,)), keras.layers.Dense(1)], name="plain")
    model.compile("sgd", "mse")
    with pytest.raises(ConfigError, match="No layer of model 'plain' has an `ebops_beta`"):
        model.fit(np.ones((2, 2)), np.ones((2, 1)), verbose=0, callbacks=[BetaSchedule([(0, 1.0)])])


def test_each_piece_has_its_own_interpolation() -> None:
    schedule = BetaSchedule(
        [(0, 1.0), (2, 3.0), (4, 3.0e-2), (6, 5.0), (8, 1.0)], ["linear", "log", "constant", "cosine"]
    )
    values = [schedule.value(epoch) for epoch in range(10)]
    assert values[:3] == [1.0, 2.0, 3.0]
    np.testing.assert_allclose(values[3], 0.3)
    assert values[4:6] == [3.0e-2, 3.0e-2]
    np.testing.assert_allclose(values[6:], [5.0, 3.0, 1.0, 1.0])


def test_only_a_piece_with_log_needs_positive_ends() -> None:
    assert BetaSchedule([(0, 0.0), (1, 1e-6), (3, 1e-4)], ["constant", "log"]).value(0) == 0.0
    with pytest.raises(ConfigError, match="A beta of 0 has no logarithm"):
        BetaSchedule([(0, 0.0), (1, 1e-6), (3, 1e-4)], ["log", "constant"])


def test_one_interpolation_for_each_piece() -> None:
    with pytest.raises(ConfigError, match=r"one for each piece between two points: 2 here. Received: 1."):
        BetaSchedule([(0, 1.0), (1, 2.0), (2, 3.0)], ["linear"])
    with pytest.raises(ConfigError, match=r"one of constant, cosine, linear, log. Did you mean 'cosine'\?"):
        BetaSchedule([(0, 1.0), (1, 2.0)], ["cosin"])  # type: ignore[list-item]


def test_a_function_gives_each_epoch_its_value() -> None:
    schedule = BetaSchedule.from_function(lambda epoch: epoch / 4)
    assert [schedule.value(epoch) for epoch in range(3)] == [0, 0.25, 0.5]
    assert (schedule.not_in_config, BetaSchedule([(0, 1.0)]).not_in_config) == ("BetaSchedule by a Python function", "")
    with pytest.raises(ConfigError, match="finite and not negative"):
        BetaSchedule.from_function(lambda epoch: -1.0).value(0)


def test_a_function_is_asked_once_an_epoch_and_its_value_is_logged() -> None:
    answers = iter([1e-6, 2e-6])
    schedule = BetaSchedule.from_function(lambda epoch: next(answers))
    model = keras.Sequential([keras.Input((2,)), Costed(2), Costed(1)])
    schedule.set_model(model)
    for expected in (1e-6, 2e-6):
        logs: dict[str, Any] = {}
        schedule.on_epoch_begin(0)
        schedule.on_epoch_end(0, logs)
        assert logs == {"ebops_beta": expected}
        assert [float(layer.ebops_beta) for layer in model.layers] == [np.float32(expected)] * 2
