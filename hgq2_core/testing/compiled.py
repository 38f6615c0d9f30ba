"""The rules for what a model is compiled with: losses, metrics, optimizers and schedules of plugins."""

from __future__ import annotations

import json
import tempfile
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import keras
import numpy as np

from hgq2_core.optimizer import BitOptimizer
from hgq2_core.schema.signature import parameters
from hgq2_core.testing.constructors import Configured, has_json_schema, is_strict
from hgq2_core.testing.protocols import PROTOCOLS
from hgq2_core.testing.rules import Check, checks, numpy, require, run, unreached

UNITS, SAMPLES = 4, 8
STEPS = (0, 1, 1000)
GRADIENT = np.linspace(-1, 1, UNITS, dtype=np.float32)
KEPT_BY_NO_LOSS = {"dtype"}
"""What Keras' own losses leave out of their config."""

COMPILED: Mapping[str, Callable[[Any], dict[str, Any]]] = {
    "losses": lambda made: {"loss": made},
    "metrics": lambda made: {"metrics": [made]},
    "optimizers": lambda made: {"optimizer": BitOptimizer(made)},
    "schedules": lambda made: {"optimizer": keras.optimizers.SGD(made)},
}
"""For each group, the arguments of `compile` with an object of it."""


@dataclass(frozen=True)
class _Subject(Configured):
    group: str = ""
    targets: Any = None
    outputs: Any = None

    @property
    def pair(self) -> tuple[Any, Any]:
        """Targets and outputs of a batch."""
        shares = np.random.default_rng(SAMPLES).uniform(0.1, 0.9, size=(2, SAMPLES, UNITS)).astype(np.float32)
        targets = shares[0] if self.targets is None else np.asarray(self.targets)
        return targets, shares[1] if self.outputs is None else np.asarray(self.outputs)


def check_loss(config: Mapping[str, Any], targets: Any = None, outputs: Any = None) -> None:
    """Check that a loss keeps the rules that configs and saved models rely on.

    Args:
        config: the loss as in a model file: its kind and its arguments.
        targets: of a batch; None for shares from 0.1 to 0.9, of 4 outputs.
        outputs: of a model, for the same batch; None for shares as well.

    Raises:
        ConformanceError: a line for each rule that is broken.
        KindError: no installed plugin has the kind.

    Example:
        >>> check_loss({"kind": "acme.huberish", "delta": 0.5})
    """
    run(str(config.get("kind")), loss_checks(config, targets, outputs))


def loss_checks(config: Mapping[str, Any], targets: Any = None, outputs: Any = None) -> Iterator[Check]:
    """Return the checks of `check_loss` one by one, for `parametrize_with_checks`.

    Args:
        config: see `check_loss`.
        targets: see `check_loss`.
        outputs: see `check_loss`.
    """
    yield from _checks("losses", config, (is_a_number_with_a_gradient,), targets, outputs)


def check_metric(config: Mapping[str, Any], targets: Any = None, outputs: Any = None) -> None:
    """Check that a metric keeps the rules that configs and saved models rely on.

    Args:
        config: the metric as in a model file: its kind and its arguments.
        targets: see `check_loss`.
        outputs: see `check_loss`.

    Raises:
        ConformanceError: a line for each rule that is broken.
        KindError: no installed plugin has the kind.

    Example:
        >>> check_metric({"kind": "acme.within", "distance": 0.1})
    """
    run(str(config.get("kind")), metric_checks(config, targets, outputs))


def metric_checks(config: Mapping[str, Any], targets: Any = None, outputs: Any = None) -> Iterator[Check]:
    """Return the checks of `check_metric` one by one, for `parametrize_with_checks`.

    Args:
        config: see `check_metric`.
        targets: see `check_loss`.
        outputs: see `check_loss`.
    """
    yield from _checks("metrics", config, (begins_anew, has_one_name), targets, outputs)


