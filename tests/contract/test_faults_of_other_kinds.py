"""The kit's rules for data sets, callbacks, commands, exporters and adapters: for each, a class that breaks it."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import keras
import numpy as np
import pytest

from hgq2_core import calibrate
from hgq2_core.data import Dataset, Split, Splits
from hgq2_core.errors import ConfigError, ExactnessError
from hgq2_core.exporting.exporter import Exporter, ExportReport, Simulation
from hgq2_core.layers.adapters import KerasAdapter
from hgq2_core.testing import (
    Check,
    ConformanceError,
    check_adapter,
    check_callback,
    check_command,
    check_dataset,
    check_exporter,
    dataset_checks,
    parametrize_with_checks,
    registered,
)
from hgq2_layers import QDense


class Sound(Dataset):
    """Random points."""

    def __init__(self, samples: int = 4) -> None:
        self.samples = samples

    def load(self) -> Splits:
        """Return two parts."""
        x = np.arange(self.samples * 2, dtype=np.float32).reshape(-1, 2)
        return Splits(Split(x, np.zeros(self.samples)), Split(x[:2], np.zeros(2)))


class Loads:
    """Has another base, and no method."""

    def __init__(self, samples: int = 4) -> None:
        self.samples = samples


class AnySamples(Sound):
    def __init__(self, samples: Any = 4) -> None:
        super().__init__(int(samples))


class Tuples(Sound):
    def load(self) -> Any:
        return ((0, 0), (0, 0))


class NoTest(Sound):
    def load(self) -> Splits:
        return replace(super().load(), test=Split(np.zeros((0, 2), np.float32), np.zeros(0)))


class Unpaired(Sound):
    def load(self) -> Splits:
        splits = super().load()
        return replace(splits, train=Split(splits.train.x, splits.train.y[1:]))


class Unweighted(Sound):
    def load(self) -> Splits:
        splits = super().load()
        return replace(splits, train=replace(splits.train, weight=np.ones(2)))


class NoNumber(Sound):
    def load(self) -> Splits:
        splits = super().load()
        return replace(splits, train=Split(splits.train.x, np.array([0, 0, 0, np.nan])))


class Texts(Sound):
    def load(self) -> Splits:
        splits = super().load()
        return replace(splits, train=Split(splits.train.x, np.array(["a"] * 4)))


class Lists(Sound):
    def load(self) -> Splits:
        splits = super().load()
        return replace(splits, train=Split(splits.train.x.tolist(), splits.train.y))


class Doubles(Sound):
    def load(self) -> Splits:
        splits = super().load()
        return Splits(*(Split(part.x.astype(float), part.y) for part in splits.parts.values()))


class Ragged(Sound):
    def load(self) -> Splits:
        splits = super().load()
        return replace(splits, test=Split(splits.test.x[:, :1], splits.test.y))


class Draws(Sound):
    drawn = 0

    def load(self) -> Splits:
        type(self).drawn += 1
        splits = super().load()
        return replace(splits, train=Split(splits.train.x + np.float32(self.drawn), splits.train.y))


DATASETS = {
    Loads: "A data set defines load(), and types its constructor. Loads does not define load().",
    AnySamples: "A constructor refuses unknown arguments, text for numbers, and NaN. samples='4' was accepted.",
    Tuples: "load() returns Splits, each part a Split that is not empty. It gave a tuple.",
    NoTest: "load() returns Splits, each part a Split that is not empty. test is empty.",
    Unpaired: "Each part has as many targets, and sample weights if any, as inputs. train: 4 inputs, 3 targets.",
    Unweighted: "Each part has as many targets, and sample weights if any, as inputs. train: 4 inputs, 2 weights.",
    NoNumber: "Targets and weights are finite numbers, and no weight is below 0. train: 1 targets are not finite.",
    Texts: "Targets and weights are finite numbers, and no weight is below 0. train: targets are <U1.",
    Lists: "load() returns Splits, each part a Split that is not empty. train holds list in place of arrays.",
    Doubles: "Inputs are finite float32 numbers. train: they are float64.",
    Ragged: "Samples and targets have the same shape in each part. Found: train ((2,), ()), test ((1,), ()).",
    Draws: "The same arguments give the same parts. train differs when it is loaded again.",
}


class Quiet(keras.callbacks.Callback):
    """Does nothing, and keeps a count."""

    def __init__(self, limit: float = 1.0) -> None:
        super().__init__()
        self.limit, self.count = limit, 2

    def get_state(self) -> dict[str, Any]:
        return {"count": self.count}

    def set_state(self, state: dict[str, Any]) -> None:
        self.count = state["count"]


class HalfAState(keras.callbacks.Callback):
    def get_state(self) -> dict[str, Any]:
        return {}


class AnyLimit(Quiet):
    def __init__(self, limit: Any = 1.0) -> None:
        super().__init__(float(limit))


class Unmade(Quiet):
    def __init__(self, limit: float = 1.0) -> None:
        self.limit, self.count = limit, 2


class OneName(Quiet):
    def reads_logs(self) -> Any:
        return "ebops"


class Forgets(Quiet):
    made = 0

    def __init__(self, limit: float = 1.0) -> None:
        super().__init__(limit)
        type(self).made += 1
        self.count = self.made

    def set_state(self, state: dict[str, Any]) -> None:
        """Forget it."""


class Stumbles(Quiet):
    def on_epoch_end(self, epoch: int, logs: dict[str, Any] | None = None) -> None:
        raise KeyError("val_accuracy")


class Promises(Quiet):
    def adds_logs(self) -> tuple[str, ...]:
        return ("area",)


class AddsUnsaid(Quiet):
    """Sound: without adds_logs(), it may add any name."""

    def on_epoch_end(self, epoch: int, logs: dict[str, Any] | None = None) -> None:
        (logs if logs is not None else {})["area"] = 1.0


class Surprises(AddsUnsaid):
    def adds_logs(self) -> tuple[str, ...]:
        return ()


class ObjectState(Quiet):
    def get_state(self) -> dict[str, Any]:
        return {"count": object()}


CALLBACKS = {
    HalfAState: "HalfAState does not define set_state().",
    AnyLimit: "A constructor refuses unknown arguments, text for numbers, and NaN. limit='1.0' was accepted.",
    Unmade: "A constructor calls super().__init__(). ",
    OneName: "reads_logs() and adds_logs(), if they are there, return names. reads_logs() gave 'ebops'.",
    Forgets: "set_state() restores what get_state() returns: plain data and numpy arrays. {'count': ",
    Stumbles: "A training runs with it, and its logs have what adds_logs() names and no more. KeyError: 'val_accuracy'",
    Promises: "names and no more. The logs lack area.",
    Surprises: "names and no more. The logs also have area, which no other part of a config can refer to.",
    ObjectState: "set_state() restores what get_state() returns: plain data and numpy arrays. count is a object.",
}


def greet(name: str) -> None:
    """Greet somebody."""


def untyped(name) -> None:  # type: ignore[no-untyped-def]
    """Greet somebody."""


def silent(name: str) -> None:
    pass


def several(*names: str) -> None:
    """Greet many."""


def unknown(name: Nobody) -> None:  # type: ignore[name-defined]  # noqa: F821
    """Greet somebody."""


COMMANDS = {
    untyped: "Each parameter of a command is typed, and its docstring says what it does. untyped takes name without a "
    "type.",
    silent: "silent has no docstring, the first line of which is its help.",
    several: "several takes names as *args or **kwargs, which no command line fills; a list takes several words.",
    unknown: "`hgq2 NAME --help` prints the first line of the docstring. ",
}


class Copies(Exporter):
    """Writes the model's name."""

    def estimate(self, model: keras.Model, **options: Any) -> Any:
        if options:
            raise ConfigError(f"no options. Received: {options}.")
        return ExportReport(f"faults.{type(self).__name__.lower()}", None, 0.0, 0.0, 0.0, 0, 1, (), (), ())

    def export(self, model: keras.Model, directory: Path, x: Any = None, **options: Any) -> Any:
        (directory / "name.txt").write_text(model.name)
        return self.estimate(model, **options)

    def simulate(self, directory: Path) -> Any:
        return Simulation(3, 0)

    def mismatches(self, model: keras.Model, x: Any) -> int:
        return 0


