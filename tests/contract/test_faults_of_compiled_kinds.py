"""The kit's rules for losses, metrics, optimizers and schedules: for each, a class that breaks it."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import keras
import pytest

from hgq2_core.testing import ConformanceError, check_loss, check_metric, check_optimizer, check_schedule, registered

pytestmark = pytest.mark.once


class Squares(keras.losses.Loss):
    """Sound."""

    def __init__(self, scale: float = 1.0, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.scale = scale

    def call(self, y_true: Any, y_pred: Any) -> Any:
        return self.scale * keras.ops.mean(keras.ops.square(y_true - y_pred), axis=-1)

    def get_config(self) -> dict[str, Any]:
        return {**super().get_config(), "scale": self.scale}


class TypedSquares(Squares):
    """Sound, with the arguments of Keras' losses, which leave `dtype` out of their config."""

    def __init__(
        self,
        scale: float = 1.0,
        reduction: str = "sum_over_batch_size",
        name: str = "squares",
        dtype: str | None = None,
    ) -> None:
        super().__init__(scale, reduction=reduction, name=name, dtype=dtype)


class Infinite(Squares):
    def call(self, y_true: Any, y_pred: Any) -> Any:
        return keras.ops.mean(y_pred / (y_true - y_true), axis=-1)


class Counts(Squares):
    def call(self, y_true: Any, y_pred: Any) -> Any:
        return keras.ops.mean(keras.ops.cast(y_true > y_pred, "float32"), axis=-1)


class LosesItsScale(Squares):
    def get_config(self) -> dict[str, Any]:
        return {name: value for name, value in super().get_config().items() if name != "scale"}


class AnyScale(Squares):
    def __init__(self, scale: Any = 1.0, **kwargs: Any) -> None:
        super().__init__(float(scale), **kwargs)


class OneArgument(Squares):
    def __init__(self, scale: float = 1.0) -> None:
        super().__init__(scale)


LOSSES = {
    Infinite: "The loss of a batch is one finite number, and has a gradient for the outputs. It is inf.",
    Counts: "The loss of a batch is one finite number, and has a gradient for the outputs. ",
    LosesItsScale: "returns an equal object. get_config() leaves out scale.",
    AnyScale: "A constructor refuses unknown arguments, text for numbers, and NaN. scale='2.0' was accepted.",
    OneArgument: "returns an equal object. TypeError: OneArgument.__init__() got an unexpected keyword argument ",
}


class MeanOutput(keras.metrics.Metric):
    """Sound."""

    def __init__(self, name: str = "mean_output", **kwargs: Any) -> None:
        super().__init__(name=name, **kwargs)
        self.sum, self.batches = (self.add_weight(name=each, initializer="zeros") for each in ("sum", "batches"))

    def update_state(self, y_true: Any, y_pred: Any, sample_weight: Any = None) -> None:
        self.sum.assign_add(keras.ops.mean(y_pred))
        self.batches.assign_add(1.0)

    def result(self) -> Any:
        return self.sum / self.batches


class GoesOn(MeanOutput):
    def reset_state(self) -> None:
        self.batches.assign(0.0)


class Several(MeanOutput):
    def result(self) -> Any:
        return super().result() * keras.ops.ones(3)


class Numbered(MeanOutput):
    def __init__(self, name: str | None = None, **kwargs: Any) -> None:
        super().__init__(name, **kwargs)  # type: ignore[arg-type]


METRICS = {
    GoesOn: "or several by name, and the same when it begins anew. [array(",
    Several: "or several by name, and the same when it begins anew. It is ",
    Numbered: "has the same name in the logs, since Keras numbers those without one. They are numbered_",
}


class Descends(keras.optimizers.Optimizer):
    """Sound."""

    def __init__(self, learning_rate: float = 0.1, **kwargs: Any) -> None:
        super().__init__(learning_rate, **kwargs)

    def update_step(self, gradient: Any, variable: Any, learning_rate: Any) -> None:
        self.assign_sub(variable, gradient * keras.ops.cast(learning_rate, variable.dtype))