def check_optimizer(config: Mapping[str, Any]) -> None:
    """Check that an optimizer keeps the rules that configs, bit variables and saved models rely on.

    Args:
        config: the optimizer as in a model file: its kind and its arguments.

    Raises:
        ConformanceError: a line for each rule that is broken.
        KindError: no installed plugin has the kind.

    Example:
        >>> check_optimizer({"kind": "acme.signs", "learning_rate": 0.01})
    """
    run(str(config.get("kind")), optimizer_checks(config))


def optimizer_checks(config: Mapping[str, Any]) -> Iterator[Check]:
    """Return the checks of `check_optimizer` one by one, for `parametrize_with_checks`.

    Args:
        config: see `check_optimizer`.
    """
    yield from _checks("optimizers", config, (takes_steps, steps_at_its_rate, takes_a_schedule, keeps_its_state))


def check_schedule(config: Mapping[str, Any]) -> None:
    """Check that a schedule of the learning rate keeps the rules that configs and saved models rely on.

    Args:
        config: the schedule as in a model file: its kind and its arguments.

    Raises:
        ConformanceError: a line for each rule that is broken.
        KindError: no installed plugin has the kind.

    Example:
        >>> check_schedule({"kind": "acme.warm_up", "peak": 0.01, "steps": 100})
    """
    run(str(config.get("kind")), schedule_checks(config))


def schedule_checks(config: Mapping[str, Any]) -> Iterator[Check]:
    """Return the checks of `check_schedule` one by one, for `parametrize_with_checks`.

    Args:
        config: see `check_schedule`.
    """
    yield from _checks("schedules", config, (is_a_rate,))


def _checks(
    group: str,
    config: Mapping[str, Any],
    rules: tuple[Callable[[_Subject], None], ...],
    targets: Any = None,
    outputs: Any = None,
) -> Iterator[Check]:
    configured = Configured.of(group, config)
    subject = _Subject(configured.cls, configured.arguments, group, targets, outputs)
    yield from checks((has_its_protocol,), subject)
    yield from checks((*RULES, *rules, is_saved_with_a_model), subject, after=has_its_protocol.__name__)


def has_its_protocol(subject: _Subject) -> None:
    """A class is a subclass of Keras', with its methods and a typed constructor."""
    problem = PROTOCOLS[subject.group](subject.cls)
    require(not problem, f"{subject.cls.__name__} {problem}")


def keeps_its_config(subject: _Subject) -> None:
    """from_config() takes what get_config() returns, as JSON, and returns an equal object."""
    config = json.loads(json.dumps(subject.make().get_config()))
    again = json.loads(json.dumps(subject.cls.from_config(dict(config)).get_config()))
    require(again == config, f"{config} became {again}.")
    left_out = {*config, *(KEPT_BY_NO_LOSS - subject.arguments.keys())}
    lost = [name for name in parameters(subject.cls) if name not in left_out]
    require(not lost, f"get_config() leaves out {', '.join(lost)}.")


def is_a_number_with_a_gradient(subject: _Subject) -> None:
    """The loss of a batch is one finite number, and has a gradient for the outputs."""
    targets, outputs = subject.pair
    variable = keras.Variable(outputs, name="outputs")
    value = numpy(subject.make()(targets, variable))
    require(value.shape == () and np.isfinite(value), f"It is {value}.")
    lost = unreached(lambda: subject.make()(targets, variable), [variable])
    require(not lost, f"The gradient is {lost.get(variable.name)}.")


def begins_anew(subject: _Subject) -> None:
    """The result of a metric is one finite number, or several by name, and the same when it begins anew."""
    metric = subject.make()
    found = []
    for _ in range(2):
        metric.update_state(*subject.pair)
        metric.update_state(*subject.pair)
        found.append([numpy(each) for each in keras.tree.flatten(metric.result())])
        metric.reset_state()
    require(all(each.shape == () and np.isfinite(each) for each in found[0]), f"It is {found[0]}.")
    require(all(np.array_equal(*both) for both in zip(*found, strict=True)), f"{found[0]} became {found[1]}.")