class HalfAnExporter:
    def export(self) -> None:
        raise AssertionError("it is refused before")


class Talks(Copies):
    def estimate(self, model: keras.Model, **options: Any) -> Any:
        super().estimate(model, **options)
        return "cheap"

    def export(self, model: keras.Model, directory: Path, x: Any = None, **options: Any) -> Any:
        super().export(model, directory, x, **options)
        return super().estimate(model)


class WritesNothing(Copies):
    def export(self, model: keras.Model, directory: Path, x: Any = None, **options: Any) -> Any:
        return self.estimate(model, **options)


class Wrong(Copies):
    def simulate(self, directory: Path) -> Any:
        return Simulation(3, 1)


class Differs(Copies):
    def mismatches(self, model: keras.Model, x: Any) -> int:
        return 2


class AnyOption(Copies):
    def estimate(self, model: keras.Model, **options: Any) -> Any:
        return super().estimate(model)


EXPORTERS = {
    HalfAnExporter: "HalfAnExporter does not define estimate(), simulate(), mismatches().",
    Talks: "estimate() returns an ExportReport, and no path. It gave a str.",
    WritesNothing: "export() writes files, and simulate() finds no difference in their test vectors. Nothing was "
    "written.",
    Wrong: "export() writes files, and simulate() finds no difference in their test vectors. 1 mismatches in 3 samples",
    Differs: "mismatches() is 0 for a model that the exporter takes. It is 2.",
    AnyOption: "An option that there is not is refused by an HGQ2Error. no_such_option=1 was accepted.",
}


class Passes(KerasAdapter):
    """Adapts keras.layers.Normalization of mean 0 and variance 1, the identity."""

    def exact(self, arrays: Any, layer: keras.layers.Layer, *inputs: Any) -> Any:
        return inputs[0]