class StandsStill(Descends):
    def update_step(self, gradient: Any, variable: Any, learning_rate: Any) -> None:
        self.assign_sub(variable, 1e-12 * learning_rate * gradient)


class OwnRate(Descends):
    def update_step(self, gradient: Any, variable: Any, learning_rate: Any) -> None:
        super().update_step(gradient, variable, 0.1)


class OnlyNumbers(Descends):
    def __init__(self, learning_rate: float = 0.1, **kwargs: Any) -> None:
        super().__init__(float(learning_rate), **kwargs)


class RemembersElsewhere(Descends):
    average: Any = 0.0

    def update_step(self, gradient: Any, variable: Any, learning_rate: Any) -> None:
        self.average = 0.9 * self.average + gradient
        super().update_step(self.average, variable, learning_rate)


OPTIMIZERS = {
    StandsStill: "An optimizer changes the variables, by finite values, also inside BitOptimizer. In two steps ",
    OwnRate: "A step depends on the learning_rate. With the rates 0.5 and 0.25, ",
    OnlyNumbers: "An optimizer takes a schedule as its learning_rate, whose value at each step it uses. TypeError: ",
    RemembersElsewhere: "is in its variables, so that a resumed training takes the same steps. ",
}


class Falls(keras.optimizers.schedules.LearningRateSchedule):
    """Sound."""

    def __init__(self, peak: float = 0.1) -> None:
        self.peak = peak

    def __call__(self, step: Any) -> Any:
        return self.peak / (1 + keras.ops.cast(step, "float32"))

    def get_config(self) -> dict[str, Any]:
        return {"peak": self.peak}


class BelowZero(Falls):
    def __call__(self, step: Any) -> Any:
        return self.peak - 0.001 * keras.ops.cast(step, "float32")


class CountsItsCalls(Falls):
    calls = 0

    def __call__(self, step: Any) -> Any:
        self.calls += 1
        return super().__call__(step) / self.calls


class LosesItsPeak(Falls):
    def get_config(self) -> dict[str, Any]:
        return {}


SCHEDULES = {
    BelowZero: "at each step, which depends on nothing else. At step 1000 it is -0.8",
    CountsItsCalls: "at each step, which depends on nothing else. At step 0 it is ",
    LosesItsPeak: "returns an equal object. get_config() leaves out peak.",
}

Check = Callable[[Mapping[str, Any]], None]
KIT: tuple[tuple[str, Check, Mapping[type, str], dict[str, Any]], ...] = (
    ("losses", check_loss, LOSSES, {"scale": 2.0}),
    ("metrics", check_metric, METRICS, {}),
    ("optimizers", check_optimizer, OPTIMIZERS, {"learning_rate": 0.5}),
    ("schedules", check_schedule, SCHEDULES, {}),
)
WRONG = [(group, check, cls, arguments) for group, check, faults, arguments in KIT for cls in faults]
FINDINGS = {**LOSSES, **METRICS, **OPTIMIZERS, **SCHEDULES}


@pytest.mark.parametrize(("group", "check", "cls", "arguments"), WRONG, ids=[each[2].__name__ for each in WRONG])
def test_a_wrong_one(group: str, check: Check, cls: type, arguments: dict[str, Any]) -> None:
    with registered(**{group: {"faults.wrong": cls}}), pytest.raises(ConformanceError) as caught:
        check({"kind": "faults.wrong", **arguments})
    assert FINDINGS[cls] in str(caught.value)


@pytest.mark.parametrize(
    ("group", "check", "cls"),
    [
        ("losses", check_loss, Squares),
        ("losses", check_loss, TypedSquares),
        ("metrics", check_metric, MeanOutput),
        ("optimizers", check_optimizer, Descends),
        ("schedules", check_schedule, Falls),
    ],
)
def test_a_sound_one(group: str, check: Check, cls: type) -> None:
    with registered(**{group: {"faults.sound": cls}}):
        check({"kind": "faults.sound"})