def has_one_name(subject: _Subject) -> None:
    """Each object of a metric has the same name in the logs, since Keras numbers those without one."""
    names = {subject.make().name for _ in range(2)}
    require(len(names) == 1, f"They are {', '.join(sorted(names))}; give the constructor a default for `name`.")


def takes_steps(subject: _Subject) -> None:
    """An optimizer changes the variables, by finite values, also inside BitOptimizer."""
    for made in (subject.make(), BitOptimizer(subject.make())):
        value = numpy(_stepped(made, steps=2)[1])
        require(np.isfinite(value).all() and (value != 1).any(), f"In two steps {np.ones(UNITS)} became {value}.")


def steps_at_its_rate(subject: _Subject) -> None:
    """A step depends on the learning_rate."""
    ends = [numpy(_stepped(subject.cls(**{**subject.arguments, "learning_rate": rate}))[1]) for rate in (0.5, 0.25)]
    require((ends[0] != ends[1]).any(), f"With the rates 0.5 and 0.25, {np.ones(UNITS)} became {ends[0]}.")


def keeps_its_state(subject: _Subject) -> None:
    """What an optimizer remembers is in its variables, so that a resumed training takes the same steps."""
    made, variable = _stepped(subject.make(), steps=2)
    resumed = subject.make()
    copy = keras.Variable(numpy(variable))
    resumed.build([copy])
    for target, source in zip(resumed.variables, made.variables, strict=True):
        target.assign(source)
    for optimizer, trained in ((made, variable), (resumed, copy)):
        optimizer.apply([keras.ops.convert_to_tensor(GRADIENT)], [trained])
    require(np.array_equal(numpy(variable), numpy(copy)), f"{numpy(variable)} became {numpy(copy)}.")


def _stepped(optimizer: Any, steps: int = 1) -> tuple[Any, keras.Variable]:
    """Return an optimizer after steps, and the variable that it moved from 1."""
    variable = keras.Variable(np.ones(UNITS, np.float32))
    optimizer.build([variable])
    for _ in range(steps):
        optimizer.apply([keras.ops.convert_to_tensor(GRADIENT)], [variable])
    return optimizer, variable


def takes_a_schedule(subject: _Subject) -> None:
    """An optimizer takes a schedule as its learning_rate, whose value at each step it uses."""
    schedule = keras.optimizers.schedules.PiecewiseConstantDecay([0], [0.5, 0.25])
    made = subject.cls(**{**subject.arguments, "learning_rate": schedule})
    variable = keras.Variable(np.ones(UNITS, np.float32))
    made.build([variable])
    made.apply([keras.ops.ones(UNITS)], [variable])
    rate = float(numpy(made.learning_rate))
    require(rate == 0.25, f"The learning rate of the second step is {rate} in place of 0.25.")


def is_a_rate(subject: _Subject) -> None:
    """A schedule returns a finite number of at least 0 at each step, which depends on nothing else."""
    made = subject.make()
    for step in STEPS:
        rate = numpy(made(step))
        require(rate.shape == () and np.isfinite(rate) and rate >= 0, f"At step {step} it is {rate}.")
    first, again = (numpy(made(STEPS[0])) for _ in range(2))
    require(first == again, f"At step {STEPS[0]} it is {first}, and then {again}.")


def is_saved_with_a_model(subject: _Subject) -> None:
    """A model that is compiled with it is saved, and has it again when it is loaded."""
    inputs = keras.Input((UNITS,))
    model = keras.Model(inputs, keras.layers.Dense(UNITS)(inputs))
    model.compile(**{"optimizer": "sgd", "loss": "mse", **COMPILED[subject.group](subject.make())})
    model.optimizer.build(model.trainable_variables)
    with tempfile.TemporaryDirectory() as directory:
        path = Path(directory) / "model.keras"
        model.save(path)
        config = keras.saving.load_model(path).get_compile_config()
    require(config == model.get_compile_config(), f"{model.get_compile_config()} became {config}.")


RULES: tuple[Callable[[Any], None], ...] = (is_strict, has_json_schema, keeps_its_config)