class NoStatement(KerasAdapter):
    """Lacks exact()."""


class Doubled(Passes):
    def exact(self, arrays: Any, layer: keras.layers.Layer, *inputs: Any) -> Any:
        return arrays.shift(inputs[0], 1)


class Refuses(Passes):
    def check(self, layer: keras.layers.Layer) -> None:
        raise ExactnessError(f"{layer.name}: never.")


class CostsLess(Passes):
    def ebops(self, layer: keras.layers.Layer) -> Any:
        return -1.0


ADAPTERS = {
    NoStatement: "An adapter is a KerasAdapter that defines exact(), and is made without arguments. NoStatement does "
    "not define exact().",
    Doubled: "exact() gives, on integers, what Keras computes. ",
    Refuses: "check() admits the layer. ExactnessError: noise: never.",
    CostsLess: "ebops() is one finite number, never below 0. It is -1.",
}

pytestmark = pytest.mark.once

with registered(datasets={"faults.sound": Sound}):
    LATER = list(dataset_checks({"kind": "faults.sound", "samples": 3}))


@pytest.fixture(autouse=True)
def _offered() -> Iterator[None]:
    """What a plugin `faults` would offer."""
    with registered(
        datasets={f"faults.{cls.__name__.lower()}": cls for cls in (Sound, *DATASETS)},
        callbacks={f"faults.{cls.__name__.lower()}": cls for cls in (Quiet, *CALLBACKS)},
        commands={f"faults.{function.__name__}": function for function in (greet, *COMMANDS)},
        exporters={f"faults.{cls.__name__.lower()}": cls for cls in (Copies, *EXPORTERS)},
    ):
        yield


@pytest.mark.parametrize("cls", DATASETS, ids=lambda cls: cls.__name__)
def test_a_wrong_data_set(cls: type) -> None:
    with pytest.raises(ConformanceError) as caught:
        check_dataset({"kind": f"faults.{cls.__name__.lower()}", "samples": 4})
    (line,) = str(caught.value).splitlines()[1:]
    assert line == f"  {DATASETS[cls]}"


@pytest.mark.parametrize("cls", CALLBACKS, ids=lambda cls: cls.__name__)
def test_a_wrong_callback(cls: type) -> None:
    arguments = {} if cls is HalfAState else {"limit": 1.0}
    with pytest.raises(ConformanceError) as caught:
        check_callback({"kind": f"faults.{cls.__name__.lower()}", **arguments})
    (line,) = str(caught.value).splitlines()[1:]
    assert CALLBACKS[cls] in line


def test_a_sound_callback_that_does_not_say_what_it_adds() -> None:
    with registered(callbacks={"faults.adds": AddsUnsaid}):
        check_callback({"kind": "faults.adds", "limit": 1.0})


@pytest.mark.parametrize("function", COMMANDS, ids=lambda function: function.__name__)
def test_a_wrong_command(function: Any) -> None:
    with pytest.raises(ConformanceError) as caught:
        check_command(f"faults.{function.__name__}", imports=False)
    (line,) = str(caught.value).splitlines()[1:]
    assert COMMANDS[function] in line


@pytest.mark.slow
def test_a_command_whose_module_imports_a_backend() -> None:
    with pytest.raises(ConformanceError, match=rf"its help is fast\. {__name__} imports keras"):
        check_command("greet")


@pytest.fixture(scope="module")
def model() -> keras.Model:
    """A small calibrated model."""
    model = keras.Sequential([keras.Input((3,)), QDense(2)])
    calibrate(model, np.ones((8, 3), np.float32))
    return model


X = np.ones((3, 3), np.float32)


@pytest.mark.parametrize("cls", EXPORTERS, ids=lambda cls: cls.__name__)
def test_a_wrong_exporter(cls: type, model: keras.Model) -> None:
    with pytest.raises(ConformanceError) as caught:
        check_exporter(f"faults.{cls.__name__.lower()}", model, X)
    (line,) = str(caught.value).splitlines()[1:]
    assert EXPORTERS[cls] in line


@pytest.mark.parametrize("cls", ADAPTERS, ids=lambda cls: cls.__name__)
def test_a_wrong_adapter(cls: type) -> None:
    with registered(layers={"keras.Normalization": cls}), pytest.raises(ConformanceError) as caught:
        check_adapter(keras.layers.Normalization(mean=0.0, variance=1.0, name="noise"), (4, 3))
    (line,) = str(caught.value).splitlines()[1:]
    assert line.startswith(f"  {ADAPTERS[cls]}")


def test_what_is_sound(model: keras.Model) -> None:
    check_callback({"kind": "faults.quiet", "limit": 2.0})
    check_command("greet", imports=False)
    check_exporter("faults.copies", model, X)
    with registered(layers={"keras.Normalization": Passes}):
        check_adapter(keras.layers.Normalization(mean=0.0, variance=1.0, name="noise"), (4, 3))


@parametrize_with_checks(LATER)
def test_a_sound_data_set_by_its_checks(check: Check) -> None:
    check()
